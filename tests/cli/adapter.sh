# --adapter: a LoRA adapter on a model, wherever a model is run.
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
run "$LINNET" export --model "$tmp/run" --dtype f32 --out "$tmp/m.gguf" -q
status 0

# adapter NAME MODULE OUT: rank 1, every number 0x3333 in f16, a quarter
adapter() {
    mkdir -p "$tmp/$1"
    bytes=$((2 * $3))
    module=base_model.model.model.layers.0.$2
    header=$(printf '{"%s.lora_A.weight":{"dtype":"F16","shape":[1,32],"data_offsets":[0,64]},"%s.lora_B.weight":{"dtype":"F16","shape":[%d,1],"data_offsets":[64,%d]}}' \
        "$module" "$module" "$3" $((64 + bytes)))
    {
        printf '\000\002\000\000\000\000\000\000%-512s' "$header"
        head -c $((64 + bytes)) /dev/zero | tr '\000' '\063'
    } >"$tmp/$1/adapter_model.safetensors"
    echo '{"peft_type": "LORA", "r": 1, "lora_alpha": 4, "target_modules": ["q_proj"]}' >"$tmp/$1/adapter_config.json"
}
adapter out self_attn.o_proj 32
adapter up mlp.up_proj 64

for model in "$tmp/run" "$tmp/m.gguf"; do
    logits() { run "$LINNET" eval logits --model "$model" --text "Once upon" --top 3 --json "$@" && status 0; }
    logits
    cp "$tmp/stdout" "$tmp/plain"
    logits --adapter "$tmp/out"
    cmp -s "$tmp/stdout" "$tmp/plain" && fail "the adapter does nothing"
    cp "$tmp/stdout" "$tmp/one"
    logits --adapter "$tmp/out=0"
    cmp -s "$tmp/stdout" "$tmp/plain" || fail "an adapter of no strength does something"
    logits --adapter "name:$tmp/out"
    cmp -s "$tmp/stdout" "$tmp/one" || fail "an adapter with a name does something else"
    logits --adapter "$tmp/out" --adapter "$tmp/up=-0.5"
    cmp -s "$tmp/stdout" "$tmp/one" && fail "the second adapter does nothing"
done
for command in "generate --prompt Once --temperature 0 --max-tokens 9" "eval ppl --data $tmp/corpus.jsonl --json"; do
    # shellcheck disable=SC2086
    run "$LINNET" $command --model "$tmp/m.gguf" -q
    status 0
    sed 's/, "tokens_per_second.*//' "$tmp/stdout" >"$tmp/plain"
    # shellcheck disable=SC2086
    run "$LINNET" $command --model "$tmp/m.gguf" -q --adapter "$tmp/out=3"
    status 0
    sed 's/, "tokens_per_second.*//' "$tmp/stdout" | cmp -s - "$tmp/plain" && fail "the adapter does nothing"
done
echo '{"question": "Tom has 2 and 3. How many?", "choices": ["five", "nine"], "answer": 0}' >"$tmp/q.jsonl"
run "$LINNET" eval choices --model "$tmp/m.gguf" --data "$tmp/q.jsonl" --details "$tmp/d1" --json -q
status 0
run "$LINNET" eval choices --model "$tmp/m.gguf" --data "$tmp/q.jsonl" --details "$tmp/d2" --json -q --adapter "$tmp/out"
status 0
cmp -s "$tmp/d1" "$tmp/d2" && fail "the adapter does nothing"

# What cannot be
g() { run "$LINNET" generate --model "$tmp/m.gguf" --prompt x -q "$@"; }
g --adapter "$tmp/none"
failure "$tmp/none: no such file or directory; an adapter is a directory of PEFT's or a .gguf file"
g --adapter "$tmp/out=much"
usage_error 'generate ' "--adapter $tmp/out=much: expected a number after the \"=\", found \"much\""
g --adapter "$tmp/out" --adapter "$tmp/out=2"
usage_error 'generate ' "--adapter: two adapters are called \"out\"; give one another name: --adapter NAME:$tmp/out"
g --adapter "$tmp/run"
failure "$tmp/run: no adapter_config.json in it: not an adapter"
g --adapter "$tmp/m.gguf"
failure "$tmp/m.gguf: general.type is model; a file of an adapter has adapter"
run "$LINNET" generate --model tests/fuzz/corpus/adapter/good-llama.gguf --prompt x
failure "tests/fuzz/corpus/adapter/good-llama.gguf: an adapter, not a model; --adapter takes it, --model its base"
adapter other mlp.up_proj 65
g --adapter "$tmp/other"
failure "$tmp/other: tensor base_model.model.model.layers.0.mlp.up_proj.lora_B.weight is 65 x 1; of the model's \
model.layers.0.mlp.up_proj.weight (64 x 32) it would be 64 x rank"
echo '{"peft_type": "LORA", "r": 1, "use_dora": true}' >"$tmp/out/adapter_config.json"
g --adapter "$tmp/out"
failure "$tmp/out: model.layers.0.self_attn.o_proj.weight has no magnitude vector, although \"use_dora\" is true"
