# Corpora, shards, models and numbers that are wrong in every way: one line that says what and where,
# status 1 or 2, and nothing is made.
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
train:
  iters: 3
  batch_size: 2
  max_seq_length: 32
  eval_iters: 1
YAML
run "$LINNET" data synth --out "$tmp/good.jsonl" --size 60k -q
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/good.jsonl" --out "$tmp/run" -q
status 0
c=$tmp/c
mkdir "$c" "$c/none.txt" "$c/others"

# Every reader of a corpus says the same of it.
corpus() { # FILE MESSAGE
    for reader in "pretrain -c $tmp/tiny.yaml --out $tmp/new" "tokenizer train --out $tmp/new.json" \
        "data prepare --tokenizer $tmp/run --out $tmp/new.h5" "eval ppl --model $tmp/run"; do
        # shellcheck disable=SC2086
        run "$LINNET" $reader --data "$c/$1" -q
        failure "$2"
        [ ! -e "$tmp/new.json" ] && [ ! -e "$tmp/new.h5" ] && [ ! -e "$tmp/new/checkpoints/last.h5" ] ||
            fail "something was made"
    done
}
: >"$c/empty.txt"
: | gzip -c >"$c/empty.txt.gz"
printf '\n\n' >"$c/blank.jsonl"
printf '{"text": ""}\n' >"$c/nothing.jsonl"
for file in empty.txt empty.txt.gz blank.jsonl nothing.jsonl; do
    corpus $file "the corpus holds no text: $c/$file is empty"
done
printf 'a\nb\000' >"$c/nul.txt"
corpus nul.txt "$c/nul.txt: a NUL byte at offset 3 (line 2): this is not a text file"
printf 'a\nb\377' >"$c/latin.txt"
corpus latin.txt "$c/latin.txt: invalid UTF-8 at offset 3 (line 2): byte 0xFF; convert the file to UTF-8"
printf '\377\376a\000' >"$c/utf16.txt"
corpus utf16.txt "$c/utf16.txt: is UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)"
gzip -c "$tmp/good.jsonl" | head -c 4000 >"$c/cut.jsonl.gz"
shown='the corpus reader on a gzip file cut short'
run "$LINNET" tokenizer train --data "$c/cut.jsonl.gz" --out "$tmp/new.json" -q
status 1
grep -q "^linnet: error: $c/cut.jsonl.gz: damaged gzip data after [0-9]* bytes of text: the file is cut off; \
fetch or compress it again$" "$tmp/stderr" || fail "no such error"
printf 'plain' >"$c/plain.txt.gz"
corpus plain.txt.gz "$c/plain.txt.gz: ends in .gz but holds no gzip data"
printf '{"text": "a"}\n{"txt": "b"}\n' >"$c/member.jsonl"
corpus member.jsonl "$c/member.jsonl:2: no member \"text\"; there is: \"txt\""
printf '{"text": 5}\n' >"$c/number.jsonl"
corpus number.jsonl "$c/number.jsonl:1: \"text\" must be a string"
printf '[1]\n' >"$c/list.jsonl"
corpus list.jsonl "$c/list.jsonl:1: a JSON object is needed on every line"
{ head -c 100000 /dev/zero | tr '\0' '['; } >"$c/deep.jsonl"
corpus deep.jsonl "$c/deep.jsonl:1: column 2049: not valid JSON: maximum parsing depth reached near '['"
corpus none.txt "$c/none.txt: holds no .txt, .jsonl, .txt.gz or .jsonl.gz file (0 others)"
: >"$c/others/readme.md"
corpus others "$c/others: holds no .txt, .jsonl, .txt.gz or .jsonl.gz file (1 others)"
mkfifo "$c/pipe.txt"
corpus pipe.txt "$c/pipe.txt: is not a regular file"
ln -s self.txt "$c/self.txt"
corpus self.txt "$c/self.txt: Too many levels of symbolic links"
corpus missing.txt "$c/missing.txt: No such file or directory"

