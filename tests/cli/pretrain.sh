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

# The plan of a stored run is that run's.
"$LINNET" pretrain --out "$dir/whole" --resume --plan >"$dir/plan"
grep -q "for 120 steps" "$dir/plan" || fail "not the plan of the stored run"

# A warm-up that leaves no time for anything else is said, in the plan and in the run.
for how in --plan "--out $dir/short"; do
    pretrain $how --iters 4 2>"$dir/err" >"$dir/plan"
    grep -q "warning: the warm-up of 5 steps is not shorter than the run of 4: .* to 0.0008 at the end; lower --warmup-iters" \
        "$dir/err" || fail "$how says: $(cat "$dir/err")"
done
pretrain --plan --iters 30 --schedule wsd --set optim.decay_iters=27 2>"$dir/err" >"$dir/plan"
grep -q "a warm-up of 5 steps and a decay of 27 do not fit into a run of 30" "$dir/err" ||
    fail "says: $(cat "$dir/err")"
pretrain --plan --iters 6 2>"$dir/err" >"$dir/plan"
[ ! -s "$dir/err" ] || fail "says: $(cat "$dir/err")"

# The run at a glance.
"$LINNET" info "$dir/whole" >"$dir/glance"
for line in "architecture          llama" "layers                2" "tokenizer             gpt2, 400 tokens" \
    "data                  \[\"$dir/corpus.jsonl\"\]" "shard                 $dir/whole/shard.h5" \
    "step                  120" "steps_in_all          120" "best_step             [1-9][0-9]*" \
    "best_validation_loss  [0-9]\.[0-9]*"; do
    grep -q "^  $line\$" "$dir/glance" || fail "no \"$line\" in: $(cat "$dir/glance")"
done
! grep -q "weights/" "$dir/glance" || fail "more than a glance"
"$LINNET" info --json "$dir/whole" >"$dir/glance"
grep -q '"kind": "run"' "$dir/glance" && grep -q 'last.h5"' "$dir/glance" || fail "not all files in: $(cat "$dir/glance")"

# A checkpoint finds its run's files however its path is written.
binary=$(cd "$(dirname "$LINNET")" && pwd)/$(basename "$LINNET")
for path in last.h5 ./last.h5 .//last.h5 ../checkpoints/last.h5 ../../whole/checkpoints//last.h5; do
    (cd "$dir/whole/checkpoints" && "$binary" export --model "$path" --format gguf --out "$dir/x.gguf" --force --quiet) ||
        fail "$path does not find its tokenizer"
done
(cd "$dir/whole/checkpoints" && mkdir below && cd below &&
    "$binary" export --model ../last.h5 --format gguf --out "$dir/x.gguf" --force --quiet) || fail "../last.h5"
rmdir "$dir/whole/checkpoints/below"
(cd "$dir/whole" && "$binary" export --model checkpoints/last.h5 --format gguf --out "$dir/x.gguf" --force --quiet) ||
    fail "checkpoints/last.h5"

# Patience that nothing can exhaust.
pretrain --out "$dir/patient" --iters 6 --eval-interval 0 --set train.early_stopping_patience=2 2>"$dir/err"
grep -q "early_stopping_patience has no effect" "$dir/err" || fail "says: $(cat "$dir/err")"

! "$LINNET" export --model "$dir/whole/shard.h5" --format gguf --out "$dir/y.gguf" 2>"$dir/err" &&
    grep -q "shard.h5: an HDF5 file, but no checkpoint of a model" "$dir/err" || fail "says: $(cat "$dir/err")"

# Ctrl-C saves and says how to go on.
"$LINNET" pretrain -c "$dir/tiny.yaml" --data "$dir/corpus.jsonl" --quiet \
    --out "$dir/interrupted" --iters 100000 2>"$dir/err" &
pid=$!
while ! grep -q '"loss"' "$dir/interrupted/metrics.jsonl" 2>/dev/null; do sleep 0.01; done
while [ ! -e "$dir/interrupted/checkpoints/last.h5" ]; do sleep 0.01; done
"$LINNET" pretrain --out "$dir/interrupted" --resume 2>"$dir/err2" && fail "two processes in one run"
grep -q "interrupted: another linnet is writing there" "$dir/err2" || fail "says: $(cat "$dir/err2")"
kill -TERM $pid
status=0
wait $pid || status=$?
[ "$status" = 130 ] || fail "an interrupted run exits with $status"
grep -q "continue with --resume" "$dir/err" || fail "says: $(cat "$dir/err")"

