# quantize: what it writes and says, and what it refuses.
. tests/cli/lib.inc

wide_base run
run "$LINNET" export --model "$tmp/run" --dtype f32 --out "$tmp/m.gguf" -q
status 0
printf 'Once upon a time there was a cat. The cat sat on a mat.\n' >"$tmp/text.txt"
quantize() { run "$LINNET" quantize --model "$tmp/m.gguf" "$@" -q; }

# The report
quantize --type q4_k --out "$tmp/q4.gguf"
status 0
err ''
grep -v '^seconds ' "$tmp/stdout" >"$tmp/report"
exactly "$tmp/report" 'size             3.7 MB -> 563 kB
bits per weight  32.00 -> 4.91
tensors          13 q4_k, 5 f32, 3 q6_k'
grep -qx 'seconds          [0-9.]*' "$tmp/stdout" || fail "no time"
run "$LINNET" generate --model "$tmp/q4.gguf" --prompt Once --max-tokens 5 -q
status 0
run "$LINNET" quantize --model "$tmp/run" --type Q4_K_M --out "$tmp/again.gguf" --name m -q
status 0
cmp -s "$tmp/q4.gguf" "$tmp/again.gguf" || fail "another file from the run than from its export"
quantize --type Q4_K_M --out "$tmp/one.gguf" --threads 1
status 0
cmp -s "$tmp/q4.gguf" "$tmp/one.gguf" || fail "another file with one thread"

# What it costs
quantize --type Q8_0 --out "$tmp/q8.gguf" --eval "$tmp/text.txt" --json
status 0
err ''
grep -q '^{"out": ".*/q8.gguf", "type": "Q8_0", "weights": [0-9]*, "bytes_before": [0-9]*, "bytes": [0-9]*, '\
'"bits_per_weight_before": 32.0, "bits_per_weight": 8.5[0-9]*, "tensors": {"q8_0": 16, "f32": 5}, "fallbacks": 0, '\
'"seconds": [0-9.e-]*, "eval": {"tokens": [0-9]*, "perplexity_before": [0-9.]*, "perplexity": [0-9.]*, '\
'"kl_divergence": [0-9.e-]*, "same_top": [0-9.]*}}$' "$tmp/stdout" || fail "other JSON"
sed 's/.*"tokens": \([0-9]*\), "perplexity_before": \([0-9.]*\), "perplexity": \([0-9.]*\).*/\1 \2 \3/' "$tmp/stdout" \
    >"$tmp/numbers"
read -r tokens before after <"$tmp/numbers"
for pair in "m $before" "q8 $after"; do
    run "$LINNET" eval ppl --model "$tmp/${pair% *}.gguf" --data "$tmp/text.txt" --json -q
    grep -q "\"tokens\": $tokens," "$tmp/stdout" || fail "another number of tokens than eval ppl"
    sed 's/.*"perplexity": \([0-9.]*\).*/\1/' "$tmp/stdout" >"$tmp/ppl"
    awk -v a="$(cat "$tmp/ppl")" -v b="${pair#* }" 'BEGIN {d = a - b; exit !(d < 1e-3 && d > -1e-3)}' ||
        fail "another perplexity than eval ppl: $(cat "$tmp/ppl") and ${pair#* }"
done
quantize --type Q2_K --out "$tmp/q2.gguf" --eval "$tmp/text.txt"
status 0
grep -qx 'perplexity       [0-9.]* -> [0-9.]*' "$tmp/stdout" || fail "no perplexity"
grep -qx 'KL divergence    [0-9.]* nats a token' "$tmp/stdout" || fail "no divergence"
grep -qx 'same top token   [0-9.]*%' "$tmp/stdout" || fail "no share of equal tokens"

# Wishes
quantize --type Q4_K_M --tensor-type 'blk\.1\.ffn_=q8_0' --tensor-type attn_q=F16 --output-tensor-type q5_0 \
    --token-embedding-type q4_0 --out "$tmp/wishes.gguf"
status 0
grep -qx 'tensors          1 q4_0, 5 f32, 2 f16, 8 q4_k, 1 q6_k, 3 q8_0, 1 q5_0' "$tmp/stdout" || fail "other types"
quantize --type Q4_K_M --pure --out "$tmp/pure.gguf"
grep -qx 'tensors          16 q4_k, 5 f32' "$tmp/stdout" || fail "not all of one type"

