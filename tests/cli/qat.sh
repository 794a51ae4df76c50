# --qat in every command that trains: what it says, that the file which is exported is what was trained, how a run goes on,
# and what is refused before the first step. What is computed is held to the bit in tests/qat.
. tests/cli/lib.inc

cat >"$tmp/tiny.yaml" <<'YAML'
model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128}
tokenizer: {vocab_size: 320, special_tokens: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]}
optim: {warmup_iters: 1}
train: {iters: 8, batch_size: 2, max_seq_length: 64, checkpoint_interval: 3, eval_interval: 4, eval_iters: 2, dtype: f32}
YAML
run "$LINNET" data synth --out "$tmp/corpus.jsonl" --size 30k --seed 3 -q
status 0
case $LINNET in /*) ;; *) LINNET=$PWD/$LINNET ;; esac
cd "$tmp" || exit 1
i=0
while [ $((i += 1)) -le 12 ]; do
    echo "{\"prompt\": \"What is $i plus $i?\", \"completion\": \" It is $((i + i)).\"}" >>qa.jsonl
    echo "{\"prompt\": \"What is $i plus $i?\", \"chosen\": \" It is $((i + i)).\", \"rejected\": \" Who knows.\"}" >>pairs.jsonl
done
head -n 3 corpus.jsonl >held.jsonl

pretrain() { run "$LINNET" pretrain -c tiny.yaml --data corpus.jsonl "$@"; }
small="--max-seq-length 64 --batch-size 2 --learning-rate 5e-3 --dtype f32 --iters 4 --probe none"
perplexity() { run "$LINNET" eval ppl --model "$1" --data held.jsonl --exact --json -q && status 0; sed -n 's/.*"perplexity": \([0-9.]*\).*/\1/p' stdout; }
# agree RUN FILE: the two predict the same
agree() {
    perplexity "$1" >one
    perplexity "$2" >two
    awk -v a="$(cat one)" -v b="$(cat two)" 'BEGIN {exit !(a > 1 && a / b - 1 < 1e-5 && b / a - 1 < 1e-5)}' ||
        fail "$1 has perplexity $(cat one), $2 $(cat two)"
}
# types FILE: of its tensors, each once
types() { run "$LINNET" info "$1" && status 0; sed -n 's/^  [a-z0-9_.]*weight  *\([a-z0-9_]*\) .*/\1/p' stdout | sort -u | tr '\n' ' '; }
# type FILE TENSOR
type() { run "$LINNET" info "$1" && status 0; sed -n "s/^  $2  *\([a-z0-9_]*\) .*/\1/p" stdout; }

# ---- pretraining ----

pretrain --out base --qat q4_0
status 0
err_has 'linnet: warning: 1 matrix has columns that are no whole blocks of the wanted type; a larger type stands in: token_embd.weight is q8_0 instead of q6_k'
err_has 'qat     Q4_0: 14 matrices in q4_0, 1 matrix in q8_0'
run "$LINNET" export --model base --out base.gguf -q
status 0
err ''
[ "$(types base.gguf)" = "f32 q4_0 q8_0 " ] || fail "other types: $(types base.gguf)"
agree base base.gguf
# the same as quantising the values that trained, and not the same as these
run "$LINNET" export --model base --dtype f32 --out f32.gguf -q
status 0
agree base f32.gguf # what it computes with is no other in f32
run "$LINNET" convert --model base.gguf --out again.gguf -q
status 0
[ "$(types again.gguf)" = "f32 q4_0 q8_0 " ] || fail "convert did not keep the blocks: $(types again.gguf)"
agree again.gguf base.gguf
run "$LINNET" export --model base --format hf --out hf -q
status 0
agree hf base.gguf
run "$LINNET" quantize --model base --type q8_0 --out x.gguf -q
status 2

# wishes
pretrain --out wishes --iters 2 -q --qat Q5_0 --qat-pure --qat-tensor-type 'blk\.0\.ffn_(up|gate)=q8_0' --qat-tensor-type ffn_=bf16 \
    --qat-token-embedding-type q4_1
status 0
err ''
run "$LINNET" export --model wishes --out wishes.gguf -q
for pair in blk.0.ffn_up:q8_0 blk.0.ffn_down:bf16 blk.1.ffn_up:bf16 blk.1.attn_q:q5_0 token_embd:q4_1; do
    [ "$(type wishes.gguf "${pair%:*}.weight")" = "${pair#*:}" ] || fail "$pair is $(type wishes.gguf "${pair%:*}.weight")"
