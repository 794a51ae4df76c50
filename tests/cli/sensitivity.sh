# sensitivity: what it prints, what it chooses, the file that quantize reads, and what it refuses. The numbers are held
# against their definition in tests/infer/test_sensitivity.c.
. tests/cli/lib.inc

wide_base run
model=$tmp/run
sensitivity() { run "$LINNET" sensitivity --model "$model" -q "$@"; }

# The table: a row a matrix in the order of the file, a column a type
sensitivity --data "$tmp/corpus.jsonl" --context 32 --chunks 4 --types q2_k,Q4_K
status 0
err ''
sed 's/[-+]\{0,1\}[0-9]\.[0-9][0-9]e-[0-9][0-9]/N/g; s/  *N/ N/g; s/loss [0-9.]*$/loss N/' "$tmp/stdout" >"$tmp/table"
exactly "$tmp/table" 'KL divergence, nats a token, when one matrix alone is rounded; 128 tokens, loss N

name                         weights        q2_k        q4_k
token_embd.weight              65536 N N
blk.0.attn_q.weight            65536 N N
blk.0.attn_k.weight            32768 N N
blk.0.attn_v.weight            32768 N N
blk.0.attn_output.weight       65536 N N
blk.0.ffn_gate.weight          65536 N N
blk.0.ffn_up.weight            65536 N N
blk.0.ffn_down.weight          65536 N N
blk.1.attn_q.weight            65536 N N
blk.1.attn_k.weight            32768 N N
blk.1.attn_v.weight            32768 N N
blk.1.attn_output.weight       65536 N N
blk.1.ffn_gate.weight          65536 N N
blk.1.ffn_up.weight            65536 N N
blk.1.ffn_down.weight          65536 N N
output.weight                  65536 N N
sum                           917504 N N
sum of loss N N
bits a weight                             2.6250      4.5000'
awk '$1 == "sum" {exit !($3 > 0 && $4 > 0 && $3 > $4)}' "$tmp/stdout" || fail "more bits do not lose less"

# A row a layer
sensitivity --data "$tmp/corpus.jsonl" --context 32 --chunks 4 --types q2_k q4_k --group layer
status 0
sed -n 's/^\([a-z][a-z_0-9.]*\) .*/\1/p' "$tmp/stdout" | tr '\n' ' ' >"$tmp/names"
[ "$(cat "$tmp/names")" = 'name token_embd.weight blk.0 blk.1 output.weight sum sum bits ' ] || fail "other rows"

# JSON
sensitivity --data "$tmp/corpus.jsonl" --context 32 --chunks 1 --types q8_0 --json
status 0
grep -q '^{"tokens": 32, "weights": 917504, "loss": [0-9.]*, "group": "tensor", "rows": \[{"name": "token_embd.weight", '\
'"weights": 65536, "types": {"q8_0": {"given": "q8_0", "bits": 8.5, "kl": [0-9.e-]*, "loss": [0-9.e-]*}}}, ' "$tmp/stdout" ||
    fail "other JSON"
grep -q choice "$tmp/stdout" && fail "a choice that was not asked for"

# A choice: its file, the same again and with one thread; quantize gives each matrix the type it names
budget() { sensitivity --data "$tmp/corpus.jsonl" --context 32 --chunks 4 --types q2_k,q4_k,q6_k --budget 4 "$@"; }
budget --out "$tmp/a.types"
status 0
sed -n 's/^chosen: \([0-9.]*\) bits a weight, KL divergence [0-9.]* in sum$/\1/p' "$tmp/stdout" >"$tmp/bits"
awk '{exit !($1 > 3.8 && $1 <= 4)}' "$tmp/bits" || fail "not the budget"
sed -n 's/^\([a-z0-9_.]*\)  *[0-9]* .*  \(q[246]_k\)$/\1=\2/p' "$tmp/stdout" >"$tmp/shown"
sed -n 's/^^\(.*\)\$=/\1=/p' "$tmp/a.types" | sed 's/\\//g' >"$tmp/written"
cmp -s "$tmp/shown" "$tmp/written" || fail "the file has other types than the table"
[ "$(wc -l <"$tmp/written")" = 16 ] || fail "not a line for each matrix"
head -n 1 "$tmp/a.types" | grep -q '^# [0-9.]* bits a weight; KL divergence [0-9.]* nats a token in sum, each matrix rounded alone$' ||
    fail "another first line"
