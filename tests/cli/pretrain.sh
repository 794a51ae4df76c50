#!/bin/sh
# linnet pretrain: a killed run resumes to the same bits, and nothing already on disk is lost.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

cat >"$dir/tiny.yaml" <<'YAML'
model:
  hidden_size: 32
  intermediate_size: 64
  num_hidden_layers: 2
  num_attention_heads: 4
  num_key_value_heads: 2
  resid_dropout: 0.1
tokenizer:
  vocab_size: 400
optim:
  warmup_iters: 5
train:
  iters: 120
  batch_size: 4
  max_seq_length: 64
  eval_interval: 25
  eval_iters: 2
  checkpoint_interval: 7
YAML
"$LINNET" data synth --out "$dir/corpus.jsonl" --size 200k --seed 3 --quiet
pretrain() { "$LINNET" pretrain -c "$dir/tiny.yaml" --data "$dir/corpus.jsonl" --quiet "$@"; }
weights() { "$LINNET" export --model "$1/checkpoints/last.h5" --format gguf --dtype f32 --out "$2" --quiet; }

# An unbroken run, then one killed at a random moment and resumed, twice.
pretrain --out "$dir/whole"
weights "$dir/whole" "$dir/whole.gguf"
for try in 1 2; do
    run=$dir/killed$try
    # not through the function: $! would be a subshell's
    "$LINNET" pretrain -c "$dir/tiny.yaml" --data "$dir/corpus.jsonl" --quiet --out "$run" &
    pid=$!
    target=$((20 + ($(od -An -N1 -tu1 /dev/urandom) + 0) % 60))
    while ! grep -q "^{\"step\": $((target / 10 * 10))," "$run/metrics.jsonl" 2>/dev/null; do
        kill -0 $pid 2>/dev/null || break
        sleep 0.01
    done
    kill -9 $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    [ -e "$run/checkpoints/last.h5" ] || fail "no checkpoint after the kill"
    pretrain --out "$run" --resume
    weights "$run" "$run.gguf"
    cmp "$dir/whole.gguf" "$run.gguf" || fail "killed near step $target, resumed: other weights"
    sed 's/"\(tokens_per_s\|seconds\|resident_mb\)": [^,}]*//g' "$dir/whole/metrics.jsonl" >"$dir/a"
    sed 's/"\(tokens_per_s\|seconds\|resident_mb\)": [^,}]*//g' "$run/metrics.jsonl" >"$dir/b"
    cmp "$dir/a" "$dir/b" || fail "the resumed run's metrics differ"
done

# Ctrl-C saves and says how to go on.
"$LINNET" pretrain -c "$dir/tiny.yaml" --data "$dir/corpus.jsonl" --quiet \
    --out "$dir/interrupted" --iters 100000 2>"$dir/err" &
pid=$!
while ! grep -q '"loss"' "$dir/interrupted/metrics.jsonl" 2>/dev/null; do sleep 0.01; done
kill -TERM $pid
status=0
wait $pid || status=$?
[ "$status" = 130 ] || fail "an interrupted run exits with $status"
grep -q "continue with --resume" "$dir/err" || fail "says: $(cat "$dir/err")"

# An occupied directory is refused and left alone.
before=$(cksum "$dir/whole/checkpoints/last.h5" "$dir/whole/config.yaml")
status=0
pretrain --out "$dir/whole" 2>"$dir/err" || status=$?
[ "$status" = 2 ] || fail "an occupied --out gives exit status $status"
grep -q "already holds a run; continue it with --resume" "$dir/err" || fail "says: $(cat "$dir/err")"
[ "$before" = "$(cksum "$dir/whole/checkpoints/last.h5" "$dir/whole/config.yaml")" ] ||
    fail "a refused run changed files"

# A disk that fills (here: a limit on the size of a file) costs nothing that was there.
cp -r "$dir/whole" "$dir/full"
status=0
(ulimit -f 200; pretrain --out "$dir/full" --resume --iters 200 2>"$dir/err") || status=$?
[ "$status" = 1 ] || fail "a full disk gives exit status $status"
grep -q "full/checkpoints/.*the one before is untouched" "$dir/err" || fail "says: $(cat "$dir/err")"
weights "$dir/full" "$dir/full.gguf"
cmp "$dir/whole.gguf" "$dir/full.gguf" || fail "the checkpoint of a full disk has changed"
[ "$(ls "$dir/full/checkpoints")" = "$(printf 'best.h5\nlast.h5')" ] || fail "a half-written file is left"

