# dpo: killed, interrupted, out of room; a run that goes on ends with the bits of one that never stopped.
. tests/cli/lib.inc

tiny_base
tiny_files
i=0
while [ $((i += 1)) -le 40 ]; do
    echo "{\"prompt\": \"What is $i plus $i?\", \"chosen\": \" It is $((i + i)).\", \"rejected\": \" Who knows, $i?\"}" >>pairs.jsonl
    echo "{\"prompt\": \"What is $i plus $i?\", \"completion\": \" It is $((i + i)).\", \"label\": $([ $((i % 3)) = 0 ] && echo false || echo true)}" >>judged.jsonl
done
# more than a reference has looked at soon
awk 'BEGIN {for (i = 1; i <= 10000; i++) printf "{\"prompt\": \"%d and %d?\", \"chosen\": \" %d\", \"rejected\": \" no\"}\n", i, i, 2 * i}' >many.jsonl

small="--max-seq-length 64 --batch-size 2 --learning-rate 1e-3"
dpo() { run "$LINNET" dpo $small "$@"; }
resume() { run "$LINNET" dpo --resume "$@"; }

# same RUN RUN: the adapters, or all weights, of the last step; the metrics, the configuration and the reference
same() {
    for side in "$1" "$2"; do
        sed 's/"\(tokens_per_s\|seconds\|resident_mb\)": [^,}]*//g' "$side/metrics.jsonl" >"$side.metrics"
        rm -f "$side.weights"
        if [ -e "$side/adapter" ]; then
            cp "$side/adapter/adapter_model.safetensors" "$side.weights"
        else
            run "$LINNET" export --model "$side/checkpoints/last.h5" --dtype f32 --out "$side.gguf" --force -q
            status 0
            mv "$side.gguf" "$side.weights"
        fi
    done
    cmp -s "$1.metrics" "$2.metrics" || fail "$2: other metrics: $(diff "$1.metrics" "$2.metrics")"
    cmp -s "$1.weights" "$2.weights" || fail "$2: other weights"
    cmp -s "$1/config.yaml" "$2/config.yaml" || fail "$2: another configuration"
    [ ! -e "$1/reference.h5" ] || cmp -s "$1/reference.h5" "$2/reference.h5" || fail "$2: another reference"
}
run "$LINNET" reference --model q4.gguf --data pairs.jsonl --max-seq-length 64 --out pairs.h5 -q
status 0

# ---- killed while it trains ----

# killed_at STEP FLAGS...: the run "killed", dead some steps behind that one; tried again when it was over too soon
killed_at() {
    step=$1 tries=0
    shift
    while [ $((tries += 1)) -le 10 ]; do
        rm -rf killed
        "$LINNET" dpo "$@" --out killed 2>stderr &
        pid=$! got=0 shown="dpo $*, killed"
        until grep -q "^{\"step\": $step, \"loss\"" killed/metrics.jsonl 2>/dev/null; do
            kill -0 $pid 2>/dev/null || break
            sleep 0.01
        done
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
        [ -e killed/checkpoints/last.h5 ] || fail "no checkpoint after the kill"
        grep -q final_validation_loss killed/metrics.jsonl || grep -q '"step": 50, "loss"' killed/metrics.jsonl || return
    done
    fail "it is always over before it is killed"
}
n=0
for kind in "--lora-dropout 0.2" "--dora --lora-dropout 0.1 --products int8 --loss ipo sft --loss-weights 1 0.1 --grad-accumulation 2" \
    "--method full --moments 8bit --validation-fraction 0" "--data judged.jsonl --loss kto --lora-dropout 0.2" \
    "--reference pairs.h5 --loss hinge"; do
    rm -rf whole
    flags="$small --model q4.gguf --data pairs.jsonl --iters 50 --eval-interval 25 --checkpoint-interval 9 -q $kind"
    # shellcheck disable=SC2086
    run "$LINNET" dpo $flags --out whole
    status 0
    # shellcheck disable=SC2086
    killed_at $((n % 3 * 10 + 10)) $flags
    resume --out killed -q
    status 0
    same whole killed
    for weights in *.trained; do # every kind has its own
        cmp -s whole.weights "$weights" && fail "$kind makes what $weights is"
    done
    cp whole.weights $((n += 1)).trained
done

# ---- killed while the reference looks ----

full="--model q4.gguf --data many.jsonl --method full --iters 10 --eval-interval 0 --eval-iters 1 --probe none --validation-fraction 1e-3"
# killed_looking SIGNAL OUT: sent while the reference is at work; tried again when that was too early or too late
killed_looking() {
    tries=0 shown="dpo $full --out $2, signal $1 while the reference looks"
    while [ $((tries += 1)) -le 10 ]; do
        rm -rf "$2"
        # shellcheck disable=SC2086
        "$LINNET" dpo $small $full --out "$2" 2>stderr &
        pid=$! got=0
        until [ -d "$2" ]; do # made just before
            kill -0 $pid 2>/dev/null || fail "never came to the reference"
            sleep 0.01
        done
        sleep 0.05
        kill -"$1" $pid
        wait $pid 2>/dev/null || got=$?
        [ -e "$2/reference.h5" ] || [ $got = 143 ] || return 0
    done
    fail "it is always over before it is killed"
}
# shellcheck disable=SC2086
dpo $full --out whole-full -q
status 0
killed_looking KILL killed-full
[ -z "$(ls killed-full)" ] || fail "something was left: $(ls killed-full)"
resume --out killed-full
usage_error 'dpo ' 'killed-full holds no checkpoint to resume from; without --resume the run begins'
touch killed-full/reference.h5.tmp1
# shellcheck disable=SC2086
dpo $full --out killed-full -q
status 0
same whole-full killed-full
[ -z "$(find killed-full -name '*.tmp*')" ] || fail "what a killed run left is still there"

