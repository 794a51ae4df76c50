# merge: adapters into the weights of their base, and what it says about them.
. tests/cli/lib.inc

cat >"$tmp/tiny.yaml" <<'YAML'
model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2}
tokenizer: {vocab_size: 400}
train: {iters: 5, batch_size: 4, max_seq_length: 64}
YAML
run "$LINNET" data synth --out "$tmp/corpus.jsonl" --size 200k --seed 3 --quiet
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/run" --quiet
status 0
for type in f32 bf16; do
    run "$LINNET" export --model "$tmp/run" --dtype $type --out "$tmp/$type.gguf" -q
    status 0
done
printf 'Once upon a time there was a cat. The cat sat on a mat.\n' >"$tmp/text.txt"

# adapter NAME MODULE OUT ALPHA: rank 1, every number 0x3333 in f16, a quarter
adapter() {
    mkdir -p "$tmp/$1"
    bytes=$((2 * $3))
    module=base_model.model.$2
    header=$(printf '{"%s.lora_A.weight":{"dtype":"F16","shape":[1,32],"data_offsets":[0,64]},"%s.lora_B.weight":{"dtype":"F16","shape":[%d,1],"data_offsets":[64,%d]}}' \
        "$module" "$module" "$3" $((64 + bytes)))
    {
        printf '\000\002\000\000\000\000\000\000%-512s' "$header"
        head -c $((64 + bytes)) /dev/zero | tr '\000' '\063'
    } >"$tmp/$1/adapter_model.safetensors"
    echo '{"peft_type": "LORA", "r": 1, "lora_alpha": '"$4"', "target_modules": ["x"]}' >"$tmp/$1/adapter_config.json"
}
adapter q model.layers.0.self_attn.q_proj 32 0.5
adapter up model.layers.0.mlp.up_proj 64 1
adapter head lm_head 400 1

logits() { run "$LINNET" eval logits --text "Once upon" --top 400 --json "$@" && status 0; }
# near FILE FILE BOUND: the same tokens with about the same probabilities
near() {
    for side in "$1" "$2"; do
        sed 's/.*"positions"//' "$side" | tr -c '0-9.e\n-' ' ' | tr -s ' ' '\n' | grep . | paste - - | sort -k 1,1n -k 2,2g
    done >"$tmp/both"
    awk -v bound="$3" '{id[NR] = $1; p[NR] = $2}
        END {n = NR / 2; if (n < 400) exit 1
             for (i = 1; i <= n; i++) {d = p[i] - p[n + i]; if (id[i] != id[n + i] || d > bound || d < -bound) exit 1}}' \
        "$tmp/both" || fail "other probabilities"
}

# From a run and from its GGUF file, into both kinds of files: what the base computes with the adapters.
for model in run f32.gguf; do
    logits --model "$tmp/$model" --adapter "$tmp/q" --adapter "$tmp/up=-0.5"
    cp "$tmp/stdout" "$tmp/adapted"
    logits --model "$tmp/$model"
    (near "$tmp/stdout" "$tmp/adapted" 1e-6) >/dev/null && fail "the adapters change nothing"
    for out in merged.gguf merged; do
        rm -rf "${tmp:?}/$out"
        run "$LINNET" merge --model "$tmp/$model" --adapter "$tmp/q" --adapter "$tmp/up=-0.5" --out "$tmp/$out" -q
        status 0
        err ''
        logits --model "$tmp/$out"
        near "$tmp/stdout" "$tmp/adapted" 1e-6
    done
done

# The report
merge() { run "$LINNET" merge --model "$tmp/f32.gguf" --adapter "$tmp/q" "$@" -q; }
merge --adapter "$tmp/up=-0.5" --out "$tmp/f32-f32.gguf"
status 0
err ''
sed 's/^seconds .*/seconds/; s/  *[0-9.e-]*    1.000     0.00$/ DELTA    1.000     0.00/' "$tmp/stdout" >"$tmp/report"
exactly "$tmp/report" 'size             126 kB -> 126 kB
bits per weight  32.00 -> 32.00
tensors          20 f32
seconds

