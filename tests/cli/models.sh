# What a trained model is for: generate, eval ppl, eval logits, export.
. tests/cli/lib.inc

cat >"$tmp/tiny.yaml" <<'YAML'
model:
  hidden_size: 32
  intermediate_size: 64
  num_hidden_layers: 2
  num_attention_heads: 4
  num_key_value_heads: 2
tokenizer:
  vocab_size: 400
train:
  iters: 30
  batch_size: 4
  max_seq_length: 64
YAML
run "$LINNET" data synth --out "$tmp/corpus.jsonl" --size 200k --seed 3 --quiet
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/run" --quiet
status 0

# Every form of a model says the same.
model=$tmp/run
generate() { run "$LINNET" generate --model "$model" --prompt "Once upon a time" -q "$@"; }
generate --temperature 0 --max-tokens 20
status 0
err ''
cp "$tmp/stdout" "$tmp/text"
grep -q '^Once upon a time' "$tmp/text" || fail "no prompt"
run "$LINNET" export --model "$tmp/run" --dtype f32 --out "$tmp/m.gguf"
status 0
out ''
err "$tmp/m.gguf: 31.4k parameters, f32"
run "$LINNET" export --model "$tmp/m.gguf" --format hf --dtype f32 --out "$tmp/hf" -q
status 0
err ''
run "$LINNET" export --model "$tmp/m.gguf" --format hf --dtype f32 --max-shard-size 40k \
    --out "$tmp/shards" -q
status 0
[ -e "$tmp/shards/model-00002-of-00003.safetensors" ] || fail "the weights are not in three files"
for model in "$tmp/m.gguf" "$tmp/hf" "$tmp/shards" "$tmp/run/checkpoints/last.h5"; do
    generate --temperature 0 --max-tokens 20
    status 0
    cmp -s "$tmp/stdout" "$tmp/text" || fail "$model continues differently"
done
run "$LINNET" export --model "$tmp/hf" --dtype f32 --out "$tmp/again.gguf" --name run -q
status 0
run "$LINNET" export --model "$tmp/run" --dtype f32 --out "$tmp/run.gguf" -q
status 0
cmp -s "$tmp/again.gguf" "$tmp/run.gguf" || fail "another file after a way through Hugging Face's format"

# generate: the parts of its output
model=$tmp/m.gguf
generate --temperature 0 --max-tokens 20 --no-echo
printf 'Once upon a time%s\n' "$(cat "$tmp/stdout")" | cmp -s - "$tmp/text" || fail "not the text alone"
generate --temperature 0 --max-tokens 20 --json
status 0
cp "$tmp/stdout" "$tmp/greedy.json"
grep -q '^{"tokens": \[.*\], "continuation": \[.*\], "text": ".*", "stop_reason": "length"}$' \
    "$tmp/stdout" || fail "other JSON"
printf 'Once upon a time\n' >"$tmp/prompt.txt"
run "$LINNET" generate --model "$model" --prompt-file "$tmp/prompt.txt" --temperature 0 \
    --max-tokens 20 --json -q
cmp -s "$tmp/stdout" "$tmp/greedy.json" || fail "a prompt from a file continues differently"
generate --seed 5 --json
cp "$tmp/stdout" "$tmp/seed5"
generate --seed 5 --json
cmp -s "$tmp/stdout" "$tmp/seed5" || fail "the same seed, another text"
generate --seed 6 --json
cmp -s "$tmp/stdout" "$tmp/seed5" && fail "another seed, the same text"
generate --max-tokens 1 --stop e --stop a --stop ' ' --json --temperature 0
status 0
run "$LINNET" generate --model "$model" --prompt "Once upon a time" --max-tokens 3 --ignore-eos
status 0
grep -q '^prompt: [0-9]* tokens ([0-9.]* tokens/s); continuation: 3 ([0-9.]* tokens/s); ended by: length$' \
    "$tmp/stderr" || fail "no statistics"
generate --max-tokens 0 --ignore-eos --json
grep -q '"stop_reason": "context"}$' "$tmp/stdout" || fail "did not stop at the context"

# Keys and values of other types, and a context that goes on
for type in f32 f16; do
    generate --temperature 0 --max-tokens 20 --json --cache-type $type
    status 0
    cmp -s "$tmp/stdout" "$tmp/greedy.json" || fail "--cache-type $type continues differently"
done
generate --cache-type q8_0
usage_error 'generate ' "keys and values cannot be kept as q8_0: its blocks are of 32, the model's heads of 8; \
take f16"
generate --max-tokens 200 --context 32 --ignore-eos --json
grep -q '"stop_reason": "context"}$' "$tmp/stdout" || fail "did not stop at the context"
generate --max-tokens 200 --context 32 --ignore-eos --json --context-shift --keep 4
status 0
grep -q '"stop_reason": "length"}$' "$tmp/stdout" || fail "did not go on"

