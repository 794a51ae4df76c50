# eval export, and --check of the commands that write models: what is the same, and each way to be wrong.
. tests/cli/lib.inc

cat >"$tmp/tiny.yaml" <<'YAML'
model: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2}
tokenizer: {vocab_size: 500, special_tokens: ["<|stop|>"]}
train: {iters: 60, batch_size: 4, max_seq_length: 64}
optim: {warmup_iters: 5}
YAML
run "$LINNET" data synth --out "$tmp/corpus.jsonl" --size 200k --seed 3 --quiet
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/run" --quiet
status 0
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    echo '{"messages": [{"role": "user", "content": "What is '$i' plus 3?"}, {"role": "assistant", "content": "It is '$((i + 3))'."}]}'
done >"$tmp/chats.jsonl"
sft() {
    run "$LINNET" sft --data "$tmp/chats.jsonl" --model "$tmp/run" --validation-fraction 0 --warmup-iters 2 --probe none \
        --max-seq-length 64 -q "$@"
    status 0
}
sft --method full --chat-template plain --out "$tmp/tuned" --iters 60 --batch-size 8 --learning-rate 0.005

# The numbers that depend on the machine, and the test's folder, are taken out; stdout without them is compared.
numbers='s/KL divergence [0-9.e+-]*/KL divergence D/; s/the same at [0-9.]*%/the same at S%/; s/up to [0-9.e+-]* apart/up to U apart/
    s/perplexity [0-9.]* -> [0-9.]*/perplexity A -> B/; s/without its adapters [0-9.e+-]*/without its adapters D/'
plain() { sed -e "s#$tmp/##g" -e "$numbers" "$tmp/stdout" >"$tmp/plain"; }
# check FILE FLAGS...
check() {
    file=$1
    shift
    run "$LINNET" eval export --model "$tmp/tuned" --exported "$tmp/$file" --data "$tmp/chats.jsonl" "$@"
    plain
}
# differs FILE NAMES LINE...: these lines among what is said, and no others that differ
differs() {
    check "$1"
    status 1
    err "linnet: error: $tmp/$1 is not what it was made from: $2"
    shift 2
    for line in "$@"; do
        grep -qxF -e "$line" "$tmp/plain" || fail "no line: $line"
    done
}
# patch FILE SED...: bytes of the good file replaced, as many as there were
patch() {
    file=$1
    shift
    LC_ALL=C sed "$@" "$tmp/good.gguf" >"$tmp/$file"
    cmp -s "$tmp/good.gguf" "$tmp/$file" && fail "$file is not patched"
    [ "$(wc -c <"$tmp/good.gguf")" = "$(wc -c <"$tmp/$file")" ] || fail "$file has another size"
}

same='ok       vocabulary      500 tokens, the same texts and kinds
ok       special tokens  BOS 0 "<|stop|>", EOS 0 "<|stop|>"; BOS is not put before every text
ok       chat template   12 conversations, the same texts as by the model'"'"'s own
ok       token ids       12 rows, 349 tokens, the same
ok       BOS             12 of 12 rows begin with BOS, once, as trained
ok       end of answers  12 answers, each ends with a token that stops generation
ok       shape           a context of 64 tokens, the same sizes, scales and rotary frequencies'

