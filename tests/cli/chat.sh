# chat: a conversation in the words of the model's own template; and convert, which carries it along.
. tests/cli/lib.inc

cat >"$tmp/tiny.yaml" <<'YAML'
model: {architecture: qwen3, hidden_size: 32, head_dim: 8, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4}
tokenizer: {vocab_size: 400}
train: {iters: 5, batch_size: 4, max_seq_length: 64}
YAML
run "$LINNET" data synth --out "$tmp/corpus.jsonl" --size 200k --seed 3 --quiet
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/run" --quiet
status 0

# A model without a template, then one with it.
run "$LINNET" chat --model "$tmp/run" --prompt hello
usage_error 'chat ' "the model has no chat template: it was not made for conversations. linnet generate \
continues a text; --chat-template gives a template"
cat >"$tmp/template.jinja" <<'JINJA'
{%- for m in messages -%}{%- if m.role not in ['system', 'user', 'assistant'] -%}{{ raise_exception('what is ' + m.role + '?') }}{%- endif -%}
[{{ m.role }}] {{ m.content }}{{ '\n' }}{%- endfor -%}{%- if add_generation_prompt -%}[assistant]{%- endif -%}
{%- if shout %}!!{% endif -%}
JINJA
run "$LINNET" chat --model "$tmp/run" --chat-template "$tmp/template.jinja" --prompt hello \
    --temperature 0 --max-tokens 8 --json -q
status 0
err ''
cp "$tmp/stdout" "$tmp/answer"
grep -q '^{"prompt_tokens": [0-9]*, "tokens": \[.*\], "text": ".*", "stop_reason": "[a-z]*"}$' "$tmp/answer" ||
    fail "other JSON"
run "$LINNET" chat --model "$tmp/run" --chat-template "$tmp/template.jinja" --prompt hello \
    --temperature 0 --max-tokens 8 --json -q --template-variables '{"shout": true}'
status 0
cmp -s "$tmp/stdout" "$tmp/answer" && fail "the template did not see the variable"

# It travels: into the directory, from there into a GGUF file, and back.
run "$LINNET" convert --model "$tmp/run" --out "$tmp/hf" -q
status 0
err ''
cp "$tmp/template.jinja" "$tmp/hf/chat_template.jinja"
run "$LINNET" convert --model "$tmp/hf" --out "$tmp/m.gguf"
status 0
err "$tmp/m.gguf: 33.5k parameters, f32"
run "$LINNET" convert --model "$tmp/m.gguf" --out "$tmp/back" -q
status 0
cmp -s "$tmp/hf/model.safetensors" "$tmp/back/model.safetensors" || fail "other weights"
for model in "$tmp/hf" "$tmp/m.gguf" "$tmp/back"; do
    run "$LINNET" chat --model "$model" --prompt hello --temperature 0 --max-tokens 8 --json -q
    status 0
    cmp -s "$tmp/stdout" "$tmp/answer" || fail "$model answers otherwise"
done
run "$LINNET" convert --model "$tmp/hf" --out "$tmp/half.gguf" --dtype bf16
err "$tmp/half.gguf: 33.5k parameters, bf16"
run "$LINNET" convert --model "$tmp/half.gguf" --out "$tmp/half" -q
status 0
run "$LINNET" convert --model "$tmp/half" --out "$tmp/again.gguf" --name half -q
status 0
run "$LINNET" convert --model "$tmp/half" --out "$tmp/m.gguf"
usage_error 'convert ' "$tmp/m.gguf: already there; choose another name, or --force to replace it"

# Several turns, one a line; a slash begins a command, a backslash at the end goes on.
printf 'hello\n\nand\\\nnow\n/clear\nhello\n//slash\n/exit\nnever\n' >"$tmp/lines"
run sh -c '"$0" chat --model "$1" --temperature 0 --max-tokens 8 --json -q <"$2"' "$LINNET" "$tmp/m.gguf" \
    "$tmp/lines"
status 0
[ "$(wc -l <"$tmp/stdout")" = 4 ] || fail "not four answers"
head -n 1 "$tmp/stdout" | cmp -s - "$tmp/answer" || fail "another first answer"
sed -n 3p "$tmp/stdout" | cmp -s - "$tmp/answer" || fail "/clear did not begin anew"

# A conversation longer than the context
yes 'and then?' | head -n 12 >"$tmp/lines"
long() { run sh -c '"$0" chat --model "$1" --max-tokens 8 --context 64 --json -q $3 <"$2"' "$LINNET" "$tmp/m.gguf" \
    "$tmp/lines" "$1"; }
long ''
status 2
long --context-shift
status 0
[ "$(wc -l <"$tmp/stdout")" = 12 ] || fail "not twelve answers"

# What cannot be
run "$LINNET" chat --prompt x
usage_error 'chat ' "missing --model PATH: a run directory, a checkpoint, a Hugging Face directory, or a \
GGUF file"
run "$LINNET" chat --model "$tmp/m.gguf" --prompt x --template-variables '[1]'
usage_error 'chat ' "--template-variables: not an object"
run "$LINNET" chat --model "$tmp/m.gguf" --prompt x --chat-template "$tmp/none"
status 1
printf '{%% if x %%}' >"$tmp/bad.jinja"
run "$LINNET" chat --model "$tmp/m.gguf" --prompt x --chat-template "$tmp/bad.jinja"
status 1
grep -q '^linnet: error: the chat template: line 1, column [0-9]*: ' "$tmp/stderr" || fail "no place"
