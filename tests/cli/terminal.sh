# The progress line on terminals of several widths, and Ctrl-C.
. tests/cli/lib.inc

if ! command -v script >/dev/null || ! script -qec true /dev/null >/dev/null 2>&1; then
    echo "skipped: no script(1) to make a terminal with"
    exit 0
fi
cat >"$tmp/tiny.yaml" <<'YAML'
model:
  hidden_size: 32
  intermediate_size: 64
  num_hidden_layers: 1
  num_attention_heads: 4
  num_key_value_heads: 2
tokenizer:
  splitter: bytes
train:
  iters: 400
  batch_size: 2
  max_seq_length: 64
  eval_iters: 1
  eval_interval: 0
YAML
run "$LINNET" data synth --out "$tmp/corpus.txt" --size 60k -q
status 0

pretrain="$LINNET pretrain -c $tmp/tiny.yaml --data $tmp/corpus.txt"
esc=$(printf '\033')
# The states of the progress line, one a line.
states() { tr '\r' '\n' <"$tmp/screen" | sed -n "s/^$esc\[K\(train .*\)/\1/p"; }
for width in 200 80 50 30; do
    shown="pretrain on a terminal of $width columns"
    TERM=xterm script -qec "stty cols $width; $pretrain --out $tmp/run$width" /dev/null >"$tmp/screen" 2>&1 </dev/null
    got=$?
    status 0
    states >"$tmp/states"
    [ "$(wc -l <"$tmp/states")" -ge 2 ] || fail "no progress line"
    # a bar or a separator is one column, whatever its bytes
    LC_ALL=C sed "s/\xe2\x96[\x88\x91]/#/g; s/\xc2\xb7/./g" "$tmp/states" >"$tmp/columns"
    LC_ALL=C awk -v w="$width" 'length($0) >= w { print; bad = 1 } END { exit bad }' "$tmp/columns" ||
        fail "a line as wide as the terminal"
done
TERM=dumb script -qec "$pretrain --out $tmp/dumb" /dev/null >"$tmp/screen" 2>&1 </dev/null
got=$? shown='pretrain with TERM=dumb'
status 0
grep -q "$esc" "$tmp/screen" && fail "control sequences on a dumb terminal"

# What an untrained model says: bytes of any kind, none of them for the terminal.
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.txt" --out "$tmp/said" --iters 8 \
    --sample-interval 1 --set train.sample_tokens=60
status 0
grep -q '^step 1: "Once upon a time" \.\.\.' "$tmp/stderr" || fail "no sample"
LC_ALL=C tr -d '\000-\010\013-\037\177' <"$tmp/stderr" | cmp -s - "$tmp/stderr" ||
    fail "control characters in a sample"

# Ctrl-C in the middle of a line, of something that takes much longer than it takes us to see it: the shell's prompt begins
# a new one.
run "$LINNET" data synth --out "$tmp/large.txt" --size 5M -q
rm -f "$tmp/screen"
TERM=xterm script -qefc "$LINNET imatrix --model $tmp/said --data $tmp/large.txt --chunks 100000 --out $tmp/im.gguf --threads 1 & \
    echo \$! >$tmp/pid; wait \$!" "$tmp/screen" >"$tmp/ignored" 2>&1 </dev/null &
child=$!
until grep -q perplexity "$tmp/screen" 2>/dev/null; do sleep 0.02; done
kill -TERM "$(cat "$tmp/pid")"
wait $child
got=$? shown='imatrix, interrupted on a terminal'
status 143
[ ! -e "$tmp/im.gguf" ] || fail "the file was made"
# script(1) closes its file with a line of its own
last=$(tail -c 1 "$tmp/ignored" | od -An -tx1 | tr -d ' ')
[ "$last" = 0a ] || fail "the line was not ended"