# Exported, and checked at once
run "$LINNET" export --model "$tmp/tuned" --dtype f32 --out "$tmp/good.gguf" --check "$tmp/chats.jsonl" -q
status 0
err ''
plain
exactly "$tmp/plain" "$same
ok       predictions     226 tokens of 8 rows, f32: KL divergence D, the likeliest token the same at S%, probabilities up to U apart, perplexity A -> B
ok       greedy answers  8 of 8 greedy answers are the same to their end (48 tokens); 8 ended by themselves, of the original's 8"
check good.gguf --rows 0
status 0
err ''
exactly "$tmp/plain" "$same
-        predictions     no rows were asked for
-        greedy answers  no rows were asked for"
check good.gguf --rows 3 --tokens 0
status 0
grep -qx 'ok       predictions     [0-9]* tokens of 3 rows, .*' "$tmp/plain" || fail "no predictions"
out_has '-        greedy answers  no answers were asked for'
check good.gguf --json
status 0
err ''
grep -q '^{"same": true, "checks": \[{"name": "vocabulary", "status": "ok", "said": "500 tokens, the same texts and kinds"}, .*'\
'{"name": "end of answers", "status": "ok", "said": "[^"]*", "numbers": {"answers": 12, "end_as_trained": 12, '\
'"end_in_the_file": 12}}, .*{"name": "predictions", "status": "ok", "said": "[^"]*", "numbers": {"type": "f32", "tokens": 226, '\
'"kl_divergence": [0-9.e-]*, "same_top": 1.0, "largest_change": [0-9.e-]*, "perplexity_before": [0-9.]*, '\
'"perplexity": [0-9.]*}}, .*{"name": "greedy answers", "status": "ok", .*"numbers": {"answers": 8, "same": 8, "tokens": [0-9]*, '\
'"ended": [0-9], "ended_before": [0-9]}}\]}$' "$tmp/stdout" || fail "other JSON"

# Few bits are noise; of a directory all is known as of a file.
run "$LINNET" quantize --model "$tmp/good.gguf" --type q4_0 --out "$tmp/q4.gguf" -q --json --check "$tmp/chats.jsonl"
status 0
grep -q '^{"out": ".*"check": {"same": true, ' "$tmp/stdout" || fail "no check in the JSON"
check q4.gguf
status 0
grep -qx 'ok       predictions     226 tokens of 8 rows, q4_0: .*' "$tmp/plain" || fail "no predictions"
run "$LINNET" export --model "$tmp/good.gguf" --format hf --dtype f32 --out "$tmp/good" --check "$tmp/chats.jsonl" -q
status 0
err ''
plain
sed '/predictions/,$d' "$tmp/plain" >"$tmp/checked"
exactly "$tmp/checked" "$same"

# Special tokens
patch eos.gguf 's/tokenizer.ggml.eos_token_id/tokenizer.ggml.eos_token_xx/'
differs eos.gguf 'special tokens, chat template, end of answers, greedy answers' \
    'DIFFERS  special tokens  EOS is none, in the original 0 "<|stop|>"; generation stops in the original alone at 0 "<|stop|>"' \
    "                         -> set the file's EOS (tokenizer.ggml.eos_token_id): programs stop at it" \
    'DIFFERS  end of answers  12 of 12 answers end with a token that stops nothing, 0 "<|stop|>", which stops the original'
patch bos.gguf 's/tokenizer.ggml.bos_token_id/tokenizer.ggml.bos_token_xx/'
differs bos.gguf 'special tokens, chat template, BOS' 'DIFFERS  special tokens  BOS is none, in the original 0 "<|stop|>"' \
    'DIFFERS  BOS             12 of 12 rows were trained with BOS and will be without'
patch adds.gguf 's/\(tokenizer.ggml.add_bos_token....\)./\1\x01/'
differs adds.gguf 'special tokens' 'DIFFERS  special tokens  BOS is put to every text, in the original it is not'
patch text.gguf 's/<|stop|>/<|stOp|>/'
differs text.gguf 'vocabulary, chat template, token ids' 'DIFFERS  vocabulary      token 0 "<|stop|>" is "<|stOp|>"'

# Kinds of tokens: end tokens that are plain text
cp -r "$tmp/good" "$tmp/kind"
sed -i 's/"special": true/"special": false/' "$tmp/kind/tokenizer.json" "$tmp/kind/tokenizer_config.json"
differs kind 'vocabulary' 'DIFFERS  vocabulary      token 0 "<|stop|>" is user-defined, in the original control'

# Templates
patch words.gguf 's/Assistant: /Assistent: /'
differs words.gguf 'chat template' \
    'DIFFERS  chat template   12 of 12 conversations are written differently: chats.jsonl:1 at byte 39: "What is 1 plus 3?\nAssistent: It is 4.<|stop|>\n", as trained "What is 1 plus 3?\nAssistant: It is 4.<|stop|>\n"'
patch none.gguf 's/tokenizer.chat_template/tokenizer.chat_templatx/'
differs none.gguf 'chat template' 'DIFFERS  chat template   none, for 12 conversations' \
    "-        BOS             the file's template writes no row"
