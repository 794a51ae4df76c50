# linnet info on small files of every kind, whole and damaged.
. tests/cli/lib.inc

# A GGUF file: two values and one tensor of 2 x 3 floats, rows slowest.
u32() { printf "\\$(printf %03o "$1")\\0\\0\\0"; }
u64() { u32 "$1"; u32 0; }
text() { u64 "${#1}"; printf %s "$1"; }
gguf() {
    printf GGUF; u32 3; u64 1; u64 3
    text general.architecture; u32 8; text llama
    text llama.block_count; u32 4; u32 5
    text tokenizer.ggml.tokens; u32 9; u32 8; u64 3; text a; text b; text c
    text w.weight; u32 2; u64 3; u64 2; u32 0; u64 0
}
gguf >"$tmp/head"
size=$(wc -c <"$tmp/head")
{
    cat "$tmp/head"
    head -c $(((32 - size % 32) % 32)) /dev/zero
    head -c 24 /dev/zero
} >"$tmp/m.gguf"
run "$LINNET" info "$tmp/m.gguf"
status 0
err ''
out "$tmp/m.gguf: GGUF version 3, $(wc -c <"$tmp/m.gguf" | tr -d ' ') B

  general.architecture   llama
  llama.block_count      5
  tokenizer.ggml.tokens  3 string: a, b, c

  tensor    type     shape                      size
  w.weight  f32      2 x 3                      24 B

  1 tensors, 6 elements, 24 B: 1 f32
"
run "$LINNET" info --json "$tmp/m.gguf"
status 0
out_has '      "llama.block_count": 5,'
out_has '        "name": "w.weight",'
out_has '          2,'
out_has '      "elements": 6,'

head -c "$size" "$tmp/m.gguf" >"$tmp/cut.gguf"
run "$LINNET" info "$tmp/cut.gguf"
status 1
out ''
grep -q "^linnet: error: $tmp/cut.gguf: " "$tmp/stderr" || fail "the damaged file is not named"
[ "$(wc -l <"$tmp/stderr")" = 1 ] || fail "more than one line"

