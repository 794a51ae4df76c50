#!/bin/sh
# Speed and memory of LoRA training, linnet and PyTorch in turns on this machine: a model of random weights with
# Llama 3.2 3B's shape and a vocabulary of 32,000, rank 16 on all seven linear layers of each block, one row of 512 tokens
# a step with forward, backward, clipping and AdamW; tokens per second of the fastest step and the peak memory of the
# process. linnet trains on a Q4_0 base and on a bf16 one, PyTorch on bf16; "keep" and "checkpoint" say whether activations
# are kept or computed again, in both. A last line gives PyTorch an f32 base, with which it may be faster, where memory has
# room for it. PyTorch is Debian's python3-torch; without it only linnet is measured. Needs 8 GB of disk in build/bench
# and 12 GB of memory. Close everything else first; figures of two machines cannot be compared.
# usage: LINNET=build/linnet STEPS=2 bench/lora.sh
# Another shape: SHAPE="HIDDEN LAYERS HEADS KV_HEADS FFN VOCAB" RANK=8 TOKENS=256 bench/lora.sh
set -eu
: "${LINNET:=build/linnet}" "${STEPS:=2}" "${SHAPE:=3072 28 24 8 8192 32000}" "${RANK:=16}" "${TOKENS:=512}"
out=build/bench
mkdir -p "$out"
threads=$(getconf _NPROCESSORS_ONLN)
# shellcheck disable=SC2086
set -- $SHAPE
[ $# = 6 ] || { echo "SHAPE: expected six numbers" >&2; exit 2; }
hidden=$1 layers=$2 heads=$3 kv_heads=$4 ffn=$5 vocab=$6

make_model() { # TYPE; its path in $file
    file=$out/llama-$(echo "$SHAPE" | tr ' ' -)-$1.gguf
    [ -f "$file" ] || "$LINNET" data synth-model --type "$1" --out "$file" --quiet \
        --set model.hidden_size="$hidden" --set model.num_hidden_layers="$layers" \
        --set model.num_attention_heads="$heads" --set model.num_key_value_heads="$kv_heads" \
        --set model.intermediate_size="$ffn" --set model.vocab_size="$vocab" \
        --set model.tie_word_embeddings=false --set model.rope_theta=500000
}

python=/usr/bin/python3
torch=no
if "$python" -c 'import torch' 2>/dev/null; then
    torch=yes
    # Its default, the pthread build of OpenBLAS, halves its f32 speed: give it its best.
    for blas in /usr/lib/*/openblas-openmp; do
        [ -d "$blas" ] && blas_path=$blas
    done
    # OpenBLAS chooses by the processor's name and takes one newer than itself for one of 2004.
    if grep -q avx512bw /proc/cpuinfo; then
        export OPENBLAS_CORETYPE=SkylakeX
    elif grep -q avx2 /proc/cpuinfo; then
        export OPENBLAS_CORETYPE=Haswell
    fi
else
    echo "PyTorch is not installed (python3-torch); measuring linnet alone"
fi

# Both print "tokens-per-second MB"; linnet's GFLOP/s and share of what its products reach alone follow.
ours() { # TYPE keep|checkpoint
    make_model "$1"
    again=
    [ "$2" = checkpoint ] && again=--grad-checkpoint
    # shellcheck disable=SC2086
    "$LINNET" bench lora --model "$file" --rank "$RANK" --seq-len "$TOKENS" --steps "$STEPS" $again \
        --threads "$threads" --json --quiet >"$out/lora.json"
    tr -d ' ,"' <"$out/lora.json" | awk -F: '
        { value[$1] = $2 }
        END {
            if (value["tokens_per_s"] <= 0) { print "bench lora gave no tokens_per_s" >"/dev/stderr"; exit 1 }
            printf "%.2f %.0f %.1f %.0f\n", value["tokens_per_s"], value["peak_rss_mb"], value["model_gflops_per_s"],
                   100 * value["mfu"]
        }'
}
theirs() { # f32|bf16 keep|checkpoint
    # shellcheck disable=SC2086
    LD_LIBRARY_PATH=${blas_path:-} "$python" bench/torch_lora.py "$1" "$2" $SHAPE "$RANK" "$TOKENS" "$threads" \
        "$((STEPS + 1))"
}

printf '%-5s %-10s | %9s %8s %8s %5s | %9s %8s | %6s %7s\n' base blocks linnet MB GFLOP/s peak PyTorch MB speed memory
for configuration in "q4_0 keep" "q4_0 checkpoint" "bf16 checkpoint"; do
    # shellcheck disable=SC2086
    mine=$(ours $configuration)
    other="- -"
    [ $torch = yes ] && other=$(theirs bf16 "${configuration#* }")
    echo "$configuration $mine $other" | awk '{
        printf "%-5s %-10s | %9s %8s %8s %4s%% | %9s %8s | %6s %7s\n", $1, $2, $3, $4, $5, $6, $7, $8,
               ($7 > 0 ? sprintf("%.2f", $3 / $7) : "-"), ($8 > 0 ? sprintf("%.2f", $4 / $8) : "-") }'
done
echo "tokens per second, PyTorch on a bf16 base; peak: share of the speed that its matrix products reach alone"

# Weights of four bytes, and a quarter of them for all else.
weights=$((layers * (2 * hidden * hidden + 2 * hidden * (hidden * kv_heads / heads) + 3 * hidden * ffn) +
           2 * vocab * hidden))
free=$(awk '/^MemAvailable:/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)
if [ $torch = yes ] && [ "$((5 * weights))" -lt "${free:-0}" ]; then
    f32=$(theirs f32 checkpoint)
    echo "PyTorch with an f32 base, checkpointing: ${f32% *} tokens/s, ${f32#* } MB"
fi