grep -qxE '\^blk\\\.0\\\.attn_q\\\.weight\$=q[246]_k' "$tmp/a.types" || fail "no pattern that is all of a name"
[ "$(sed -n 's/.*=//p' "$tmp/a.types" | sort -u | wc -l)" -ge 2 ] || fail "no mix"
budget --out "$tmp/b.types" --threads 1 --json
status 0
cmp -s "$tmp/a.types" "$tmp/b.types" || fail "another file the second time"
grep -q '"choice": {"bits": [0-9.]*, "kl": [0-9.]*, "loss": [0-9.e-]*, "types": {"token_embd.weight": "q[246]_k", ' \
    "$tmp/stdout" || fail "no choice in the JSON"
budget --out "$tmp/a.types"
usage_error 'sensitivity ' "$tmp/a.types: already there; choose another name, or --force to replace it"
run "$LINNET" quantize --model "$model" --type Q4_0 --tensor-type "@$tmp/a.types" --out "$tmp/a.gguf" -q
status 0
run "$LINNET" info "$tmp/a.gguf" --json
status 0
while IFS='=' read -r name type; do
    tr -d '\n' <"$tmp/stdout" | grep -q "\"name\": *\"$name\",[^}]*\"type\": *\"$type\"" || fail "$name is not $type"
done <"$tmp/written"

# The same file for a run that trains for it
run "$LINNET" pretrain -c "$tmp/wide.yaml" --set train.iters=2 --data "$tmp/corpus.jsonl" --out "$tmp/trained" --qat Q4_0 \
    --qat-tensor-type "@$tmp/a.types"
status 0
count=$(grep -c '=q2_k$' "$tmp/written")
grep -q "$count matri[a-z]* in q2_k" "$tmp/stderr" || fail "not the types of the file"
run "$LINNET" pretrain --resume --out "$tmp/trained" --set train.iters=3 --data "$tmp/corpus.jsonl" -q
status 0

# Errors of such a file
printf '# mine\nblk=q8_0\nffn_down\n' >"$tmp/bad.types"
run "$LINNET" quantize --model "$model" --type Q4_0 --tensor-type "@$tmp/bad.types" --out "$tmp/x.gguf" -q
usage_error 'quantize ' "$tmp/bad.types:3: expected PATTERN=TYPE, for example ffn_down=q8_0"
printf 'blk=q8_0\n\nffn_dwn=q8_0\n' >"$tmp/bad.types"
run "$LINNET" quantize --model "$model" --type Q4_0 --tensor-type "@$tmp/bad.types" --out "$tmp/x.gguf" -q
usage_error 'quantize ' "$tmp/bad.types:3: ffn_dwn: no matrix of this model has that in its name, which is as in GGUF files: "\
"blk.0.attn_q.weight, output.weight, ..."
printf 'ffn_(=q8_0\n' >"$tmp/bad.types"
run "$LINNET" quantize --model "$model" --type Q4_0 --tensor-type "@$tmp/bad.types" --out "$tmp/x.gguf" -q
status 2
grep -q "^linnet: error: $tmp/bad.types:1: ffn_(: " "$tmp/stderr" || fail "no place of a bad pattern"
run "$LINNET" quantize --model "$model" --type Q4_0 --tensor-type "@$tmp/none.types" --out "$tmp/x.gguf" -q
failure "$tmp/none.types: No such file or directory"

# An importance matrix changes what is measured; one of another model is refused
run "$LINNET" imatrix --model "$model" --data "$tmp/corpus.jsonl" --context 32 --chunks 4 --out "$tmp/i.gguf" -q
status 0
sensitivity --data "$tmp/corpus.jsonl" --context 32 --chunks 1 --types q2_k
cp "$tmp/stdout" "$tmp/plain"
sensitivity --data "$tmp/corpus.jsonl" --context 32 --chunks 1 --types q2_k --imatrix "$tmp/i.gguf"
status 0
err ''
cmp -s "$tmp/stdout" "$tmp/plain" && fail "importance changes nothing"

# Columns that are no whole blocks: what stands in is said, measured once and counted
run "$LINNET" pretrain -c "$tmp/wide.yaml" --set model.hidden_size=96 --set model.intermediate_size=96 \
    --set model.tie_word_embeddings=true --data "$tmp/corpus.jsonl" --out "$tmp/narrow" --quiet