# An importance matrix, of this model and of another
run "$LINNET" imatrix --model "$tmp/m.gguf" --data "$tmp/corpus.jsonl" --chunks 4 --out "$tmp/i.gguf" -q
status 0
quantize --type Q4_K_M --imatrix "$tmp/i.gguf" --out "$tmp/important.gguf"
status 0
err ''
cmp -s "$tmp/q4.gguf" "$tmp/important.gguf" && fail "importance changes nothing"
run "$LINNET" info "$tmp/important.gguf" --json
grep -q '"quantize.imatrix.entries_count": *14' "$tmp/stdout" || fail "no word of the importance matrix"

# Errors compensated for: the same types, other weights, whatever the number of threads
quantize --type Q3_K_S --pure --out "$tmp/q3.gguf" --eval "$tmp/text.txt" --json
status 0
quantize --type Q3_K_S --pure --out "$tmp/c3.gguf" --calibration "$tmp/corpus.jsonl" --calibration-chunks 32 \
    --calibration-context 32
status 0
err ''
grep -qx 'tensors          16 q3_k, 5 f32' "$tmp/stdout" || fail "other types with calibration"
cmp -s "$tmp/q3.gguf" "$tmp/c3.gguf" && fail "calibration changes nothing"
[ "$(wc -c <"$tmp/q3.gguf")" = "$(wc -c <"$tmp/c3.gguf")" ] || fail "another size with calibration"
quantize --type Q3_K_S --pure --out "$tmp/again3.gguf" --calibration "$tmp/corpus.jsonl" --calibration-chunks 32 \
    --calibration-context 32 --threads 1
cmp -s "$tmp/c3.gguf" "$tmp/again3.gguf" || fail "another file with one thread, calibrated"
head -c 3000 "$tmp/corpus.jsonl" | tail -c 2000 >"$tmp/held.txt"
divergence() {
    run "$LINNET" quantize --model "$tmp/m.gguf" --type Q3_K_S --pure --out "$tmp/d.gguf" --force \
        --eval "$tmp/held.txt" --json -q "$@"
    sed 's/.*"kl_divergence": \([0-9.e-]*\).*/\1/' "$tmp/stdout"
}
plain=$(divergence)
compensated=$(divergence --calibration "$tmp/corpus.jsonl" --calibration-chunks 32 --calibration-context 32)
awk -v a="$compensated" -v b="$plain" 'BEGIN {exit !(a < b)}' || fail "calibration makes it worse: $compensated, $plain"
quantize --type Q3_K_S --out "$tmp/x3.gguf" --calibration "$tmp/text.txt"
usage_error 'quantize ' '--calibration: the text has 56 tokens, less than one chunk of 64: give more text, or a smaller '\
'--calibration-context'
quantize --type Q3_K_S --out "$tmp/x3.gguf" --calibration "$tmp/nothing.txt"
status 1
grep -q 'nothing.txt' "$tmp/stderr" || fail "no word of the missing file"
quantize --type F16 --out "$tmp/x3.gguf" --calibration "$tmp/corpus.jsonl" --calibration-chunks 1
usage_error 'quantize ' 'there is nothing to calibrate: errors can be compensated for in Q4_0 to Q8_0, Q2_K to Q6_K, '\
'IQ4_NL, IQ4_XS and MXFP4, and no matrix gets one of these'
quantize --type Q3_K_S --out "$tmp/x3.gguf" --damping 0.1
usage_error 'quantize ' '--damping: has an effect only with --calibration'
quantize --type Q3_K_S --out "$tmp/x3.gguf" --calibration "$tmp/corpus.jsonl" --calibration-context 3
usage_error 'quantize ' '--calibration-context: a chunk needs at least 4 tokens'
[ ! -e "$tmp/x3.gguf" ] || fail "a file in spite of an error in calibration"

# Columns that are no whole blocks
run "$LINNET" pretrain -c "$tmp/wide.yaml" --set model.hidden_size=96 --set model.intermediate_size=72 \
    --data "$tmp/corpus.jsonl" --out "$tmp/narrow" --quiet