patch broken.gguf 's/{%- endfor -%}/{%- endfox -%}/'
check broken.gguf
failure "$tmp/broken.gguf: the model's chat template: line 14, column 5: \"endfox\" ends no block"
patch refuses.gguf 's/if tools %/if 1 > 0 %/'
differs refuses.gguf 'chat template' \
    "DIFFERS  chat template   12 of 12 conversations are written differently: chats.jsonl:1: the model's chat template: line 2, \
column 19: the template refuses the conversation: the template plain has no form for tools"
patch opens.gguf "s/-%}{{- 'Assistant:' -}}/-%}{{- 'Assistent:' -}}/"
differs opens.gguf 'chat template' \
    'DIFFERS  chat template   12 of 12 prompts are opened differently: chats.jsonl:1 at byte 39: "What is 1 plus 3?\nAssistent:", as trained "What is 1 plus 3?\nAssistant:"'
patch other.gguf 's/+ message.content -}}{{- eos/+  message.content-}}{{- eos/'
check other.gguf
status 0
err ''
grep -qx "note     chat template   12 conversations, the same texts as by the model's own, though the template is another one" "$tmp/plain" ||
    fail "no note"

# BOS twice, and BOS that training did not have
cp -r "$tmp/good" "$tmp/twice"
sed -i 's/{{- bos_token -}}/{{- bos_token -}}{{- bos_token -}}/' "$tmp/twice/tokenizer_config.json"
differs twice 'chat template, BOS' 'DIFFERS  BOS             12 of 12 rows begin with BOS more than once'
cp -r "$tmp/good" "$tmp/without"
sed -i 's/{{- bos_token -}}//; s/"add_bos_token": false/"add_bos_token": true/' "$tmp/without/tokenizer_config.json"
run "$LINNET" eval export --model "$tmp/without" --exported "$tmp/without" --data "$tmp/chats.jsonl"
status 0
out_has 'note     BOS             12 of 12 rows were trained without BOS, which programs that follow the file will put there'

# The template of training is not the file's, and never ends a turn
check good.gguf --chat-template chatml --rows 0
status 1
err "linnet: error: $tmp/good.gguf is not what it was made from: chat template, BOS, end of answers"
out_has 'DIFFERS  end of answers  12 of 12 answers end with no token that stops generation but with 30 ">"'

# The model: rotation, scales, context, weights
cp -r "$tmp/good" "$tmp/theta"
sed -i 's/"rope_theta": 10000.0/"rope_theta": 500000.0/; s/"rms_norm_eps": 1e-5/"rms_norm_eps": 1e-3/' "$tmp/theta/config.json"
differs theta 'shape, predictions, greedy answers' \
    'DIFFERS  shape           rms_norm_eps is 0.001, in the original 1e-05; rotary frequencies are up to 97% apart'
run "$LINNET" convert --model "$tmp/good.gguf" --context 32 --out "$tmp/short.gguf" -q
status 0
check short.gguf
status 0
err ''
grep -qx 'note     shape           a context of 32 tokens, in the original 64' "$tmp/plain" || fail "no note of the context"
patch swapped.gguf 's/blk\.0\.ffn_up/blk.9.ffn_up/; s/blk\.1\.ffn_up/blk.0.ffn_up/; s/blk\.9\.ffn_up/blk.1.ffn_up/'
differs swapped.gguf 'predictions, greedy answers' \
    '                         -> far more than rounding: the file has other weights, or an adapter is missing' \
    '                         -> the original is sure of its token there, so that rounding does not explain the other one'

# Another model of the same shape: nothing of it fits.
run "$LINNET" data synth --out "$tmp/other.jsonl" --size 100k --seed 4 --quiet
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/other.jsonl" --iters 1 --warmup-iters 0 --out "$tmp/other" --quiet
status 0
differs other 'vocabulary, chat template, token ids, predictions, greedy answers'
grep -qx 'DIFFERS  vocabulary      token [0-9]* "[^"]*" is "[^"]*", and [0-9]* more' "$tmp/plain" || fail "no token"
grep -qx 'DIFFERS  token ids       1[12] of 12 rows: chats.jsonl:1 at byte [0-9]*, "<|stop|>.*": [0-9]* .*; in the original [0-9]* .*' \
    "$tmp/plain" || fail "no ids"