status 0
model=$tmp/narrow
sensitivity --data "$tmp/corpus.jsonl" --context 32 --chunks 1 --types q2_k,q3_k,q5_k
status 0
err 'linnet: warning: 15 matrices have columns that are no whole blocks of the wanted type; a larger type stands in: '\
'token_embd.weight is iq4_nl instead of q2_k, and so on
linnet: warning: 15 matrices have columns that are no whole blocks of the wanted type; a larger type stands in: '\
'token_embd.weight is iq4_nl instead of q3_k, and so on
linnet: warning: 15 matrices have columns that are no whole blocks of the wanted type; a larger type stands in: '\
'token_embd.weight is q5_1 instead of q5_k, and so on'
awk '$1 == "sum" && $2 != "of" {exit !($3 == $4 && $3 != $5)}' "$tmp/stdout" || fail "one type, measured as two"
out_has 'bits a weight                             4.5000      4.5000      6.0000'
sensitivity --data "$tmp/corpus.jsonl" --context 32 --chunks 1 --types q2_k,q5_k --budget 5 --out "$tmp/narrow.types"
status 0
grep -q '=iq4_nl$' "$tmp/narrow.types" || fail "not the type that stands in"
sensitivity --data "$tmp/corpus.jsonl" --context 32 --chunks 1 # the types that fit
status 0
err ''
grep -q '^name  *weights  *iq4_nl  *q5_0  *q5_1  *q8_0$' "$tmp/stdout" || fail "other types without --types"
sensitivity --data "$tmp/corpus.jsonl" --imatrix "$tmp/i.gguf"
failure 'i.gguf: is of another model: blk.0.attn_k.weight has 256 columns there and 96 in this model'
model=$tmp/run

# What cannot be
sensitivity
usage_error 'sensitivity ' 'missing --data PATH...: .txt and .jsonl files, also gzipped, or directories of them'
run "$LINNET" sensitivity --data "$tmp/corpus.jsonl"
usage_error 'sensitivity ' 'missing --model PATH: a run directory, a checkpoint, a Hugging Face directory, or a GGUF file, '\
'not yet quantised'
printf 'A short text.' >"$tmp/short.txt"
sensitivity --data "$tmp/short.txt"
usage_error 'sensitivity ' '--data: the text has 13 tokens, less than one chunk of 64 and the token behind it: give more text, '\
'or a smaller --context'
sensitivity --data "$tmp/none.txt"
failure "$tmp/none.txt: No such file or directory"
sensitivity --data "$tmp/short.txt" --types q4_k,q7_k
usage_error 'sensitivity ' '--types: there is no type "q7_k"; did you mean q2_k?'
sensitivity --data "$tmp/short.txt" --types q4_k,Q4_K
usage_error 'sensitivity ' '--types: q4_k is there twice'
sensitivity --data "$tmp/short.txt" --types q4_k,
status 2
sensitivity --data "$tmp/short.txt" --types q2_k,q4_k --budget 2.5
usage_error 'sensitivity ' '--budget 2.5: the smallest of these types take 2.6250 bits a weight; give more, or smaller ones '\
'with --types'
sensitivity --data "$tmp/short.txt" --types q2_k,q4_k --budget 5
usage_error 'sensitivity ' '--budget 5: the largest of these types take 4.5000 bits a weight, and there is nothing to choose; '\
'give less, or larger ones with --types'
sensitivity --data "$tmp/short.txt" --out "$tmp/y.types"
usage_error 'sensitivity ' "--out $tmp/y.types: takes the types that --budget BITS chooses; give one"
sensitivity --data "$tmp/corpus.jsonl" --budget 4 --out "$tmp/none/y.types"
status 1
model=$tmp/a.gguf
sensitivity --data "$tmp/corpus.jsonl"
status 2
grep -q ' is q[246]_k already; measure the model it was made from$' "$tmp/stderr" || fail "no such error"

# The edges of the budget
model=$tmp/run
for bits in 2.625 4.5; do
    sensitivity --data "$tmp/corpus.jsonl" --context 32 --chunks 1 --types q2_k,q4_k --budget $bits
    status 0
    grep -q "^chosen: ${bits}0*0 bits a weight" "$tmp/stdout" || fail "not all of one type at $bits"
done