done
agree wishes wishes.gguf
run "$LINNET" imatrix --model f32.gguf --data corpus.jsonl --chunks 2 --max-seq-length 64 --out importance.gguf -q
[ "$got" = 0 ] || run "$LINNET" imatrix --model f32.gguf --data corpus.jsonl --out importance.gguf -q
status 0
pretrain --out weighed --iters 2 -q --qat Q4_1 --qat-pure --qat-imatrix importance.gguf --qat-activations int8
status 0
run "$LINNET" export --model weighed --out weighed.gguf -q
agree weighed weighed.gguf
# blocks of more types than blocks: what is in bf16 stays what it was
pretrain --out halves --iters 2 -q --qat bf16
status 0
run "$LINNET" export --model halves --out halves.gguf -q
status 0
[ "$(types halves.gguf)" = "bf16 f32 " ] || fail "what trained for bf16 is exported as $(types halves.gguf)"
agree halves halves.gguf

# the memory, and what needs no data
run "$LINNET" pretrain -c tiny.yaml --plan
grep '^  weights' stdout >plain
run "$LINNET" pretrain -c tiny.yaml --plan --qat Q4_0
status 0
grep -q '^qat     Q4_0: ' stderr || fail "the plan does not say what it is for"
grep '^  weights' stdout >with
cmp -s plain with && fail "the plan counts no memory for the rounded weights"
run "$LINNET" pretrain -c tiny.yaml --plan --qat Q4_K_M --set model.hidden_size=96 --set model.intermediate_size=96
status 0
err_has 'linnet: warning: 14 matrices have columns that are no whole blocks of the wanted type; a larger type stands in: blk.0.attn_q.weight is q5_0 instead of q4_k, and so on'

# ---- killed, and resumed ----

late="--qat Q4_0 --qat-start 6 --qat-ramp 20"
# shellcheck disable=SC2086
pretrain --out whole --iters 60 $late
status 0
err_has '        from step 6 on, over 20 steps'
# shellcheck disable=SC2086
"$LINNET" pretrain -c tiny.yaml --data corpus.jsonl --out killed --iters 60 $late -q 2>killed.err &
pid=$!
until grep -q '^{"step": 1[0-9], "loss"' killed/metrics.jsonl 2>/dev/null; do
    kill -0 $pid 2>/dev/null || break
    sleep 0.01
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
[ -e killed/checkpoints/last.h5 ] || fail "no checkpoint after the kill"
run "$LINNET" pretrain --out killed --resume -q
status 0
for side in whole killed; do
    sed 's/"\(tokens_per_s\|seconds\|resident_mb\)": [^,}]*//g' $side/metrics.jsonl >$side.metrics
    run "$LINNET" export --model $side/checkpoints/last.h5 --out $side.gguf --name x -q
    status 0
done
cmp -s whole.gguf killed.gguf || fail "resumed to another file"
cmp -s whole.metrics killed.metrics || fail "other metrics: $(diff whole.metrics killed.metrics)"
# begun without, gone on with
pretrain --out plain-run --iters 4 -q
status 0
run "$LINNET" pretrain --out plain-run --resume --iters 8 --qat Q4_0
status 0
grep -q '^qat     Q4_0: ' stderr || fail "does not say so"
run "$LINNET" export --model plain-run/checkpoints/last.h5 --out plain-run.gguf -q
[ "$(types plain-run.gguf)" = "f32 q4_0 q8_0 " ] || fail "other types: $(types plain-run.gguf)"
# ... and however much worse that is than the best without, the best of the run is one that trained for blocks
run "$LINNET" pretrain --out plain-run --resume --iters 9 --qat IQ4_NL --qat-pure --learning-rate 1 -q
status 0
run "$LINNET" export --model plain-run --out plain-run.gguf --force -q
[ "$(types plain-run.gguf)" = "f32 iq4_nl " ] || fail "the best is of other types: $(types plain-run.gguf)"
# ... also where only some of its types are others
run "$LINNET" pretrain --out plain-run --resume --iters 10 --qat IQ4_NL --qat-pure --qat-tensor-type ffn=q4_0 -q
status 0
run "$LINNET" export --model plain-run --out plain-run.gguf --force -q
[ "$(types plain-run.gguf)" = "f32 iq4_nl q4_0 " ] || fail "the best is of other types: $(types plain-run.gguf)"

# ---- further training ----

