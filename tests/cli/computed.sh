# What a model computes with, in the checkpoint of a quantisation-aware run: read by h5py with the example of
# docs/file-formats.md, and held against the exported GGUF file, in which q and k rows stand in another order or not.
. tests/cli/lib.inc

python=
for candidate in python3 /usr/bin/python3; do
    "$candidate" -c 'import h5py, numpy' 2>/dev/null && python=$candidate && break
done
if [ -z "$python" ]; then
    echo "skipped: checkpoints are not read with h5py, which is not there"
    exit 0
fi

awk '/^```python$/ { code = ""; inside = 1; next } /^```$/ { if (code ~ /computed\//) printf "%s", code; inside = 0 }
    inside { code = code $0 "\n" }' docs/file-formats.md >"$tmp/example.py"
cat >"$tmp/judge.py" <<'PY'
"""usage: judge.py ARCHITECTURE CHECKPOINT.h5 BLOCKS.gguf F32.gguf"""
import struct
import sys

import h5py
import numpy as np

from example import computed_q4_0

BYTES = {0: (1, 4), 2: (32, 18), 14: (256, 210)}  # f32, q4_0, q6_k: values and bytes of a block
MODULES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
           "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
           "mlp.down_proj": "ffn_down"}


def read_gguf(path):
    """{name: (type, rows of bytes)} of the matrices, as the specification of GGUF has it"""
    data, at = open(path, "rb").read(), 0

    def take(code):
        nonlocal at
        (x,) = struct.unpack_from("<" + code, data, at)
        at += struct.calcsize("<" + code)
        return x

    def string():
        nonlocal at
        n = take("Q")
        at += n
        return data[at - n:at].decode()

    def value(kind):
        if kind == 8:
            return string()
        if kind == 9:
            kind, n = take("I"), take("Q")
            return [value(kind) for _ in range(n)]
        return take("BbHhIif?__QqdX"[kind])

    assert (data[:4], struct.unpack_from("<I", data, 4)[0]) == (b"GGUF", 3)
    at = 8
    n_tensors, n_pairs = take("Q"), take("Q")
    for _ in range(n_pairs):
        name, kind = string(), take("I")
        assert (name, value(kind))[0] != "general.alignment"
    infos = []
    for _ in range(n_tensors):
        name, n_dims = string(), take("I")
        infos.append((name, [take("Q") for _ in range(n_dims)], take("I"), take("Q")))
    begin = (at + 31) // 32 * 32
    tensors = {}
    for name, dims, kind, offset in infos:
        if len(dims) == 2:
            width = dims[0] // BYTES[kind][0] * BYTES[kind][1]
            tensors[name] = kind, np.frombuffer(data, "u1", dims[1] * width, begin + offset).reshape(dims[1], width)
    return tensors


def gguf_name(name):
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "lm_head.weight":
        return "output.weight"
    _, _, layer, module = name[:-len(".weight")].split(".", 3)
    return "blk.%s.%s.weight" % (layer, MODULES[module])


def pairs_side_by_side(rows, head_dim):
    """Rows of q or k from the order of halves to that of rotary pairs"""
    return rows.reshape(-1, 2, head_dim // 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


architecture, checkpoint, blocks_path, f32_path = sys.argv[1:]
head_dim, permuted, seen = 64, 0, {}
blocks, f32 = read_gguf(blocks_path), read_gguf(f32_path)
with h5py.File(checkpoint) as f:
    for kind, number in ("q4_0", 2), ("q6_k", 14):
        names = []
        f["computed/" + kind].visititems(lambda n, x: names.append(n) if isinstance(x, h5py.Dataset) else None)
        for name in names:
            rows, weights = f["computed/%s/%s" % (kind, name)][:], f["weights/" + name][:]
            assert rows.dtype == "u1" and rows.shape == (len(weights), weights.shape[1] // BYTES[number][0] * BYTES[number][1])
            seen[gguf_name(name)] = kind
            values = computed_q4_0(checkpoint, name) if kind == "q4_0" else None
            if values is not None:  # the f32 weights round to them: at most one step away, d of their block (an f16)
                d = rows.reshape(-1, 18)[:, :2].copy().view("<f2").astype("f4")
                assert (np.abs(values - weights).reshape(-1, 32) <= 1.01 * np.abs(d)).all(), name
                assert (values != weights).mean() > 0.9, name
            if architecture == "llama" and name.split(".")[-2] in ("q_proj", "k_proj"):
                assert (blocks[gguf_name(name)][1] != rows).any(), name
                rows = pairs_side_by_side(rows, head_dim)
                values = pairs_side_by_side(values, head_dim)
                permuted += 1
            assert blocks[gguf_name(name)][0] == number, name
            assert (blocks[gguf_name(name)][1] == rows).all(), name
            if values is not None:
                assert (f32[gguf_name(name)][1].copy().view("<f4") == values).all(), name
assert set(seen) == set(blocks), set(seen) ^ set(blocks)
kinds = list(seen.values())
print(kinds.count("q4_0"), "matrices in q4_0,", kinds.count("q6_k"), "in q6_k;", permuted, "with rows in another order")
PY

"$LINNET" data synth --out "$tmp/corpus.jsonl" --size 40k --seed 3 -q
for architecture in llama qwen2; do
    run=$tmp/$architecture
    run "$LINNET" pretrain --data "$tmp/corpus.jsonl" --out "$run" --qat Q4_0 --iters 3 --batch-size 2 --max-seq-length 32 \
        --vocab-size 300 --set model.architecture=$architecture --set model.hidden_size=256 \
        --set model.intermediate_size=64 --set model.num_hidden_layers=2 --set model.num_attention_heads=4 \
        --set model.num_key_value_heads=2 --set model.max_position_embeddings=64 -q
    status 0
    run "$LINNET" export --model "$run" --out "$run-blocks.gguf" -q
    status 0
    run "$LINNET" export --model "$run" --dtype f32 --out "$run-f32.gguf" -q
    status 0
    run env PYTHONDONTWRITEBYTECODE=1 "$python" "$tmp/judge.py" $architecture "$run/checkpoints/best.h5" \
        "$run-blocks.gguf" "$run-f32.gguf"
    status 0
    err ''
    case $architecture in
    llama) out '14 matrices in q4_0, 1 in q6_k; 4 with rows in another order' ;;
    qwen2) out '14 matrices in q4_0, 1 in q6_k; 0 with rows in another order' ;;
    esac
done