# safetensors
header='{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}}  '
{
    u64 ${#header}
    printf %s "$header"
    head -c 22 /dev/zero
} >"$tmp/m.safetensors"
run "$LINNET" info "$tmp/m.safetensors"
status 0
out_has '  a       F32      2 x 2                      16 B'
out_has '  b       BF16     3                           6 B'
out_has '  2 tensors, 7 elements, 22 B: 1 F32, 1 BF16'
cp "$tmp/m.safetensors" "$tmp/anonymous" # known by content too
run "$LINNET" info "$tmp/anonymous"
status 0
printf x >>"$tmp/m.safetensors"
run "$LINNET" info "$tmp/m.safetensors"
status 1
grep -q "^linnet: error: $tmp/m.safetensors: " "$tmp/stderr" || fail "the damaged file is not named"

# A model in several files is shown once, whole.
mkdir "$tmp/shards" "$tmp/parts"
for i in 1 2; do
    header='{"t'$i'":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} '
    { u64 ${#header}; printf '%s12345678' "$header"; } >"$tmp/shards/model-0000$i-of-00002.safetensors"
done
printf '{"weight_map": {"t1": "model-00001-of-00002.safetensors", "t2": "model-00002-of-00002.safetensors"}}' \
    >"$tmp/shards/model.safetensors.index.json"
run "$LINNET" info "$tmp/shards"
status 0
out "$tmp/shards/model.safetensors.index.json: safetensors, 2 files, 144 B

  2 tensors, 4 elements, 16 B: 2 F32
"
run "$LINNET" info "$tmp/shards/model.safetensors.index.json"
status 0
out_has '  t2      F32      2                           8 B'
run "$LINNET" info "$tmp/shards/model-00001-of-00002.safetensors"
out_has '  1 tensors, 2 elements, 8 B: 1 F32'
rm "$tmp/shards/model-00002-of-00002.safetensors"
run "$LINNET" info "$tmp/shards"
failure "$tmp/shards/model-00002-of-00002.safetensors: this file is missing, though \
model.safetensors.index.json names it (2 of 2); fetch it too"
cp tests/fixtures/blocks-*.gguf "$tmp/parts"
run "$LINNET" info "$tmp/parts"
status 0
[ "$(grep -c 'GGUF version 3, 3 files' "$tmp/stdout")" = 1 ] || fail "not one model"
run "$LINNET" info "$tmp/parts/blocks-00002-of-00003.gguf" --json
status 0
out_has '    "files": 3,'
out_has '      "tensors": 36,'
rm "$tmp/parts/blocks-00003-of-00003.gguf"
run "$LINNET" info "$tmp/parts"
failure "$tmp/parts/blocks-00003-of-00003.gguf: this part is missing; all 3 must lie in one folder"
rm "$tmp/parts/blocks-00001-of-00003.gguf"
run "$LINNET" info "$tmp/parts"
failure "$tmp/parts/blocks-00001-of-00003.gguf: this part is missing; all 3 must lie in one folder"

# HDF5
run "$LINNET" info --verify tests/fixtures/decoder.h5
status 0
err ''
grep -q '^tests/fixtures/decoder.h5: HDF5, ' "$tmp/stdout" || fail "no heading"
out_has '  case_a/config/B                                              f64      1                           8 B'
head -c 5000 tests/fixtures/decoder.h5 >"$tmp/cut.h5"
run "$LINNET" info "$tmp/cut.h5"
status 1
grep -q "^linnet: error: $tmp/cut.h5: " "$tmp/stderr" || fail "the damaged file is not named"

# configurations, and a directory of such files
mkdir "$tmp/model"
printf '{"model_type": "llama", "hidden_size": 64, "bos_token_id": null}' >"$tmp/model/config.json"
printf 'model:\n  hidden_size: 64\ndata:\n  paths: [a, b]\n' >"$tmp/model/config.yaml"
printf 'anything' >"$tmp/model/notes.txt"
run "$LINNET" info "$tmp/model"
status 0
out "$tmp/model/config.json: model configuration, 64 B

  model_type    llama
  hidden_size   64
  bos_token_id  none

$tmp/model/config.yaml: configuration, 47 B

  model.hidden_size  64
  data.paths         [\"a\", \"b\"]
"

# A hostile file must not reach the terminal's controls.
printf '{"model_type": "\\u001b[31mred\\nline"}' >"$tmp/config.json"
run "$LINNET" info "$tmp/config.json"
status 0
out_has '  model_type  \x1b[31mred\nline'

# what is none of these
mkdir "$tmp/empty"
run "$LINNET" info "$tmp/empty"
failure "$tmp/empty: this directory holds no model, tokenizer or shard"
run "$LINNET" info "$tmp/model/notes.txt"
failure "$tmp/model/notes.txt: not a kind linnet knows (GGUF, safetensors, HDF5, and the .json and .yaml files of models)"
: >"$tmp/nothing.gguf"
run "$LINNET" info "$tmp/nothing.gguf"
failure "$tmp/nothing.gguf: the file is empty"
run "$LINNET" info "$tmp/missing"
failure "$tmp/missing: No such file or directory"
printf '[1, 2]' >"$tmp/list.json"
run "$LINNET" info "$tmp/list.json"
failure "$tmp/list.json: JSON, but no configuration and no tokenizer"
printf '{"a": 1' >"$tmp/open.json"
run "$LINNET" info "$tmp/open.json"
failure "$tmp/open.json: line 1, column 7: not valid JSON: '}' expected near end of file"

# teacher dumps, as a file and as a folder of parts
mkdir "$tmp/dump"
for i in 0 1; do cp tests/fuzz/corpus/dump/good-chunks "$tmp/dump/part-0000$i.h5"; done
printf anything >"$tmp/dump/part-00002.h5.tmp77" # being written
run "$LINNET" info "$tmp/dump"
status 0
out "$tmp/dump: teacher dump, 2 files, 45.0 kB

  kind              top-k
  vocab_size        100
  k                 3
  temperature       1.0
  teacher           t
  teacher_hash      not known
  tokenizer_hash    not known
  tokenizer_json    none
  sequences         4
  tokens            12
  positions         8
  bytes_a_position  5628.0
"
run "$LINNET" info --verify "$tmp/dump/part-00001.h5"
status 0
out_has '  positions         4'
out_has '  covered           0.8747'
out_has '  cross_entropy     none'
cp tests/fuzz/corpus/dump/bad-id "$tmp/dump/part-00001.h5"
run "$LINNET" info "$tmp/dump"
status 0
run "$LINNET" info --verify "$tmp/dump"
status 1
grep -q "^linnet: error: $tmp/dump/part-00001.h5: dataset \"id_gaps\", chunk 0, position 2: an id is beyond the vocabulary (122); \
write this part again" "$tmp/stderr" || fail "the bad id is not named"
cp tests/fuzz/corpus/dump/bad-sequences "$tmp/dump/part-00001.h5"
run "$LINNET" info "$tmp/dump"
failure "$tmp/dump/part-00001.h5: dataset \"sequences\": sequence 1 ends at 6, but begins at 6"

# log-probabilities of a reference
cp tests/fuzz/corpus/reference/good-plain "$tmp/reference.h5"
run "$LINNET" info "$tmp/reference.h5"
status 0
out "$tmp/reference.h5: reference log-probabilities, 9.2 kB

  model           models/a
  products        bf16
  producer        linnet 0.1.0
  model_hash      fffffffffffffffc
  tokenizer_hash  0000000000000007
  content_hash    f631723cc356930e
  answers         3
  targets         4000000010
  mean_logp       -2.45
  lowest_logp     -7.25
  highest_logp    0.0
  loss_a_target   0.0
"
cp tests/fuzz/corpus/reference/bad-version "$tmp/reference.h5"
run "$LINNET" info "$tmp/reference.h5"
failure "$tmp/reference.h5: has the format \"linnet-reference-2\", \"linnet-reference-1\" is needed: make the file anew with this \
linnet, or use the one that made it"
