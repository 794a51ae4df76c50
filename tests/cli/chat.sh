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

# The commands, each line of input a command or a message.
talk() {
    cat >"$tmp/lines"
    run sh -c '"$0" chat --model "$1" --temperature 0 --max-tokens 8 --json <"$2"' "$LINNET" "$tmp/m.gguf" "$tmp/lines"
}
answers() { [ "$(wc -l <"$tmp/stdout")" = "$1" ] || fail "not $1 answers"; }
talk <<'END'
/help
END
status 0
out ''
err '/help                        this list
/clear                       begin a new conversation
/regenerate                  another answer instead of the last one
/undo                        take the last message and its answer back
/system [TEXT|none]          what the model is told before the conversation
/set [NAME VALUE]            how answers are drawn; alone: how they are now
/adapter [NAME[=SCALE]|none] another LoRA adapter or several, by name or PATH, or none; alone: which
/save FILE                   keep the conversation, as JSON
/load FILE                   go on with one that was kept
/stats                       tokens, speed, and how full the context is
/exit                        end; so does Ctrl-D
A line that ends in \ goes on in the next; // begins a message with a slash; Ctrl-C stops an answer.'
talk <<'END'
/set
/set top-k 40
/set temperature 1.5
/set max_tokens 3
/set
/system
/system Be  brief.
/system
/adapter
END
status 0
out ''
err 'temperature        0
top_n_sigma        0
top_k              0
typical_p          1
top_p              0.95
min_p              0
repetition_penalty 1
frequency_penalty  0
presence_penalty   0
repetition_window  64
mirostat           0
mirostat_tau       5
mirostat_eta       0.1
seed               0
max_tokens         8
temperature        1.5
top_n_sigma        0
top_k              40
typical_p          1
top_p              0.95
min_p              0
repetition_penalty 1
frequency_penalty  0
presence_penalty   0
repetition_window  64
mirostat           0
mirostat_tau       5
mirostat_eta       0.1
seed               0
max_tokens         3
(nothing)
Be  brief.
(none)'

# Taken back, the conversation is what it was; answered again it is what it was, without chance; told something, other.
talk <<END
hello
and now?
/undo
and now?
/regenerate
/save $tmp/kept.json
/system Be brief.
/regenerate
/system none
/regenerate
END
status 0
answers 6
sed -n 2p "$tmp/stdout" >"$tmp/second"
for line in 4 6; do
    sed -n ${line}p "$tmp/stdout" | sed 's/"prompt_tokens": [0-9]*/"prompt_tokens"/' >"$tmp/again"
    sed 's/"prompt_tokens": [0-9]*/"prompt_tokens"/' "$tmp/second" | cmp -s - "$tmp/again" || fail "answer $line is another"
done
sed -n 5p "$tmp/stdout" | sed 's/"prompt_tokens": [0-9]*/"prompt_tokens"/' | cmp -s - "$tmp/again" && fail "not told"
err_has '(taken back; messages left: 2)'
err_has '(messages saved: 4)'
grep -q '"content": "and now?"' "$tmp/kept.json" || fail "the message is not in the file"
talk <<END
/load $tmp/kept.json
/undo
and now?
/save $tmp/kept.json
/stats
END
status 0
answers 1
cmp -s "$tmp/stdout" "$tmp/second" || fail "after /load another answer"
err_has '(messages loaded: 4)'
err_has 'messages       4'
grep -q '^context        [0-9]* of 64 tokens$' "$tmp/stderr" || fail "no context"
grep -q '^last answer    8 tokens ([0-9.]* tokens/s)$' "$tmp/stderr" || fail "no speed"

# With chance, another answer is another draw.
talk <<'END'
/set temperature 1
hello
/regenerate
/regenerate
END
status 0
[ "$(sort -u "$tmp/stdout" | wc -l)" = 3 ] || fail "the same answer again"