# Each mistake: its exit status, and one line that says what, where and what to try.
expect() { # STATUS TEXT ARGUMENT...
    want=$1 text=$2
    shift 2
    status=0
    "$LINNET" pretrain "$@" >"$dir/out" 2>"$dir/err" || status=$?
    [ "$status" = "$want" ] || fail "exit status $status for: $* ($(cat "$dir/err"))"
    grep -qF -- "$text" "$dir/err" || fail "for $*: $(cat "$dir/err")"
    [ "$(grep -c 'linnet: error: ' "$dir/err")" = 1 ] || fail "not one error for: $*"
}
c="-c $dir/tiny.yaml"
d="--data $dir/corpus.jsonl --out $dir/new"
: >"$dir/empty.txt"
printf 'x' >"$dir/one.txt"
printf 'text\000with a NUL' >"$dir/binary.txt"
printf 'fine\nbad \377 byte\n' >"$dir/latin.txt"
printf 'model:\n  hiden_size: 3\n' >"$dir/typo.yaml"
printf 'model:\n  hidden_size: many\n' >"$dir/type.yaml"
expect 2 "out" $c --data "$dir/corpus.jsonl"
expect 2 "data" $c --out "$dir/new"
expect 1 "nowhere.txt" $c --data "$dir/nowhere.txt" --out "$dir/new"
expect 1 "empty" $c --data "$dir/empty.txt" --out "$dir/new"
expect 1 "give it more text" $c --data "$dir/one.txt" --out "$dir/new" --splitter bytes
expect 1 "binary.txt" $c --data "$dir/binary.txt" --out "$dir/new"
expect 1 "latin.txt" $c --data "$dir/latin.txt" --out "$dir/new"
expect 2 "typo.yaml:2: unknown key \"model.hiden_size\"; did you mean \"model.hidden_size\"?" -c "$dir/typo.yaml" $d
expect 2 "type.yaml:2" -c "$dir/type.yaml" $d
expect 2 "num_key_value_heads is 3" $c $d --set model.num_key_value_heads=3
expect 2 "not a multiple of num_attention_heads" $c $d --set model.num_attention_heads=3 --set model.num_key_value_heads=0
expect 2 "the head size is 1" $c $d --set model.num_attention_heads=32
expect 2 "vocab" $c $d --vocab-size 100
expect 2 "model.vocab_size is 100" $c $d --set model.vocab_size=100
expect 2 "model.max_position_embeddings is 8, less than train.max_seq_length (64)" $c $d --set model.max_position_embeddings=8
expect 2 "tokens at a time; use grad_accumulation" $c $d --batch-size 1048576 --max-seq-length 1048576
expect 1 "can be had here" $c $d --set model.hidden_size=131072 --set model.num_attention_heads=64 \
    --set model.num_key_value_heads=64 --set model.num_hidden_layers=512
expect 1 "can be had here" $c $d --batch-size 1048576 --max-seq-length 1000 \
    --set model.intermediate_size=1048576
expect 2 "wrong.h5: a shard is used with the tokenizer it was made with; give that with --tokenizer PATH" $c \
    --data "$dir/wrong.h5" --out "$dir/new"
expect 2 "optim.epsilon: expected a number from 1e-30 to 1" $c $d --set optim.epsilon=0 # 0/0 where no gradient came
expect 2 "--iterz" $c $d --iterz 5
expect 2 "holds no checkpoint to resume from" $c $d --resume
expect 1 "/dev/null" $c --data "$dir/corpus.jsonl" --out /dev/null/run

# A shard made with another tokenizer, a damaged checkpoint.
"$LINNET" tokenizer train --data "$dir/corpus.jsonl" --vocab-size 300 --out "$dir/other.json" --quiet
"$LINNET" data prepare --data "$dir/corpus.jsonl" --tokenizer "$dir/other.json" --out "$dir/other.h5" --quiet
expect 1 "tokenizer" $c --data "$dir/other.h5" --tokenizer "$dir/whole/tokenizer.json" --out "$dir/new"
cp -r "$dir/whole" "$dir/torn"
head -c 5000 "$dir/whole/checkpoints/last.h5" >"$dir/torn/checkpoints/last.h5"
expect 1 "torn/checkpoints/last.h5" --resume --out "$dir/torn"

# The plan runs nothing.
"$LINNET" pretrain $c --plan >"$dir/plan"
grep -q "^parameters" "$dir/plan" || fail "no parameters in the plan"
grep -q "gradients" "$dir/plan" || fail "no memory in the plan"
