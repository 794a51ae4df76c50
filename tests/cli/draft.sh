# Speculation: --draft-model and --prompt-lookup give the text there is without them.
. tests/cli/lib.inc

cat >"$tmp/tiny.yaml" <<'YAML'
model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4}
tokenizer: {vocab_size: 400}
train: {iters: 40, batch_size: 4, max_seq_length: 64}
YAML
run "$LINNET" data synth --out "$tmp/corpus.jsonl" --size 200k --seed 3 --quiet
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/run" --quiet
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/other" --quiet \
    --set tokenizer.vocab_size=300
status 0
run "$LINNET" quantize --model "$tmp/run" --type q8_0 --out "$tmp/q.gguf" --quiet
status 0

for model in "$tmp/run" "$tmp/q.gguf"; do
    for temperature in 0 0.8; do
        generate() {
            run "$LINNET" generate --model "$model" --prompt "Once upon a time" --temperature $temperature \
                --max-tokens 40 --ignore-eos "$@"
            status 0
        }
        generate -q
        cp "$tmp/stdout" "$tmp/text"
        for how in "--prompt-lookup" "--draft-model $tmp/run" "--draft-model $tmp/q.gguf --draft-tokens 15"; do
            # shellcheck disable=SC2086
            generate $how
            cmp -s "$tmp/stdout" "$tmp/text" || fail "another text"
            grep -q '; [0-9]* of [0-9]* guessed tokens were right; ended by: length$' "$tmp/stderr" ||
                fail "nothing about guesses"
        done
    done
done

run "$LINNET" generate --model "$tmp/run" --prompt x --draft-model "$tmp/run" --prompt-lookup
usage_error 'generate ' '--draft-model and --prompt-lookup: one of them, not both'
run "$LINNET" generate --model "$tmp/run" --prompt x --draft-model "$tmp/other"
usage_error 'generate ' \
    "--draft-model $tmp/other: knows 300 of the model's 400 tokens; a draft must be of the same family"
sed 's/the/zqz/g; s/and/xzx/g' "$tmp/corpus.jsonl" >"$tmp/strange.jsonl"
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/strange.jsonl" --out "$tmp/another" --quiet \
    --set train.iters=1
status 0
run "$LINNET" generate --model "$tmp/run" --prompt x --draft-model "$tmp/another"
status 2
grep -q "^linnet: error: --draft-model $tmp/another: another vocabulary: token [0-9]* is " "$tmp/stderr" ||
    fail "no word of the vocabulary"
run "$LINNET" generate --model "$tmp/run" --prompt x --draft-model "$tmp/nowhere"
status 1
run "$LINNET" generate --model "$tmp/run" --prompt x --prompt-lookup --draft-tokens 16
usage_error 'generate ' "--draft-tokens: expected a whole number from 1 to 15, found \"16\""
run "$LINNET" bench infer --model "$tmp/q.gguf" --prompt-tokens 8 --gen-tokens 8 --draft-model "$tmp/run" --json
status 0
for key in prefill_tokens_per_s decode_tokens_per_s peak_rss_mb guessed_tokens right_guesses; do
    grep -q "\"$key\": [0-9]" "$tmp/stdout" || fail "no $key"
done