# shellcheck disable=SC2086
run "$LINNET" sft $small --model base --data qa.jsonl --out full --method full --qat Q5_1 -q
status 0
run "$LINNET" export --model full --out full.gguf -q
[ "$(types full.gguf)" = "f32 q5_1 q8_0 " ] || fail "other types: $(types full.gguf)"
agree full full.gguf
run "$LINNET" sft $small --model f32.gguf --data qa.jsonl --out lora --qat Q4_0
status 0
grep -q '^qat     Q4_0: 14 matrices in q4_0, 1 matrix in q8_0$' stderr || fail "says nothing of it"
run "$LINNET" merge --model lora --type q4_0 --out lora.gguf -q
status 0
[ "$(types lora.gguf)" = "f32 q4_0 q8_0 " ] || fail "other types: $(types lora.gguf)"
run "$LINNET" sft --out lora --resume --iters 6 -q
status 0
# a file of types is read once: the run needs neither it nor the directory
printf '# chosen\nffn_down=q8_0\nattn_q=q5_0\n' >chosen.types
# shellcheck disable=SC2086
run "$LINNET" sft $small --model f32.gguf --data qa.jsonl --out listed --qat Q4_0 --qat-tensor-type @chosen.types -q
status 0
rm chosen.types
(cd .. && run "$LINNET" merge --model "$tmp/listed" --out "$tmp/listed.gguf" -q && status 0) || exit 1
[ "$(types listed.gguf)" = "f32 q4_0 q5_0 q8_0 " ] || fail "other types: $(types listed.gguf)"
# shellcheck disable=SC2086
run "$LINNET" distill -c tiny.yaml --teacher base --data corpus.jsonl --out student --iters 4 --qat Q8_0 -q
status 0
run "$LINNET" export --model student --out student.gguf -q
[ "$(types student.gguf)" = "f32 q8_0 " ] || fail "other types: $(types student.gguf)"
agree student student.gguf
# shellcheck disable=SC2086
run "$LINNET" dpo $small --model base --data pairs.jsonl --out policy --qat Q4_0 -q
status 0
# shellcheck disable=SC2086
run "$LINNET" dpo $small --model f32.gguf --data pairs.jsonl --out policy-full --method full --qat Q4_0 -q
status 0
agree policy-full policy-full

# ---- what is refused, before the first step ----

refused() { # STATUS TEXT ARGUMENTS...
    want=$1 text=$2
    shift 2
    pretrain --out never -q "$@"
    status "$want"
    grep -qxF -e "linnet: error: $text" stderr || fail "expected: $text"
    [ "$(grep -c 'linnet: error: ' stderr)" = 1 ] || fail "not one error"
    [ ! -e never/checkpoints ] || [ -z "$(ls never/checkpoints)" ] || fail "a checkpoint of a run that never began"
    rm -rf never
}
refused 2 '--qat: there is no type "Q9_9"; one of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M, Q6_K, IQ4_NL, IQ4_XS, MXFP4, TQ1_0, TQ2_0, BF16, F16' --qat Q9_9
refused 2 '--qat: there is no type "q4_km"; did you mean Q4_K_M?' --qat q4_km
refused 2 '--qat-tensor-type nothing: no matrix of this model has that in its name, which is as in GGUF files: blk.0.attn_q.weight, output.weight, ...' \
    --qat Q4_0 --qat-tensor-type nothing=q4_0
refused 2 '--qat-tensor-type ffn_up: expected PATTERN=TYPE, for example ffn_down=q8_0' --qat Q4_0 --qat-tensor-type ffn_up
refused 2 '--qat-output-tensor-type: there is no type "q4_9"; did you mean q4_0?' --qat Q4_0 --qat-output-tensor-type q4_9
refused 1 'nowhere.gguf: No such file or directory' --qat Q4_0 --qat-imatrix nowhere.gguf
pretrain --out late --iters 2 --qat-start 5 -q
status 0
err 'linnet: warning: qat.start has no effect without --qat TYPE'
run "$LINNET" pretrain -c tiny.yaml --plan --qat-start 5 -q
status 0
err_has 'linnet: warning: qat.start has no effect without --qat TYPE'
size=$(wc -c <f32.gguf)
cp f32.gguf nan.gguf
printf '\000\000\300\177' | dd of=nan.gguf bs=1 seek=$((size - 132)) conv=notrunc 2>/dev/null # before the norm of 32
# shellcheck disable=SC2086
for how in "--method full" ""; do
    run "$LINNET" sft $small --model nan.gguf --data qa.jsonl --out never --qat Q4_0 -q $how
    status 1
    err_has "linnet: error: blk.1.ffn_down.weight holds a weight that is not a number; the model's file is damaged, or its \
training diverged"
    [ ! -e never/checkpoints/last.h5 ] || fail "a checkpoint of a run that never began"
    rm -rf never
done
for how in "--dora:--qat rounds the weight with the adapter merged into it, and magnitudes are not trained through that: leave --dora out" \
    "--lora-dropout 0.1:--qat rounds the weight with the adapter merged into it, which is the same for every input: leave --lora-dropout out" \
    "--target-modules lm_head:the output layer is the embedding: with an adapter the two are no longer one matrix, and --qat rounds it as one: leave lm_head out of --target-modules"; do
    # shellcheck disable=SC2086
    run "$LINNET" sft $small --model f32.gguf --data qa.jsonl --out never --qat Q4_0 -q ${how%%:*}
    status 2
    grep -qxF -e "linnet: error: ${how#*:}" stderr || fail "expected: ${how#*:}"
    rm -rf never
done