status 0
run "$LINNET" quantize --model "$tmp/narrow" --type Q4_K_M --out "$tmp/narrow.gguf" -q
status 0
err 'linnet: warning: 15 matrices have columns that are no whole blocks of the wanted type; a larger type stands in: '\
'token_embd.weight is q5_0 instead of q4_k, and so on'
grep -qx 'tensors          .*' "$tmp/stdout" || fail "no types"
run "$LINNET" quantize --model "$tmp/narrow" --type Q4_K_M --imatrix "$tmp/i.gguf" --out "$tmp/x.gguf" -q
failure 'i.gguf: is of another model: blk.0.attn_k.weight has 256 columns there and 96 in this model'

# What cannot be
run "$LINNET" quantize --type Q8_0 --out "$tmp/x.gguf"
usage_error 'quantize ' 'missing --model PATH: a run directory, a checkpoint, a Hugging Face directory, or a GGUF file'
quantize --type Q4_K_X --out "$tmp/x.gguf"
usage_error 'quantize ' '--type: there is no type "Q4_K_X"; did you mean Q4_K_S?'
quantize --type int8 --out "$tmp/x.gguf"
usage_error 'quantize ' '--type: there is no type "int8"; one of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K_S, Q3_K_M, '\
'Q3_K_L, Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M, Q6_K, IQ4_NL, IQ4_XS, MXFP4, TQ1_0, TQ2_0, BF16, F16'
quantize --type Q8_0 --out "$tmp/m.gguf" --force
usage_error 'quantize ' "--out $tmp/m.gguf: is the model itself; write to another file"
quantize --type Q8_0 --out "$tmp/q4.gguf"
usage_error 'quantize ' "$tmp/q4.gguf: already there; choose another name, or --force to replace it"
run "$LINNET" quantize --model "$tmp/q4.gguf" --type Q8_0 --out "$tmp/x.gguf" -q
status 2
grep -q ' is q4_k already, and would be q8_0; linnet export writes the model as it is; for other types quantise the model '\
'it was made from, or allow what is lost twice with --requantize$' "$tmp/stderr" || fail "no such error"
run "$LINNET" quantize --model "$tmp/q4.gguf" --type Q4_K_M --out "$tmp/same.gguf" --name m -q
status 0
cmp -s "$tmp/q4.gguf" "$tmp/same.gguf" || fail "another file from blocks of the same types"
run "$LINNET" quantize --model "$tmp/q4.gguf" --type Q8_0 --out "$tmp/x.gguf" --requantize -q
status 0
quantize --type Q8_0 --out "$tmp/y.gguf" --tensor-type ffn_down
usage_error 'quantize ' '--tensor-type ffn_down: expected PATTERN=TYPE, for example ffn_down=q8_0'
quantize --type Q8_0 --out "$tmp/y.gguf" --tensor-type ffn_down=q7_0
usage_error 'quantize ' '--tensor-type: there is no type "q7_0"; did you mean q4_0?'
quantize --type Q8_0 --out "$tmp/y.gguf" --tensor-type ffn_dwn=q6_k
usage_error 'quantize ' '--tensor-type ffn_dwn: no matrix of this model has that in its name, which is as in GGUF '\
'files: blk.0.attn_q.weight, output.weight, ...'
quantize --type Q8_0 --out "$tmp/y.gguf" --imatrix "$tmp/nothing"
status 1
quantize --type Q8_0 --out "$tmp/y.gguf" --eval "$tmp/nothing.txt"
status 1
[ ! -e "$tmp/y.gguf" ] || fail "a file in spite of an error"
run "$LINNET" quantize --model "$tmp/nothing" --type Q8_0 --out "$tmp/y.gguf"
failure "$tmp/nothing: no such file or directory; --model takes a run directory, a Hugging Face directory, or a .gguf \
file"

# A full disk: what was there stays.
cp "$tmp/q4.gguf" "$tmp/kept.gguf"
(
    ulimit -f 8
    "$LINNET" quantize --model "$tmp/m.gguf" --type Q8_0 --out "$tmp/kept.gguf" --force -q >/dev/null 2>"$tmp/stderr"
)
got=$? shown='quantize, disk full'
status 1
cmp -s "$tmp/q4.gguf" "$tmp/kept.gguf" || fail "the file that was there is damaged"