# interrupted there
killed_looking TERM stopped
status 130
err_has 'linnet: interrupted before the first step: stopped/reference.h5 was not written, and the next run computes it anew'
[ -z "$(ls stopped)" ] || fail "something was left: $(ls stopped)"

# A reference that was lost is made again; one that is damaged is not trusted.
resume --out whole-full --iters 12 -q
status 0
rm killed-full/reference.h5
resume --out killed-full --iters 12 -q
status 0
same whole-full killed-full
head -c 5000 whole-full/reference.h5 >killed-full/reference.h5
cksum killed-full/checkpoints/* >before
resume --out killed-full --iters 14 -q
status 1
grep -q '^linnet: error: killed-full/reference.h5: ' stderr || fail "the damaged file is not named"
cksum killed-full/checkpoints/* | cmp -s - before || fail "a refusal trained"

# ---- what a resumed run keeps ----

rm -rf more
dpo --model f32.gguf --data pairs.jsonl --out more --iters 10 --method full -q
status 0
resume --out more
status 0
err_has 'the run is complete: 10 of 10 steps; more --iters make it longer'
keeps() { # TEXT FLAGS...
    text=$1
    shift
    cksum more/config.yaml more/checkpoints/* more/reference.h5 more/metrics.jsonl >before
    resume --out more --iters 20 -q "$@"
    status 2
    err "linnet: error: a resumed run keeps its $text; leave that as it was, or start a new run in another --out
Try 'linnet dpo --help'."
    cksum more/config.yaml more/checkpoints/* more/reference.h5 more/metrics.jsonl | cmp -s - before || fail "a refusal wrote"
}
keeps 'align.loss ([sigmoid], not [hinge])' --loss hinge
keeps 'align.loss ([sigmoid], not [sigmoid, sft])' --loss sigmoid sft
keeps 'align.beta (0.1, not 0.2)' --beta 0.2
keeps 'align.label_smoothing (0, not 0.1)' --label-smoothing 0.1
keeps 'align.reference_free (false, not true)' --reference-free
keeps 'tune.method (full, not lora)' --method lora
keeps 'train.batch_size (2, not 4)' --batch-size 4
head -n 39 pairs.jsonl >fewer.jsonl
echo '{"prompt": "New", "chosen": " one", "rejected": " two"}' >>fewer.jsonl
resume --out more --iters 20 --data fewer.jsonl -q
failure 'more/checkpoints/last.h5: was trained on other data; resume with the same files, or start a new run'
resume --out more --iters 20 --model q4.gguf -q
failure 'more/checkpoints/last.h5: began with another base model than this one; give the same file again, or start a new run'
cp pairs.jsonl elsewhere.jsonl
resume --out more --iters 12 --data elsewhere.jsonl
status 0
grep '^reference' stderr && fail "the reference was computed again"
# the same numbers from a file
run "$LINNET" reference -c more/config.yaml --out more.h5 -q
status 0
resume --out more --iters 14 --reference more.h5
status 0
err_has 'align.reference: null -> more.h5'
err_has 'loss    sigmoid, beta 0.1; reference: more.h5'

# ---- interrupted ----

"$LINNET" dpo $small --model q4.gguf --data pairs.jsonl --out stopped2 --iters 1000000 --eval-interval 0 --checkpoint-interval 0 -q 2>err &
pid=$!
until grep -q '"loss"' stopped2/metrics.jsonl 2>/dev/null; do
    kill -0 $pid 2>/dev/null || fail "does not train: $(cat err)"
    sleep 0.01
done
run "$LINNET" dpo --resume --out stopped2 -q
status 2
kill -TERM $pid
got=0 shown='dpo, interrupted'
wait $pid || got=$?
status 130
grep -q '^linnet: interrupted at step [0-9]* of 1000000, saved in stopped2; continue with --resume$' err || fail "says $(cat err)"
run "$LINNET" generate --model stopped2 --prompt What --max-tokens 3 -q
status 0

# ---- a full disk (here: a limit on the size of a file) costs nothing that was there ----

rm -rf run full
dpo --model q4.gguf --data pairs.jsonl --out run --iters 10 -q
status 0
cp -r run full
(
    ulimit -f 100
    "$LINNET" dpo --resume --out full --iters 20 -q >stdout 2>stderr
)
got=$? shown='dpo, disk full'
status 1
grep -q 'full/checkpoints/.*the one before is untouched' stderr || fail "says something else"
cmp -s run/checkpoints/last.h5 full/checkpoints/last.h5 || fail "the checkpoint has changed"
[ "$(ls full/checkpoints)" = "$(printf 'best.h5\nlast.h5')" ] || fail "a half-written file is left"
resume --out full --iters 20 -q
status 0
resume --out run --iters 20 -q
status 0
cmp -s run/adapter/adapter_model.safetensors full/adapter/adapter_model.safetensors || fail "other weights"
(
    ulimit -f 4
    "$LINNET" dpo --model f32.gguf --data pairs.jsonl --out none --method full -q >stdout 2>stderr
)
got=$? shown='dpo, no room for the reference'
status 1
err 'linnet: error: none/reference.h5: cannot write: File too large'
[ -z "$(ls none)" ] || fail "something was left: $(ls none)"

# ---- a limit of memory ----

# It is kept with smaller micro-batches, in the reference's pass too.
limited() { run "$LINNET" dpo --model f32.gguf --data pairs.jsonl --out limited --batch-size 16 --max-seq-length 128 --method full "$@"; }
limited --iters 4 --memory-limit 75M
status 0
grep -q '^to stay within 75.0 MB: --batch-size' stderr || fail "nothing was limited"
limited --iters 6 --memory-limit 75M --resume -q
status 0
