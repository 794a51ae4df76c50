# Where results go: what is there and is something else is never lost, and no work is done in vain.
. tests/cli/lib.inc

cat >"$tmp/tiny.yaml" <<'YAML'
model:
  hidden_size: 32
  intermediate_size: 64
  num_hidden_layers: 1
  num_attention_heads: 4
  num_key_value_heads: 2
tokenizer:
  vocab_size: 300
optim:
  warmup_iters: 1
train:
  iters: 3
  batch_size: 2
  max_seq_length: 32
  eval_iters: 1
YAML
run "$LINNET" data synth --out "$tmp/corpus.jsonl" --size 60k -q
status 0
run "$LINNET" tokenizer train --data "$tmp/corpus.jsonl" --vocab-size 300 --out "$tmp/t.json" -q
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/run" -q
status 0
mkdir "$tmp/folder"
mkfifo "$tmp/pipe"
ls "$tmp/run" "$tmp/run/checkpoints" >"$tmp/listing"
(cd "$tmp" && cksum corpus.jsonl t.json run/*.* run/*/*) >"$tmp/sums"
untouched() {
    (cd "$tmp" && cksum corpus.jsonl t.json run/*.* run/*/*) | cmp -s - "$tmp/sums" || fail "a file changed"
    [ -p "$tmp/pipe" ] || fail "the pipe is gone"
    ls "$tmp"/*.tmp* "$tmp"/*/*.tmp* "$tmp"/*.spool* 2>/dev/null && fail "a temporary file was left"
}

# The commands that write a file: each with the ending that it asks for.
prepare() { run "$LINNET" data prepare --data "$tmp/corpus.jsonl" --tokenizer "$tmp/t.json" "$@"; }
learn() { run "$LINNET" tokenizer train --data "$tmp/corpus.jsonl" "$@"; }
synth() { run "$LINNET" data synth --size 1k "$@"; }
export_gguf() { run "$LINNET" export --model "$tmp/run" --force "$@"; }
for command in prepare learn export_gguf; do
    $command --out "$tmp/pipe"
    failure "$tmp/pipe: is not a regular file, and is left as it is"
    $command --out "$tmp/nowhere/x"
    failure "$tmp/nowhere/x: cannot create: No such file or directory"
    $command --out ''
    status 2
    err_has 'linnet: error: --out: expected the name of a file or directory, found ""'
done
synth --out "$tmp/nowhere/x.txt"
failure "$tmp/nowhere/x.txt: cannot create: No such file or directory"
for command in prepare learn; do
    $command --out "$tmp/folder"
    failure "$tmp/folder: is a directory; name a file to write"
done
prepare --out "$tmp/corpus.jsonl"
usage_error 'data prepare ' "--out $tmp/corpus.jsonl: the name of a text file; a tokenizer's ends in \
.json, a shard's in .h5"
learn --out "$tmp/corpus.jsonl"
usage_error 'tokenizer train ' "--out $tmp/corpus.jsonl: the name of a text file; a tokenizer's ends \
in .json, a shard's in .h5"
for file in t.json run/checkpoints/last.h5; do
    prepare --out "$tmp/$file"
    usage_error 'data prepare ' "$tmp/$file: already there and not a shard; choose another name for \
the shard, or remove that file"
done
run "$LINNET" export --model "$tmp/run" --format hf --force --out "$tmp/run"
usage_error 'export ' "$tmp/run: is a run directory; choose another"
untouched

# A shard, whole or what is left of one, and an empty file are replaced.
prepare --out "$tmp/shard.h5" -q
status 0
head -c 9000 "$tmp/shard.h5" >"$tmp/cut.h5"
: >"$tmp/empty.h5"
for shard in cut empty; do
    prepare --out "$tmp/$shard.h5" -q
    status 0
    cmp -s "$tmp/shard.h5" "$tmp/$shard.h5" || fail "$shard.h5 was not made anew"
done

# A link stays a link; what it points to is replaced.
ln -s folder/real.json "$tmp/link.json"
cp "$tmp/corpus.jsonl" "$tmp/folder/real.json"
learn --out "$tmp/link.json" --vocab-size 300 -q
status 0
[ -L "$tmp/link.json" ] || fail "the link is gone"
cmp -s "$tmp/t.json" "$tmp/folder/real.json" || fail "the link's file was not written"

# Two runs in one directory: the second is refused, and costs the first nothing.
"$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/both" --iters 1000000 \
    --eval-interval 1000000 --checkpoint-interval 1000000 -q 2>"$tmp/first" &
child=$!
until [ -e "$tmp/both/metrics.jsonl" ]; do sleep 0.05; done
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/both" -q
failure "$tmp/both: another linnet is writing there; wait for it, or choose another --out"
kill -TERM $child
wait $child
got=$? shown='the first of two runs'
status 130
# ... and what a killed one left half written goes with the next.
: >"$tmp/both/checkpoints/last.h5.tmp123"
: >"$tmp/both/checkpoints/last.h5.tmpother"
run "$LINNET" pretrain --out "$tmp/both" --resume --iters 1 -q
status 0
[ ! -e "$tmp/both/checkpoints/last.h5.tmp123" ] || fail "the temporary file of a killed run is still there"
[ -e "$tmp/both/checkpoints/last.h5.tmpother" ] || fail "a file that is not ours was removed"

# A refused --resume leaves the run as it was.
cp "$tmp/run/config.yaml" "$tmp/config"
run "$LINNET" pretrain --out "$tmp/run" --resume --iters 6 --set model.hidden_size=64 -q
status 2
grep -q "a resumed run keeps its model.hidden_size (32, not 64)" "$tmp/stderr" || fail "does not name the key"
cmp -s "$tmp/run/config.yaml" "$tmp/config" || fail "a refused --resume changed the configuration"
run "$LINNET" data synth --out "$tmp/other.jsonl" --size 60k --seed 2 -q
run "$LINNET" pretrain --out "$tmp/run" --resume --iters 6 --data "$tmp/other.jsonl" -q
status 2
grep -q "a resumed run keeps its data.paths (.*, not \\[$tmp/other.jsonl\\])" "$tmp/stderr" || fail "does not name the data"
cmp -s "$tmp/run/config.yaml" "$tmp/config" || fail "a refused --resume changed the configuration"
run "$LINNET" pretrain --out "$tmp/run" --resume --iters 6 -q
status 0
err ''