# So does a terminal that is closed, also when the tests themselves run under nohup.
env --default-signal=HUP "$LINNET" pretrain -c "$dir/tiny.yaml" --data "$dir/corpus.jsonl" --quiet --checkpoint-interval 0 \
    --out "$dir/hung-up" --iters 100000 2>"$dir/err" &
pid=$!
while ! grep -q '"loss"' "$dir/hung-up/metrics.jsonl" 2>/dev/null; do sleep 0.01; done
kill -HUP $pid
status=0
wait $pid || status=$?
[ "$status" = 130 ] || fail "a hung-up run exits with $status"
[ -e "$dir/hung-up/checkpoints/last.h5" ] || fail "a hung-up run saved nothing"

# What a killed process has left half-written goes, and nothing else.
(exec sh -c 'echo $$') >"$dir/dead"
interrupted=$dir/interrupted/checkpoints
: >"$interrupted/last.h5.tmp$(cat "$dir/dead")"
: >"$interrupted/last.h5.tmpx"
"$LINNET" pretrain --out "$dir/interrupted" --resume --iters 1 --quiet
[ -e "$interrupted/last.h5.tmpx" ] && [ ! -e "$interrupted/last.h5.tmp$(cat "$dir/dead")" ] || fail "holds $(ls "$interrupted")"

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
expect 1 "no room for the run: it takes " $c $d --set model.hidden_size=131072 --set model.num_attention_heads=64 \
    --set model.num_key_value_heads=64 --set model.num_hidden_layers=512
expect 1 "no room for the run: it takes " $c $d --batch-size 1048576 --max-seq-length 1000 \
    --set model.intermediate_size=1048576
expect 2 "wrong.h5: give the tokenizer that this shard was made with, too: --tokenizer PATH" $c \
    --data "$dir/wrong.h5" --out "$dir/new"
expect 2 "optim.epsilon: expected a number from 1e-30 to 1" $c $d --set optim.epsilon=0 # 0/0 where no gradient came
expect 2 "--iterz" $c $d --iterz 5
expect 2 "holds no checkpoint to resume from" $c $d --resume
expect 1 "/dev/null" $c --data "$dir/corpus.jsonl" --out /dev/null/run

# On resuming: what changes is said, what cannot change is refused, and a refusal changes no file.
cp -r "$dir/whole" "$dir/changed"
state() { cksum "$dir/changed/config.yaml" "$dir/changed/shard.h5" "$dir/changed/metrics.jsonl"; }
before=$(state)
r="--resume --out $dir/changed"
keeps() { # TEXT ARGUMENT...
    text=$1
    shift
    expect 2 "a resumed run keeps its $text; leave that as it was" $r "$@"
}
keeps "train.batch_size (4, not 8), train.seed (1, not 2)" --batch-size 8 --seed 2
keeps "train.grad_accumulation (1, not 2)" --grad-accumulation 2
keeps "train.max_seq_length (64, not 32)" --max-seq-length 32
keeps "model.hidden_size (32, not 64), model.head_dim (8, not 16)" --set model.hidden_size=64 --set model.head_dim=16
keeps "model.initializer_range (0.02, not 0.5)" --set model.initializer_range=0.5
keeps "tokenizer.vocab_size (400, not 300)" --vocab-size 300
keeps "tokenizer.path (null, not $dir/other.json)" --tokenizer "$dir/other.json"
keeps "data.validation_fraction (0.05, not 0.1)" --validation-fraction 0.1
keeps "data.paths ([$dir/corpus.jsonl], not [$dir/latin.txt])" --data "$dir/latin.txt"
sed 's/batch_size: 4/batch_size: 2/' "$dir/tiny.yaml" >"$dir/half.yaml"
keeps "train.batch_size (4, not 2)" -c "$dir/half.yaml"
[ "$before" = "$(state)" ] || fail "a refused --resume changed files"
"$LINNET" pretrain $r --iters 125 --learning-rate 5e-4 --set model.resid_dropout=0 2>"$dir/err" ||
    fail "$(cat "$dir/err")"