merged into                         type     delta     kept    noise
blk.0.attn_q.weight                  f32 DELTA    1.000     0.00
blk.0.ffn_up.weight                  f32 DELTA    1.000     0.00
all 2 DELTA    1.000     0.00'
merge --type Q8_0 --out "$tmp/q8.gguf" --eval "$tmp/text.txt"
status 0
err ''
grep -qx 'tensors          15 q8_0, 5 f32' "$tmp/stdout" || fail "other types"
grep -qx 'blk.0.attn_q.weight                 q8_0  *[0-9.]* *[01].[0-9]* *[0-9.]*' "$tmp/stdout" || fail "no matrix"
grep -qx '[0-9]* tokens         perplexity  KL divergence   same top token' "$tmp/stdout" || fail "no comparison"
grep -qx 'base alone  *[0-9.]*  *[0-9.]*  *[0-9.]*%' "$tmp/stdout" || fail "no base"
grep -qx 'with adapters  *[0-9.]*' "$tmp/stdout" || fail "no adapters"
grep -qx 'merged  *[0-9.]*  *[0-9.]*  *[0-9.]*%' "$tmp/stdout" || fail "no merged model"
merge --type f32 --out "$tmp/x.gguf" --eval "$tmp/text.txt" --json
status 0
err ''
grep -q '^{"out": ".*/x.gguf", "type": "f32", "weights": [0-9]*, .*"tensors": {"f32": 20}, "fallbacks": 0, '\
'"seconds": [0-9.e-]*, "adapters": \[".*/q"\], "merged": {"delta": [0-9.e-]*, "kept": 1.0, "noise": 0.0}, "outcome": "fine", "erased": 0, '\
'"matrices": \[{"name": "blk.0.attn_q.weight", "type": "f32", "delta": [0-9.e-]*, "kept": 1.0, "noise": 0.0}\], '\
'"eval": {"tokens": [0-9]*, "base": {"perplexity": [0-9.]*, "kl_divergence": [0-9.e-]*, "same_top": [0-9.]*}, '\
'"adapted": {"perplexity": [0-9.]*}, "merged": {"perplexity": [0-9.]*, "kl_divergence": [0-9.e-]*, '\
'"same_top": 1.0}}}$' "$tmp/stdout" || fail "other JSON"
# ... whose perplexities are those of eval ppl
perplexity() { sed 's/.*'"$1"'"perplexity": \([0-9.]*\).*/\1/' "$tmp/json"; }
cp "$tmp/stdout" "$tmp/json"
ppl() { # ppl WANTED FLAGS...
    wanted=$1
    shift
    run "$LINNET" eval ppl --data "$tmp/text.txt" --json -q --exact "$@"
    status 0
    sed 's/.*"perplexity": \([0-9.]*\).*/\1/' "$tmp/stdout" >"$tmp/ppl"
    awk -v a="$(cat "$tmp/ppl")" -v b="$wanted" 'BEGIN {d = a / b - 1; exit !(d < 1e-5 && d > -1e-5)}' ||
        fail "another perplexity than eval ppl: $(cat "$tmp/ppl") and $wanted"
}
ppl "$(perplexity '"base": {')" --model "$tmp/f32.gguf"
ppl "$(perplexity '"adapted": {')" --model "$tmp/f32.gguf" --adapter "$tmp/q"
ppl "$(perplexity '"merged": {')" --model "$tmp/x.gguf"

# What rounding takes away
run "$LINNET" merge --model "$tmp/bf16.gguf" --adapter "$tmp/q=1e-5" --out "$tmp/lost.gguf" -q
status 0
err "linnet: warning: rounding to the file's types erases part of what the adapters add: in 1 of 1 matrices less than 0.9 \
of it is kept; choose a larger --type, or keep the adapter as a file (--adapter)"
merge --type q4_0 --out "$tmp/q4.gguf"
status 0
grep -q 'adapters add' "$tmp/stderr" && fail "a warning of a large delta"
run "$LINNET" merge --model "$tmp/f32.gguf" --adapter "$tmp/q=1e-4" --type q4_0 --out "$tmp/drowned.gguf" -q
status 0
grep -q "^linnet: warning: rounding to the file's types changes the model more than the adapters do: its noise is [0-9.]* times" \
    "$tmp/stderr" || fail "no warning"
run "$LINNET" merge --model "$tmp/f32.gguf" --adapter "$tmp/q=0" --out "$tmp/none.gguf" -q
status 0
err 'linnet: warning: the adapters change nothing: their scale, or what they add to every matrix, is 0'

# A base of blocks: as f16, or in blocks again
run "$LINNET" quantize --model "$tmp/f32.gguf" --type q8_0 --out "$tmp/blocks.gguf" -q
run "$LINNET" merge --model "$tmp/blocks.gguf" --adapter "$tmp/q" --out "$tmp/wide.gguf"
status 0
err_has 'the base is quantised (model.embed_tokens.weight is q8_0), the merged model f16; --type makes it smaller again'
out_has 'tensors          15 f16, 5 f32'
run "$LINNET" merge --model "$tmp/blocks.gguf" --adapter "$tmp/q" --type q8_0 --out "$tmp/again.gguf"
status 0
out_has 'tensors          15 q8_0, 5 f32'

# An output layer that was the embedding gets weights of its own.
run "$LINNET" merge --model "$tmp/run" --adapter "$tmp/head" --out "$tmp/untied.gguf"
status 0
err_has 'an adapter of the output layer, which was the embedding: the merged model has both'
logits --model "$tmp/run" --adapter "$tmp/head"
cp "$tmp/stdout" "$tmp/adapted"
logits --model "$tmp/untied.gguf"
near "$tmp/stdout" "$tmp/adapted" 1e-6

