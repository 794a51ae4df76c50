# linnet imatrix: what it says, what it writes in both forms, and what it refuses. The values are held against
# llama.cpp's in tests/qat/test_imatrix.c.
. tests/cli/lib.inc

model=tests/fixtures/choices
imatrix() { run "$LINNET" imatrix --model "$model" -q "$@"; }
# report TEXT: stdout but for the line with the seconds
report() {
    grep -q '^seconds     [0-9]*\.[0-9][0-9]$' "$tmp/stdout" || fail "no line with the seconds"
    grep -v '^seconds ' "$tmp/stdout" >"$tmp/report"
    exactly "$tmp/report" "$1"
}

"$LINNET" data synth --out "$tmp/corpus.jsonl" --size 8k --seed 3 -q
imatrix --data "$tmp/corpus.jsonl" --out "$tmp/a.gguf" --context 32 --chunks 5
status 0
err ''
grep '^perplexity' "$tmp/stdout" >"$tmp/perplexity"
report "entries     14
chunks      5 of 32 tokens
tokens      160
$(cat "$tmp/perplexity")"
run "$LINNET" info "$tmp/a.gguf"
status 0
out_has '  general.type         imatrix'
out_has '  imatrix.chunk_count  5'
out_has '  imatrix.chunk_size   32'
grep -q 'blk.1.ffn_down.weight.in_sum2 ' "$tmp/stdout" || fail "a tensor is missing"
grep -q '^  output\|token_embd' "$tmp/stdout" && fail "the output layer was not asked for"

# As JSON, in the old form, with the output layer; never over a file that is there unless told to
imatrix --data "$tmp/corpus.jsonl" --out "$tmp/a.dat" --context 32 --chunks 5 --legacy --process-output --json
status 0
grep -q '^{"entries": 15, "chunks": 5, "chunk_size": 32, "tokens": 160, "unseen": 0, "perplexity": ' "$tmp/stdout" ||
    fail "other JSON"
[ "$(od -An -tu4 -N8 "$tmp/a.dat" | tr -s ' ')" = " 15 19" ] || fail "not the old form"
imatrix --data "$tmp/corpus.jsonl" --out "$tmp/a.gguf"
usage_error 'imatrix ' "$tmp/a.gguf: already there; choose another name, or --force to replace it"
imatrix --data "$tmp/corpus.jsonl" --out "$tmp/a.gguf" --context 32 --chunks 5 --force
status 0

# The same whatever the number of threads; all of the text; the model's context
imatrix --data "$tmp/corpus.jsonl" --out "$tmp/b.gguf" --context 32 --chunks 5 --threads 1
status 0
cmp -s "$tmp/a.gguf" "$tmp/b.gguf" || fail "another file with one thread"
imatrix --data "$tmp/corpus.jsonl" --out "$tmp/whole.gguf"
status 0
grep -q ' of 96 tokens$' "$tmp/stdout" || fail "not the model's context"
imatrix --data "$tmp/corpus.jsonl" --out "$tmp/long.gguf" --context 128 --chunks 1
status 0
err 'linnet: warning: chunks are 128 tokens long, more than the 96 the model was made for'

# Errors
printf 'A short text.' >"$tmp/short.txt"
imatrix --data "$tmp/short.txt" --out "$tmp/c.gguf"
status 2
grep -q '^linnet: error: --data: the text has [0-9]* tokens, less than one chunk of 96: give more text, or a smaller --context$' \
    "$tmp/stderr" || fail "another error"
[ -e "$tmp/c.gguf" ] && fail "a file was written"
imatrix --data "$tmp/none.txt" --out "$tmp/c.gguf"
failure "$tmp/none.txt: No such file or directory"
imatrix --data "$tmp/short.txt" --out "$tmp/none/c.gguf"
status 1
imatrix --data "$tmp/short.txt" --out "$tmp/c.gguf" --context 3
usage_error 'imatrix ' '--context: a chunk needs at least 4 tokens'
imatrix --data "$tmp/short.txt"
usage_error 'imatrix ' 'missing --out FILE: the file to write'

# Experts that no token went to
cat >"$tmp/experts.yaml" <<'YAML'
model: {architecture: mixtral, hidden_size: 32, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2,
        num_key_value_heads: 1, num_experts: 16, num_experts_per_tok: 1}
tokenizer: {splitter: bytes, vocab_size: 256}
optim: {warmup_iters: 1}
train: {iters: 1, batch_size: 1, max_seq_length: 16, eval_iters: 1}
YAML
run "$LINNET" pretrain -c "$tmp/experts.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/run" -q
status 0
model=$tmp/run
imatrix --data "$tmp/short.txt" --out "$tmp/experts.gguf" --context 6
status 0
grep -q '^linnet: warning: [0-9]* of 53 matrices belong to experts that no token went to: all their columns are taken to be as important; more text helps$' \
    "$tmp/stderr" || fail "another warning"
grep -q '^entries     8$' "$tmp/stdout" || fail "other entries"