grep -e ' -> ' "$dir/err" >"$dir/said"
printf 'model.resid_dropout: 0.1 -> 0\noptim.learning_rate: 0.001 -> 0.0005\ntrain.iters: 120 -> 125\n' >"$dir/want"
cmp "$dir/want" "$dir/said" || fail "says: $(cat "$dir/err")"
"$LINNET" pretrain $r 2>"$dir/err"
grep -q "the run is complete: 125 of 125 steps" "$dir/err" || fail "says: $(cat "$dir/err")"
! grep -q -e ' -> ' "$dir/err" || fail "says: $(cat "$dir/err")"
# The text it was made from is not needed any more.
mv "$dir/corpus.jsonl" "$dir/away.jsonl"
pretrain -c "$dir/tiny.yaml" --out "$dir/changed" --resume --iters 127 --set model.resid_dropout=0 ||
    fail "does not resume without its text"
mv "$dir/away.jsonl" "$dir/corpus.jsonl"

# A shard made with another tokenizer, a damaged checkpoint.
"$LINNET" tokenizer train --data "$dir/corpus.jsonl" --vocab-size 300 --out "$dir/other.json" --quiet
"$LINNET" data prepare --data "$dir/corpus.jsonl" --tokenizer "$dir/other.json" --out "$dir/other.h5" --quiet
expect 1 "tokenizer" $c --data "$dir/other.h5" --tokenizer "$dir/whole/tokenizer.json" --out "$dir/new"
"$LINNET" pretrain $c --quiet --data "$dir/other.h5" --tokenizer "$dir/other.json" --out "$dir/settled" --iters 6 --vocab-size 350 \
    --validation-fraction 0.2 2>"$dir/err" || fail "$(cat "$dir/err")"
printf 'linnet: warning: %s\n' "data.validation_fraction has no effect: the shard given as data has been made already" \
    "tokenizer.vocab_size has no effect: a tokenizer was given, none is trained" >"$dir/want"
cmp "$dir/want" "$dir/err" || fail "says: $(cat "$dir/err")"
cp "$dir/other.json" "$dir/changed/tokenizer.json"
before=$(cksum "$dir/changed/shard.h5")
expect 1 "was trained with another tokenizer" $r
[ "$before" = "$(cksum "$dir/changed/shard.h5")" ] || fail "another tokenizer changed the shard"
cp -r "$dir/whole" "$dir/torn"
head -c 5000 "$dir/whole/checkpoints/last.h5" >"$dir/torn/checkpoints/last.h5"
expect 1 "torn/checkpoints/last.h5" --resume --out "$dir/torn"

# The plan runs nothing.
"$LINNET" pretrain $c --plan >"$dir/plan"
grep -q "^parameters" "$dir/plan" || fail "no parameters in the plan"
grep -q "gradients" "$dir/plan" || fail "no memory in the plan"
grep -q "^available here  *[0-9.]* [kMGT]*B  of [0-9.]* [kMGT]*B$" "$dir/plan" || fail "no machine in the plan"

# A model that no machine here holds: said with the plan, and refused before anything is written.
giant="--set model.hidden_size=65536 --set model.intermediate_size=262144 --set model.num_hidden_layers=512 --set model.head_dim=64"
"$LINNET" pretrain $c $giant --plan >"$dir/plan" 2>"$dir/err"
grep -q "^available here" "$dir/plan" || fail "no machine in the plan of a giant"
grep -q "warning: no room for the run: it takes [0-9.]* [TP]B of memory, and no more than" "$dir/err" || fail "says: $(cat "$dir/err")"
expect 1 "of memory, and no more than" $c $d $giant
# Nor one whose size no integer holds.
endless="--batch-size 1048576 --max-seq-length 1024 --grad-accumulation 1048576"
endless="$endless --set model.intermediate_size=1048576 --set model.num_hidden_layers=512"
"$LINNET" pretrain $c $endless --plan >"$dir/plan" 2>"$dir/err" || fail "an endless plan: $(cat "$dir/err")"
expect 1 "of memory, and no more than" $c $d $endless
# Nor one that the user's own limit forbids.
(
    ulimit -v 4000000 && "$LINNET" --version >/dev/null 2>&1 || exit 0 # a sanitizer needs more
    expect 1 "of memory, and no more than" $c $d --batch-size 16384
)
[ ! -e "$dir/new/config.yaml" ] || fail "a refused run has left files"
