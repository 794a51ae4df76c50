# reference: the file that it writes, runs of dpo that use it and are the same as without, and what is refused.
. tests/cli/lib.inc

tiny_base '"<|endoftext|>"'
tiny_files
i=0
while [ $((i += 1)) -le 40 ]; do
    echo "{\"prompt\": \"What is $i plus $i?\", \"chosen\": \" It is $((i + i)).\", \"rejected\": \" Who knows, $i?\"}" >>pairs.jsonl
    echo "{\"prompt\": \"What is $i plus $i?\", \"completion\": \" It is $((i + i)).\", \"label\": $([ $((i % 2)) = 0 ] && echo true || echo false)}" >>judged.jsonl
done
head -n 15 pairs.jsonl >few.jsonl

small="--max-seq-length 64 --batch-size 2 --dtype f32"
reference() { run "$LINNET" reference $small "$@"; }
dpo() { run "$LINNET" dpo $small --iters 3 -q "$@"; }
# What a run measured, without what depends on the clock.
measured() { sed 's/"tokens_per_s": [^,]*, "seconds": [^,]*, "resident_mb": [^,]*, //' "$1/metrics.jsonl"; }
same_run() {
    measured "$1" >one
    measured "$2" >other
    cmp -s one other || fail "$1 and $2 are not the same run"
}

# ---- the file ----

reference --model base --data pairs.jsonl --out pairs.h5
status 0
out ''
grep -q '^pairs.h5: 80 answers, [0-9]* targets, loss [0-9.]* a target; use it: linnet dpo --reference pairs.h5$' "$tmp/stderr" ||
    fail "no summary"
err_has 'reference, held out 100%  0.0s'
run "$LINNET" info pairs.h5
status 0
out_has '  model           base'
out_has '  products        f32'
out_has '  producer        linnet 0.1.0'
out_has '  answers         80'
reference --model base --data pairs.jsonl --out pairs.h5 -q
usage_error 'reference ' 'pairs.h5: already there; choose another name, or --force to replace it'
cp pairs.h5 first.h5
reference --model base --data pairs.jsonl --out pairs.h5 --force --json -q
status 0
err ''
cmp -s pairs.h5 first.h5 || fail "the same again is another file"
hash=$(sed -n 's/.*"content_hash": "\([0-9a-f]*\)".*/\1/p' "$tmp/stdout")
sed 's/[0-9.]*, "model_hash.*/.../' "$tmp/stdout" >"$tmp/summary"
targets=$("$LINNET" info pairs.h5 | sed -n 's/^  targets *//p')
exactly "$tmp/summary" "{\"file\": \"pairs.h5\", \"answers\": 80, \"pairs\": 38, \"held_out_pairs\": 2, \"targets\": $targets, \"loss_a_target\": ..."
run "$LINNET" info pairs.h5
out_has "  content_hash    $hash"

# ---- runs that use it ----

dpo --model base --data pairs.jsonl --out with --reference pairs.h5
status 0
dpo --model base --data pairs.jsonl --out without
status 0
same_run with without
for loss in ipo hinge "sigmoid sft"; do # other losses, another split, fewer pairs
    dpo --model base --data few.jsonl --seed 9 --validation-fraction 0.3 --loss $loss --reference pairs.h5 --out "loss $loss"
    status 0
done
dpo --model base --data pairs.jsonl --out full --method full
status 0
reference -c full/config.yaml --out full.h5 -q
status 0
run "$LINNET" info full.h5
grep content_hash "$tmp/stdout" >"$tmp/summary"
run "$LINNET" info full/reference.h5
out_has "$(cat "$tmp/summary")"

# with labels; a configuration says so, too
reference --model base --data judged.jsonl --unpaired --out judged.h5 -q
status 0
dpo --model base --data judged.jsonl --loss kto --reference judged.h5 --out kto
status 0
dpo --model base --data judged.jsonl --loss kto --out kto2
status 0
same_run kto kto2
reference -c kto/config.yaml --model base --out judged2.h5 -q
status 0
cmp -s judged.h5 judged2.h5 || fail "the configuration made another file"

# weights in blocks
for products in exact int8; do
    reference --model q4.gguf --data pairs.jsonl --products $products --out q4.h5 --force -q
    status 0
    dpo --model q4.gguf --data pairs.jsonl --products $products --out q4-$products --reference q4.h5
    status 0
    dpo --model q4.gguf --data pairs.jsonl --products $products --out q4-$products-2
    status 0
    same_run q4-$products q4-$products-2
done
run "$LINNET" info q4.h5
out_has '  products        int8'
dpo --model q4.gguf --data pairs.jsonl --reference q4.h5 --out q4-other
status 0
err_has 'linnet: warning: q4.h5: its products are in int8, those of this run in f32: what the rounding differs by is taken for what was learned'
# what trains in full has the place of the weights that the file was made with
dpo --model q4.gguf --data pairs.jsonl --products int8 --train-in-full embed_tokens --reference q4.h5 --out q4-whole
status 0
dpo --model q4.gguf --data pairs.jsonl --products int8 --train-in-full embed_tokens --out q4-whole-2
status 0
same_run q4-whole q4-whole-2

# ---- what is refused ----

reference --model base --data pairs.jsonl
usage_error 'reference ' 'missing --out FILE: the file to write (.h5)'
reference --data pairs.jsonl --out x.h5
usage_error 'reference ' 'missing --model PATH: the model to train further: a GGUF file, a Hugging Face directory, or a run directory'
reference --model base --data pairs.jsonl --out base
usage_error 'reference ' 'base: there is a directory of this name; choose another'
reference --model base --data pairs.jsonl --out x.h5 --max-seq-length 999
usage_error 'reference ' '--max-seq-length 999 is more than the 128 tokens the model was made for'
dpo --model base --data judged.jsonl --loss kto --reference pairs.h5 --out x
failure '40 of 80 answers are not in pairs.h5 (the first: judged.jsonl:1); make a file of these data, with the same chat template and length, with linnet reference'
dpo --model q4.gguf --data pairs.jsonl --reference pairs.h5 --out x
status 1
grep -q '^linnet: error: pairs.h5: made with another model: base (model [0-9a-f]*, tokenizer [0-9a-f]*; here they are ' "$tmp/stderr" ||
    fail "another model is not named"
head -c 5000 pairs.h5 >cut.h5
dpo --model base --data pairs.jsonl --reference cut.h5 --out x
status 1
grep -q '^linnet: error: cut.h5: ' "$tmp/stderr" || fail "the cut file is not named"
[ ! -e x ] || fail "a refused run left a directory"

# ---- stopped ----

awk 'BEGIN {for (i = 1; i <= 30000; i++) printf "{\"prompt\": \"%d and %d?\", \"chosen\": \" %d\", \"rejected\": \" no\"}\n", i, i, 2 * i}' >many.jsonl
"$LINNET" reference $small --model base --data many.jsonl --out stopped.h5 2>"$tmp/stderr" &
child=$!
tries=0
until grep -q '^chat template' "$tmp/stderr" || [ $((tries += 1)) = 200 ]; do sleep 0.05; done
sleep 0.3
kill -TERM $child
wait $child
got=$? shown='reference, interrupted'
status 130
err_has 'linnet: interrupted: stopped.h5 was not written'
ls stopped.h5* 2>/dev/null && fail "something was left"
exit 0