# Ctrl-C: what there is, and why. Before the first token a signal simply ends it (143), which on a busy machine
# may be some seconds.
for wait in 1 3 9 27; do
    "$LINNET" generate --model "$model" --prompt "Once" --max-tokens 0 --context 1000000 --ignore-eos \
        --json >"$tmp/stdout" 2>"$tmp/stderr" &
    child=$!
    sleep $wait
    kill -TERM $child
    wait $child
    got=$? shown='generate, interrupted'
    [ $got = 143 ] || break
done
status 130
grep -q '"stop_reason": "interrupted"}$' "$tmp/stdout" || fail "no JSON"
err_has "linnet: interrupted"

# eval
run "$LINNET" eval ppl --model "$model" --data "$tmp/corpus.jsonl" -q
status 0
err ''
grep -q '^perplexity     [0-9.]*$' "$tmp/stdout" || fail "no perplexity"
grep -q '^bits per byte  [0-9.]*$' "$tmp/stdout" || fail "no bits per byte"
sed -n 's/^tokens *//p' "$tmp/stdout" >"$tmp/tokens"
run "$LINNET" eval ppl --model "$model" --data "$tmp/corpus.jsonl" --max-seq-length 32 --stride 8 \
    --batch-size 3 --json -q
status 0
grep -q "\"tokens\": $(cat "$tmp/tokens")," "$tmp/stdout" || fail "another number of tokens"
run "$LINNET" eval logits --model "$model" --text "Once upon" --top 2 --json
status 0
grep -q '^{"tokens": \[.*\], "positions": \[\[\[[0-9]*, [0-9.e-]*\], \[[0-9]*, [0-9.e-]*\]\]' \
    "$tmp/stdout" || fail "other JSON"

# What cannot be
run "$LINNET" generate --prompt x
usage_error 'generate ' "missing --model PATH: a run directory, a checkpoint, a Hugging Face \
directory, or a GGUF file"
run "$LINNET" generate --model "$model"
usage_error 'generate ' 'missing --prompt TEXT (or --prompt-file FILE)'
generate --prompt-file "$tmp/prompt.txt"
usage_error 'generate ' '--prompt and --prompt-file: one of them, not both'
generate --stop ''
usage_error 'generate ' '--stop: an empty text is everywhere'
generate --context 2
status 2
grep -q 'linnet: error: the prompt is [0-9]* tokens long, [0-9]* more than the context of 2 tokens' \
    "$tmp/stderr" || fail "no such error"
run "$LINNET" export --model "$model" --out "$tmp/m.gguf"
usage_error 'export ' "$tmp/m.gguf: already there; choose another name, or --force to replace it"
run "$LINNET" export --model "$model" --format hf --out "$tmp/hf"
usage_error 'export ' \
    "$tmp/hf: already there and not empty; choose another name, or --force to replace it"
run "$LINNET" export --model "$model" --format hf --out "$tmp/hf" --force -q
status 0
run "$LINNET" export --model "$tmp/nothing" --out "$tmp/x.gguf"
failure "$tmp/nothing: no such file or directory; --model takes a run directory, a Hugging Face \
directory, or a .gguf file"
mkdir "$tmp/pickle"
cp "$tmp/hf/config.json" "$tmp/pickle"
: >"$tmp/pickle/pytorch_model.bin"
run "$LINNET" generate --model "$tmp/pickle" --prompt x
failure "$tmp/pickle: pytorch_model.bin: a PyTorch checkpoint, which can run code when it is loaded and \
is never read; convert it, where transformers is installed, with: python3 -c \"from transformers import \
AutoModelForCausalLM as M; M.from_pretrained('.').save_pretrained('.', safe_serialization=True)\""
run "$LINNET" export --model "$model" --out "$tmp/no/such/folder/x.gguf"
status 1
head -c 5000 "$model" >"$tmp/cut.gguf"
run "$LINNET" generate --model "$tmp/cut.gguf" --prompt x
status 1
out ''

# A full disk: a file half written is none.
if [ -w /dev/full ]; then
    "$LINNET" generate --model "$model" --prompt x -q >/dev/full 2>"$tmp/stderr"
    got=$? shown='generate >/dev/full'
    status 1
fi
cp "$model" "$tmp/kept.gguf"
(
    ulimit -f 8
    "$LINNET" export --model "$model" --out "$tmp/kept.gguf" --force -q 2>"$tmp/stderr"
)
got=$? shown='export, disk full'
status 1
cmp -s "$model" "$tmp/kept.gguf" || fail "the file that was there is damaged"

# A trained model from elsewhere, with the text that llama.cpp makes of it
golden=${LINNET_SHARED:-../shared}/golden
if [ -d "$golden" ]; then
    run "$LINNET" generate --model "$golden/stories260K-f32.gguf" --prompt "Once upon a time" \
        --temperature 0 --max-tokens 70 --stop " high" -q
    out "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. \
One day, she saw a big, red ball. She wanted to play with it, but it was too"
else
    echo "skipped: no golden models in $golden"
fi