# What cannot be
m() { run "$LINNET" merge --model "$tmp/f32.gguf" "$@"; }
m --out "$tmp/y.gguf"
usage_error 'merge ' 'missing --adapter PATH[=SCALE]: a LoRA adapter of it: a PEFT directory or a GGUF file, times SCALE; '\
'may be repeated: all are added'
m --adapter "$tmp/q" --out "$tmp/x.gguf"
usage_error 'merge ' "$tmp/x.gguf: already there; choose another name, or --force to replace it"
m --adapter "$tmp/q" --out "$tmp/merged"
usage_error 'merge ' "$tmp/merged: already there and not empty; choose another name, or --force to replace it"
m --adapter "$tmp/q" --out "$tmp/f32.gguf" --force
usage_error 'merge ' "--out $tmp/f32.gguf: is the model itself; write to another file"
m --adapter "$tmp/q" --out "$tmp/q" --force
usage_error 'merge ' "--out $tmp/q: is the adapter itself; write to another directory"
m --adapter "$tmp/q" --out "$tmp/run" --force
usage_error 'merge ' "$tmp/run: is a run directory; choose another"
m --adapter "$tmp/q" --out "$tmp/y.gguf" --type q4_9
usage_error 'merge ' '--type: there is no type "q4_9"; did you mean Q4_0?'
m --adapter "$tmp/q" --out "$tmp/y" --type q4_0
usage_error 'merge ' '--type q4_0: a Hugging Face directory holds keep, f32, f16 or bf16; name a .gguf file for --out, or '\
'another type'
m --adapter "$tmp/q=x" --out "$tmp/y.gguf"
usage_error 'merge ' "--adapter $tmp/q=x: expected a number after the \"=\", found \"x\""
m --adapter "$tmp/none" --out "$tmp/y.gguf"
failure "$tmp/none: no such file or directory; an adapter is a directory of PEFT's or a .gguf file"
adapter other model.layers.0.mlp.up_proj 65 1
m --adapter "$tmp/other" --out "$tmp/y.gguf"
failure "$tmp/other: tensor base_model.model.model.layers.0.mlp.up_proj.lora_B.weight is 65 x 1; of the model's \
model.layers.0.mlp.up_proj.weight (64 x 32) it would be 64 x rank"
m --adapter "$tmp/q" --out "$tmp/y.gguf" --eval "$tmp/nothing.txt"
status 1
m --adapter "$tmp/q=1e30" --type f16 --out "$tmp/y.gguf" -q
failure 'blk.0.attn_q.weight holds weights beyond the range of f16 (65504); export as bf16 or f32'
[ ! -e "$tmp/y.gguf" ] && [ ! -e "$tmp/y" ] || fail "a file in spite of an error"

# A full disk: what was there stays, and a new directory has nothing in it.
cp "$tmp/q8.gguf" "$tmp/kept.gguf"
(
    ulimit -f 8
    "$LINNET" merge --model "$tmp/f32.gguf" --adapter "$tmp/q" --out "$tmp/kept.gguf" --force -q >"$tmp/stdout" 2>"$tmp/stderr"
)
got=$? shown='merge, disk full'
status 1
out ''
[ "$(wc -l <"$tmp/stderr")" = 1 ] || fail "more than one line"
cmp -s "$tmp/q8.gguf" "$tmp/kept.gguf" || fail "the file that was there is damaged"
ls "$tmp"/kept.gguf?* 2>/dev/null && fail "something half written was left"
(
    ulimit -f 8
    "$LINNET" merge --model "$tmp/f32.gguf" --adapter "$tmp/q" --out "$tmp/new" -q >"$tmp/stdout" 2>"$tmp/stderr"
)
got=$?
status 1
[ -z "$(ls -A "$tmp/new")" ] || fail "something half written was left"

# What two adapters hold in full can only be one's.
printf '{"prompt": "one", "completion": " two"}\n{"prompt": "two", "completion": " one"}\n' >"$tmp/qa.jsonl"
for seed in 1 2; do
    run "$LINNET" sft --model "$tmp/run" --data "$tmp/qa.jsonl" --out "$tmp/whole$seed" --iters 1 --max-seq-length 64 \
        --target-modules q_proj --train-in-full model.norm --probe none --seed $seed -q
    status 0
done
run "$LINNET" merge --model "$tmp/run" --adapter "$tmp/whole1" --adapter "$tmp/whole2" --out "$tmp/two.gguf" -q
status 0
err "linnet: warning: $tmp/whole2 holds model.norm.weight in full, and so does an adapter before it: of that the last \
one's counts alone"
run "$LINNET" merge --model "$tmp/run" --adapter "$tmp/whole1" --adapter "$tmp/q" --out "$tmp/one.gguf" -q
status 0
err ''
exit 0