# Shards: cut short, and damaged in their tokens.
run "$LINNET" data prepare --data "$tmp/good.jsonl" --tokenizer "$tmp/run" --out "$tmp/shard.h5" -q
status 0
shard() {
    run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/bad.h5" --tokenizer "$tmp/run" --out "$tmp/new" -q
    status 1
    [ "$(wc -l <"$tmp/stderr")" = 1 ] || fail "more than one line"
    grep -q "^linnet: error: $tmp/bad.h5: $1" "$tmp/stderr" || fail "no such error: $1"
}
head -c 20000 "$tmp/shard.h5" >"$tmp/bad.h5"
shard 'cannot open this HDF5 file, it is damaged or cut short'
: >"$tmp/bad.h5"
shard 'not an HDF5 file'
cp "$tmp/run/checkpoints/last.h5" "$tmp/bad.h5"
shard 'has the format "linnet-checkpoint-1", "linnet-shard-1" is needed'

# Models cut short at many places: every form, every reader.
run "$LINNET" export --model "$tmp/run" --out "$tmp/m.gguf" -q
run "$LINNET" export --model "$tmp/run" --format hf --out "$tmp/hf" -q
cp -r "$tmp/run" "$tmp/torn"
one_line() {
    status 1
    [ "$(wc -l <"$tmp/stderr")" = 1 ] || fail "not one line"
    grep -q "^linnet: error: $tmp/" "$tmp/stderr" || fail "the file is not named"
}
for percent in 0 1 5 30 70 99; do
    part() { head -c $(($(wc -c <"$1") * percent / 100)) "$1" >"$2"; }
    part "$tmp/m.gguf" "$tmp/cut.gguf"
    run "$LINNET" generate --model "$tmp/cut.gguf" --prompt x -q
    one_line
    for file in model.safetensors tokenizer.json config.json; do
        rm -rf "$tmp/cut-hf"
        cp -r "$tmp/hf" "$tmp/cut-hf"
        part "$tmp/hf/$file" "$tmp/cut-hf/$file"
        run "$LINNET" generate --model "$tmp/cut-hf" --prompt x -q
        one_line
    done
    part "$tmp/run/checkpoints/last.h5" "$tmp/torn/checkpoints/last.h5"
    part "$tmp/run/checkpoints/best.h5" "$tmp/torn/checkpoints/best.h5"
    run "$LINNET" generate --model "$tmp/torn" --prompt x -q
    one_line
    run "$LINNET" pretrain --resume --out "$tmp/torn" -q
    one_line
done

# Numbers and texts of generate and eval.
generate() { run "$LINNET" generate --model "$tmp/run" --prompt x -q "$@"; }
for value in -1 nan inf 1e999 '' 0x1; do
    generate --temperature "$value"
    usage_error 'generate ' "--temperature: expected a number from 0 to 100, found \"$value\""
    generate --repetition-penalty "$value"
    usage_error 'generate ' "--repetition-penalty: expected a number from 0.01 to 100, found \"$value\""
done
for value in 0 2 -1 nan; do
    generate --top-p "$value"
    usage_error 'generate ' "--top-p: expected a number from 1e-09 to 1, found \"$value\""
done
for flag in --top-k --seed; do
    generate $flag -1
    usage_error 'generate ' "$flag: expected a whole number of at least 0, found \"-1\""
done
for flag in --max-tokens --context --repetition-window; do
    generate $flag -1
    usage_error 'generate ' "$flag: expected a whole number from 0 to 16777216, found \"-1\""
done
for good in '--temperature 0' '--temperature 1e-300' '--top-k 0' '--top-k 99999999999' '--top-p 1e-9' '--min-p 1' \
    '--repetition-penalty 100' '--repetition-window 0' '--context 2' '--max-tokens 0'; do
    # shellcheck disable=SC2086
    generate -n 3 $good
    status 0
    err ''
done
run "$LINNET" generate --model "$tmp/run" --prompt '' -n 3 -q
status 0
run "$LINNET" eval ppl --model "$tmp/run" --data "$tmp/good.jsonl" --stride 33 --max-seq-length 32 -q
usage_error 'eval ppl ' 'the stride (33) is longer than the context (32): tokens between the windows would not be scored'

# A reader that leaves early: no message, and no file is lost.
for command in "generate --model $tmp/run --prompt x -n 20" "info $tmp/run" \
    "tokenizer encode --tokenizer $tmp/run --file $tmp/good.jsonl"; do
    # shellcheck disable=SC2086
    { "$LINNET" $command -q 2>"$tmp/stderr"; } | head -c 3 >"$tmp/few"
    shown="$command | head" got=0
    : >"$tmp/stdout"
    err ''
done
