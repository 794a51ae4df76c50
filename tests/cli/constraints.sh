# constraints: grammars, schemas and logit biases of generate and chat
. tests/cli/lib.inc

cat >"$tmp/tiny.yaml" <<'YAML'
model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 4}
tokenizer: {vocab_size: 300}
train: {iters: 2, batch_size: 4, max_seq_length: 64}
YAML
run "$LINNET" data synth --out "$tmp/corpus.jsonl" --size 100k --seed 3 --quiet
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/run" --quiet
status 0

printf 'root ::= "The answer is " ("yes" | "no") "." # one of two\n' >"$tmp/answer.gbnf"
for seed in 1 2 3 4; do
    run "$LINNET" generate --model "$tmp/run" --prompt "Well? " --grammar "$tmp/answer.gbnf" --temperature 2 \
        --seed $seed --no-echo -q
    status 0
    grep -qxE 'The answer is (yes|no)\.' "$tmp/stdout" || fail "not what the grammar says"
done
run "$LINNET" generate --model "$tmp/run" --prompt x --grammar "$tmp/answer.gbnf" --json -q
grep -q '"stop_reason": "end"' "$tmp/stdout" || fail "another end"

schema='{"type": "object", "properties": {"n": {"type": "integer", "minimum": 7, "maximum": 9}, "ok": {"type": "boolean"}}, "required": ["n", "ok"]}'
printf '%s' "$schema" >"$tmp/schema.json"
for given in "$schema" "$tmp/schema.json"; do
    run "$LINNET" generate --model "$tmp/run" --prompt x --json-schema "$given" --no-echo -q --grammar-out "$tmp/made.gbnf"
    status 0
    tr -d ' \n\t' <"$tmp/stdout" | grep -qxE '\{"n":[789],"ok":(true|false)\}' || fail "not what the schema says"
    cp "$tmp/stdout" "$tmp/first"
done
# What was written is the same grammar.
run "$LINNET" generate --model "$tmp/run" --prompt x --grammar "$tmp/made.gbnf" --no-echo -q
cmp -s "$tmp/stdout" "$tmp/first" || fail "another text with the grammar that was written"

# A token that is the likeliest is not drawn when it is forbidden.
run "$LINNET" generate --model "$tmp/run" --prompt x --temperature 0 -n 1 --json -q
first=$(sed 's/.*"continuation": \[\([0-9]*\)\].*/\1/' "$tmp/stdout")
run "$LINNET" generate --model "$tmp/run" --prompt x --temperature 0 -n 1 --json -q --logit-bias "3=0,$first=-inf"
status 0
grep -q "\"continuation\": \[$first\]" "$tmp/stdout" && fail "drew what is forbidden"
run "$LINNET" generate --model "$tmp/run" --prompt x --temperature 0 -n 1 --json -q --logit-bias 3=0 --logit-bias 40=1e5
grep -q '"continuation": \[40\]' "$tmp/stdout" || fail "did not draw what was asked for"

printf '{%%- for m in messages -%%}{{ m.content }}{%%- endfor -%%}?' >"$tmp/template.jinja"
run "$LINNET" chat --model "$tmp/run" --chat-template "$tmp/template.jinja" --prompt hello --grammar "$tmp/answer.gbnf" -q
status 0
grep -qxE 'The answer is (yes|no)\.' "$tmp/stdout" || fail "chat: not what the grammar says"

# What cannot be
wrong() { # MESSAGE FLAG...
    message=$1
    shift
    run "$LINNET" generate --model "$tmp/run" --prompt x "$@"
    usage_error 'generate ' "$message"
}
wrong '--grammar and --json-schema: one of them, not both' --grammar "$tmp/answer.gbnf" --json-schema true
wrong '--grammar-out: there is no --json-schema to make a grammar of' --grammar-out "$tmp/x"
wrong '--json-schema: JSON schema: #/properties/a: the keyword "multipleOf" is not supported' \
    --json-schema '{"properties": {"a": {"type": "integer", "multipleOf": 3}}}'
wrong '--logit-bias 7: expected ID=VALUE, as in 13=-1.5 or 13=-inf' --logit-bias 7
wrong '--logit-bias 7=1x: expected ID=VALUE, as in 13=-1.5 or 13=-inf' --logit-bias 3=1,7=1x
wrong 'the logit bias of token 9999: the vocabulary has 300 tokens' --logit-bias 9999=1
wrong 'mirostat is 1; it must be 0 (off) or 2' --mirostat 1
printf 'root ::= root "a" | "b"\n' >"$tmp/left.gbnf"
run "$LINNET" generate --model "$tmp/run" --prompt x --grammar "$tmp/left.gbnf"
status 1
err "linnet: error: $tmp/left.gbnf: grammar: line 1, column 1: left recursion: a rule calls itself before it has \
read anything (root -> root); repeat with * or put the call at the end"