# Adapters that are in the file, and that are not
sft --method lora --chat-template plain --out "$tmp/lora" --iters 20 --batch-size 8 --learning-rate 0.01
run "$LINNET" merge --model "$tmp/lora" --type q8_0 --out "$tmp/merged.gguf" --check "$tmp/chats.jsonl" -q
status 0
err ''
grep -qx 'ok       predictions     226 tokens of 8 rows, q8_0: .*' "$tmp/stdout" || fail "no predictions"
run "$LINNET" export --model "$tmp/run" --out "$tmp/base.gguf" -q
status 0
run "$LINNET" eval export --model "$tmp/lora" --exported "$tmp/base.gguf" --data "$tmp/chats.jsonl"
status 1
err "linnet: error: $tmp/base.gguf is not what it was made from: chat template, predictions"
plain
grep -qx 'DIFFERS  predictions     .*, f16: .*, from the base without its adapters D' "$tmp/plain" || fail "no adapters missed"
out_has '                         -> the adapters are not in the file: linnet merge puts them there'

# Rows of other kinds; bad ones
{
    echo '{"text": "Once upon a time there was a cat."}'
    echo '{"prompt": "What is 1 plus 1?", "completion": " It is 2."}'
    echo '{"nothing": 1}'
} >"$tmp/text.jsonl"
run "$LINNET" merge --model "$tmp/run" --adapter "$tmp/lora/adapter" --adapter "$tmp/lora/adapter=0.5" --out "$tmp/both.gguf" --json \
    -q --check "$tmp/text.jsonl"
status 0
err ''
grep -q '"check": {"same": true, ' "$tmp/stdout" || fail "no check in the JSON"
run "$LINNET" eval export --model "$tmp/run" --exported "$tmp/base.gguf" --data "$tmp/text.jsonl"
status 0
err ''
out_has '-        chat template   the rows are texts, which no template writes'
plain
grep -qx 'ok       token ids       2 rows, 28 tokens, the same; 1 bad row left out, text.jsonl:3: no known schema: .*\.\.\.' "$tmp/plain" ||
    fail "no bad row"
run "$LINNET" eval export --model "$tmp/run" --exported "$tmp/base.gguf" --data "$tmp/chats.jsonl"
failure "none of the rows is an example: $tmp/chats.jsonl:1: a conversation, and there is no chat template to write it with; \
--chat-template gives one: a file, chatml or plain"

# What cannot be
run "$LINNET" eval export --exported "$tmp/good.gguf" --data "$tmp/chats.jsonl"
usage_error 'eval export ' 'missing --model PATH: the original: a run directory, a checkpoint, a Hugging Face directory, or a GGUF file'
run "$LINNET" eval export --model "$tmp/run" --data "$tmp/chats.jsonl"
usage_error 'eval export ' 'missing --exported PATH: what was made of it: a GGUF file or a Hugging Face directory'
run "$LINNET" eval export --model "$tmp/run" --exported "$tmp/good.gguf"
status 2
out ''
grep -q '^linnet: error: missing --data PATH...: ' "$tmp/stderr" || fail "another error"
run "$LINNET" eval export --model "$tmp/run" --exported "$tmp/missing.gguf" --data "$tmp/chats.jsonl"
failure "$tmp/missing.gguf: no such file or directory; --model takes a run directory, a Hugging Face directory, or a .gguf file"
run "$LINNET" export --model "$tmp/run" --out "$tmp/never.gguf" --check "$tmp/missing.jsonl"
failure "--check: $tmp/missing.jsonl: No such file or directory"
[ ! -e "$tmp/never.gguf" ] || fail "the file was written before its check was looked at"
: >"$tmp/empty.jsonl"
run "$LINNET" export --model "$tmp/tuned" --out "$tmp/x.gguf" --check "$tmp/empty.jsonl" -q
failure "--check: the dataset holds no row: $tmp/empty.jsonl is empty"
