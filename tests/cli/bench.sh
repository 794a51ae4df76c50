# linnet bench: figures that are numbers, in the forms people and programs read.
. tests/cli/lib.inc

cat >"$tmp/small.yaml" <<'Y'
model:
  vocab_size: 300
  hidden_size: 32
  intermediate_size: 48
  num_hidden_layers: 2
  num_attention_heads: 4
  num_key_value_heads: 2
data:
  mask_documents: true
optim:
  learning_rate: 1.0e-3
tokenizer:
  splitter: bytes
train:
  batch_size: 2
  max_seq_length: 16
Y

# positive KEY...: each is there in the JSON on stdout and more than nothing.
positive() {
    for key in "$@"; do
        sed -n "s/^ *\"$key\": \([0-9.e+-]*\),*\$/\1/p" "$tmp/stdout" |
            awk '$1 > 0 { found = 1 } END { exit !found }' || fail "no positive $key"
    done
}

run "$LINNET" bench train -c "$tmp/small.yaml" --steps 2 --json
status 0
err ''
positive params tokens_per_s model_gflops_per_s gemm_peak_gflops_per_s mfu peak_rss_mb step_ms \
    threads 'matrix products' attention optimiser
out_has '  "tokens_per_step": 32,'
out_has '  "params": 25120,'

run "$LINNET" bench train -c "$tmp/small.yaml" --steps 1 --dtype f32
status 0
out_has "parameters                 25120"
out_has "products in                  f32"

# a frozen model: ranks of 4 on seven layers of two blocks
run "$LINNET" data synth-model --out "$tmp/small.gguf" --type q8_0 --set model.hidden_size=64 --set model.intermediate_size=96 \
    --set model.num_hidden_layers=2 --set model.num_attention_heads=4 --set model.num_key_value_heads=2 -q
status 0
for more in "" --grad-checkpoint "--products int8"; do
    # shellcheck disable=SC2086
    run "$LINNET" bench lora --model "$tmp/small.gguf" --rank 4 --seq-len 32 --steps 1 $more --json
    status 0
    positive trained tokens_per_s model_gflops_per_s gemm_peak_gflops_per_s mfu peak_rss_mb planned_mb step_ms 'matrix products'
    out_has '  "trained": 7424,'
    out_has '  "tokens_per_step": 32,'
done
run "$LINNET" bench lora
usage_error "bench lora " "missing --model PATH: a Hugging Face directory or a GGUF file; linnet data synth-model makes one"

# preferences beside fine-tuning
for more in "--lora-rank 4" "--method full" "--products int8 --lora-rank 4"; do
    # shellcheck disable=SC2086
    run "$LINNET" bench dpo --model "$tmp/small.gguf" --pairs 2 --prompt-tokens 8 --answer-tokens 8 --steps 1 $more --json
    status 0
    err ''
    positive threads trained sft_step_ms reference_pass_ms apart_step_ms apart_ratio apart_stored_step_ms apart_stored_ratio \
        shared_step_ms shared_ratio shared_stored_step_ms shared_stored_ratio
    for line in '"pairs": 2' '"prompt_tokens": 8' '"answer_tokens": 8' '"steps": 1'; do
        out_has "  $line,"
    done
    case $more in *lora-rank*) out_has '  "trained": 7424,' ;; esac
    ms() { sed -n "s/^ *\"$1\": \([0-9.e+-]*\),*\$/\1/p" "$tmp/stdout"; }
    awk "BEGIN {r = $(ms apart_step_ms) / ($(ms sft_step_ms) + $(ms reference_pass_ms)) / $(ms apart_ratio); exit !(r > 0.999 && r < 1.001)}" ||
        fail "the ratio is none of what it is said to be"
done
run "$LINNET" bench dpo --model "$tmp/small.gguf" --pairs 2 --prompt-tokens 8 --answer-tokens 8 --steps 1 --dtype f32
status 0
out_has 'tokens a step                          64'
grep -q '^preferences, prompts shared  *[0-9.]* ms   [0-9.]* of fine-tuning and reference$' "$tmp/stdout" || fail "no line of it"
run "$LINNET" bench dpo
usage_error "bench dpo " "missing --model PATH: the model to train further: a GGUF file, a Hugging Face directory, or a run directory"

run "$LINNET" bench gemm -c "$tmp/small.yaml" --json
status 0
positive gflops_per_s threads
[ "$(grep -c '"layer"' "$tmp/stdout")" = 24 ] || fail "24 products"

run "$LINNET" bench gemm -c "$tmp/small.yaml" --steps 3
usage_error "bench gemm " "unknown flag --steps"

i=0
while [ $i -lt 300 ]; do
    echo "The bird number $i sang a song in the tree, and the cat listened to all of it."
    i=$((i + 1))
done >"$tmp/text.txt"
run "$LINNET" bench tokenizer --data "$tmp/text.txt" --vocab-size 300 --splitter gpt2 --json
status 0
positive train_s encode_mb_per_s peak_rss_mb tokens vocab_size
out_has "  \"bytes\": $(wc -c <"$tmp/text.txt" | tr -d ' '),"

run "$LINNET" bench tokenizer --data "$tmp/missing.txt"
status 1

# Threads do not spin for long, unless the user has said how they shall wait.
spin_count() {
    env -u OMP_WAIT_POLICY "$@" "$LINNET" bench train -c "$tmp/small.yaml" --steps 100000 >"$tmp/stdout" 2>&1 &
    shown="waiting of $*" got=0
    for wait in 1 2 3 4 5 6 7 8 9 10; do
        count=$(tr '\0' '\n' <"/proc/$!/environ" | sed -n 's/^GOMP_SPINCOUNT=//p')
        [ -n "$count" ] && break
        sleep 0.2
    done
    kill $!
    wait $! 2>/dev/null
}
if [ -r /proc/self/environ ]; then
    spin_count -u GOMP_SPINCOUNT
    [ "$count" = 10000 ] || fail "GOMP_SPINCOUNT is $count"
    spin_count GOMP_SPINCOUNT=77
    [ "$count" = 77 ] || fail "GOMP_SPINCOUNT is $count, not the user's"
fi