# What a command does not take: the line, and status 2.
refused() {
    echo "$1" >"$tmp/in"
    talk <"$tmp/in"
    usage_error 'chat ' "$2"
}
refused '/adpater x' '/adpater: no such command; did you mean /adapter? // begins a message with a slash'
refused '/zzzzzzzz' '/zzzzzzzz: no such command; /help lists them, // begins a message with a slash'
refused '/clear now' '/clear takes no argument'
refused '/save' 'missing argument: /save FILE'
refused '/set temprature 1' '/set: no "temprature"; did you mean temperature?'
refused '/set top_p 2' '/set top_p: expected a number from 1e-09 to 1, found "2"'
refused '/undo' '/undo: there is nothing to take back'
refused '/regenerate' 'there is no message to answer yet'
cp "$tmp/tiny.yaml" "$tmp/notes"
refused "/save $tmp/notes" "$tmp/notes: already there, and not a conversation; choose another name"
cmp -s "$tmp/tiny.yaml" "$tmp/notes" || fail "the file was replaced"
echo '[{"role": "user"}]' >"$tmp/bad.json"
echo "/load $tmp/bad.json" >"$tmp/in"
talk <"$tmp/in"
failure "$tmp/bad.json: message 0 is no {\"role\": \"...\", \"content\": \"...\"}"

# Another adapter in the middle: what was computed is computed again.
module=base_model.model.model.layers.0.self_attn.o_proj
mkdir "$tmp/adapter"
{
    printf '\000\002\000\000\000\000\000\000%-512s' "$(printf '{"%s.lora_A.weight":{"dtype":"F16","shape":[1,32],"data_offsets":[0,64]},"%s.lora_B.weight":{"dtype":"F16","shape":[32,1],"data_offsets":[64,128]}}' $module $module)"
    head -c 128 /dev/zero | tr '\000' '\063'
} >"$tmp/adapter/adapter_model.safetensors"
echo '{"peft_type": "LORA", "r": 1, "lora_alpha": 2}' >"$tmp/adapter/adapter_config.json"
talk <<END
/adapter $tmp/adapter=2
/adapter
hello
/clear
/adapter none
hello
/adapter $tmp/adapter=2
/regenerate
END
status 0
answers 3
err_has "adapter              2      $tmp/adapter"
sed -n 2p "$tmp/stdout" | cmp -s - "$tmp/answer" || fail "without the adapter another answer"
sed -n 1p "$tmp/stdout" >"$tmp/adapted"
cmp -s "$tmp/adapted" "$tmp/answer" && fail "the adapter does nothing"
sed -n 3p "$tmp/stdout" | cmp -s - "$tmp/adapted" || fail "keys and values of the model without the adapter were used"
run "$LINNET" chat --model "$tmp/m.gguf" --prompt hello --temperature 0 --max-tokens 8 --json -q --adapter "$tmp/adapter=2"
status 0
cmp -s "$tmp/stdout" "$tmp/adapted" || fail "--adapter is not what /adapter is"

# Several, by name; what was loaded stays, and the conversation goes on.
cp -r "$tmp/adapter" "$tmp/a dapter"
talk <<END
/adapter one:$tmp/adapter=2
/adapter $tmp/a dapter=-0.5
/adapter
/adapter one
hello
/adapter a dapter=0.25
/regenerate
/adapter two:$tmp/adapter=2.5 one=-0.5
/regenerate
/adapter none
/regenerate
/adapter
END
status 0
answers 4
grep -v '^(cut off' "$tmp/stderr" >"$tmp/list"
printf '%-20s %-6s %s\n' one off "$tmp/adapter" 'a dapter' -0.5 "$tmp/a dapter" one off "$tmp/adapter" \
    'a dapter' off "$tmp/a dapter" two off "$tmp/adapter" | cmp -s - "$tmp/list" || fail "another list"
for line in 1 3; do
    sed -n ${line}p "$tmp/stdout" | cmp -s - "$tmp/adapted" || fail "answer $line is another"
done
sed -n 2p "$tmp/stdout" | cmp -s - "$tmp/adapted" && fail "the other adapter is the same"
sed -n 4p "$tmp/stdout" | cmp -s - "$tmp/answer" || fail "without adapters another answer"
refused "/adapter $tmp/adapter adapter" '/adapter adapter: said twice'
refused "/adapter $tmp/adapter=x" "/adapter $tmp/adapter=x: expected a number after the \"=\", found \"x\""
cp -r "$tmp/adapter" "$tmp/run/adapter"
refused "/adapter $tmp/adapter $tmp/run/adapter" "/adapter: two adapters are called \"adapter\"; give one another name: \
/adapter NAME:$tmp/run/adapter"

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
