# From made-up text to a tokenizer, ids, and a shard.
. tests/cli/lib.inc

# The same flags give the same bytes; the other split gives other text.
run "$LINNET" data synth --out "$tmp/a.jsonl" --size 300k
status 0
out ''
run "$LINNET" data synth --out "$tmp/b.jsonl" --size 300k --quiet
status 0
out ''
err ''
cmp -s "$tmp/a.jsonl" "$tmp/b.jsonl" || fail "not the same bytes again"
[ "$(wc -c <"$tmp/a.jsonl")" -ge 300000 ] || fail "too little text"
run "$LINNET" data synth --out "$tmp/held.jsonl" --size 50k --split held-out --json
status 0
out_has "  \"path\": \"$tmp/held.jsonl\","
# One kind: those documents of the corpus, as many as are wanted.
run "$LINNET" data synth --out "$tmp/sums.jsonl" --kind arithmetic --count 7 --json -q
status 0
out_has '  "documents": 7,'
grep '"kind": "arithmetic", "question": ' "$tmp/a.jsonl" | head -n 7 | cmp -s - "$tmp/sums.jsonl" || fail "other sums than those of the corpus"
run "$LINNET" data synth --out "$tmp/stories.jsonl" --kind story --size 20k -q
status 0
head -n "$(wc -l <"$tmp/stories.jsonl")" "$tmp/stories.jsonl" | grep -qv '"kind": "story"' && fail "not only stories"
[ "$(wc -c <"$tmp/stories.jsonl")" -ge 20000 ] || fail "too few stories"
run "$LINNET" data synth --out "$tmp/x.jsonl" --count 3 --size 1k
usage_error 'data synth ' '--size and --count: one of them, not both'
run "$LINNET" data synth --out "$tmp/x.doc"
status 2
[ ! -e "$tmp/x.doc" ] || fail "the file was made"

# Interrupted: no half of a file is left.
"$LINNET" data synth --out "$tmp/huge.txt" --size 100G 2>"$tmp/stderr" &
child=$!
tries=0
until ls "$tmp"/huge.txt* >/dev/null 2>&1 || [ $tries = 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -TERM $child
wait $child
got=$? shown='data synth, interrupted'
status 143
ls "$tmp"/huge.txt* 2>/dev/null && fail "a temporary file was left"

# tokenizer train
run "$LINNET" tokenizer train --data "$tmp/a.jsonl" --vocab-size 600 --out "$tmp/tokenizer.json"
status 0
out ''
grep -q "^$tmp/tokenizer.json: 600 tokens (256 bytes, 1 special, 343 merges) in " "$tmp/stderr" ||
    fail "no summary"
run "$LINNET" tokenizer train --data "$tmp/a.jsonl" --vocab-size 600 --out "$tmp/again.json" --json -q
status 0
err ''
out_has '  "merges": 343,'
cmp -s "$tmp/tokenizer.json" "$tmp/again.json" || fail "not the same tokenizer again"
run "$LINNET" tokenizer train --data "$tmp/a.jsonl" --vocab-size 600 --special-token '<s>' \
    --special-token '<pad>' --out "$tmp/special.json" -q
status 0
run "$LINNET" tokenizer encode --tokenizer "$tmp/special.json" '<s>' '<pad>'
out '0
1'
# a configuration file serves as well, sections of other commands and all
printf 'data:\n  paths: ["%s"]\ntokenizer:\n  vocab_size: 300\ntrain:\n  iters: 3\n' "$tmp/a.jsonl" \
    >"$tmp/config.yaml"
run "$LINNET" tokenizer train -c "$tmp/config.yaml" --vocab-size 600 --out "$tmp/again.json" -q
status 0
cmp -s "$tmp/tokenizer.json" "$tmp/again.json" || fail "not the same tokenizer from a configuration"
run "$LINNET" tokenizer train --data "$tmp/missing.txt" --out "$tmp/no.json"
failure "$tmp/missing.txt: No such file or directory"
[ ! -e "$tmp/no.json" ] || fail "the file was made"
# no room: the error names the file, nothing of it is left, and what was there stays
cp "$tmp/again.json" "$tmp/kept.json"
(ulimit -f 8; "$LINNET" tokenizer train -c "$tmp/config.yaml" --vocab-size 900 --out "$tmp/again.json" \
    -q 2>"$tmp/stderr")
got=$? shown='tokenizer train with a file size limit'
failure "$tmp/again.json: cannot write: File too large"
cmp -s "$tmp/again.json" "$tmp/kept.json" || fail "the old file was damaged"
ls "$tmp"/again.json?* 2>/dev/null && fail "a temporary file was left"

# tokenizer encode and decode
tokenizer="--tokenizer $tmp/tokenizer.json"
printf 'Once upon a time\n\n  two  spaces, "quotes" and \303\244\n' >"$tmp/text"
# shellcheck disable=SC2086
run "$LINNET" tokenizer encode $tokenizer --file "$tmp/text"
status 0
err ''
[ "$(wc -l <"$tmp/stdout")" = 3 ] || fail "not a line for a line"
cp "$tmp/stdout" "$tmp/ids"
# shellcheck disable=SC2086
run "$LINNET" tokenizer decode $tokenizer --file "$tmp/ids"
status 0
cmp -s "$tmp/stdout" "$tmp/text" || fail "not the text again"
# shellcheck disable=SC2086
"$LINNET" tokenizer encode $tokenizer <"$tmp/text" | cmp -s - "$tmp/ids" || fail "stdin differs"
# shellcheck disable=SC2086
run "$LINNET" tokenizer encode $tokenizer --json a
status 0
out '{"ids": [65], "tokens": ["a"]}'
# shellcheck disable=SC2086
run "$LINNET" tokenizer encode $tokenizer '<|endoftext|>'
out '0'
# shellcheck disable=SC2086
run "$LINNET" tokenizer encode $tokenizer --no-special '<|endoftext|>'
status 0
case $(cat "$tmp/stdout") in 0) fail "parsed as a special token" ;; esac
# shellcheck disable=SC2086
run "$LINNET" tokenizer encode $tokenizer --bos a
out '0 65'
# shellcheck disable=SC2086
run "$LINNET" tokenizer decode $tokenizer 65 '[66,' '67]'
out abc
# shellcheck disable=SC2086
run "$LINNET" tokenizer decode $tokenizer --json 65
out '{"text": "a"}'
# shellcheck disable=SC2086
run "$LINNET" tokenizer decode $tokenizer 600
usage_error 'tokenizer decode ' '"600" is no token id; expected 0 to 599'
printf '65\n65 x\n' >"$tmp/bad"
# shellcheck disable=SC2086
run "$LINNET" tokenizer decode $tokenizer --file "$tmp/bad"
failure "$tmp/bad:2: \"x\" is no token id; expected 0 to 599"
# shellcheck disable=SC2086
run "$LINNET" tokenizer encode $tokenizer --file "$tmp/text" words
usage_error 'tokenizer encode ' '--file and "words": one of them, not both'
mkdir "$tmp/dir"
run "$LINNET" tokenizer encode --tokenizer "$tmp/dir" x
failure "$tmp/dir: this directory holds neither tokenizer.json nor tokenizer.model"
cp "$tmp/tokenizer.json" "$tmp/dir"
run "$LINNET" tokenizer encode --tokenizer "$tmp/dir" a
out 65

# data prepare: made once, reused, made anew when something changed
prepare() {
    # shellcheck disable=SC2086
    run "$LINNET" data prepare --data "$tmp/a.jsonl" $tokenizer --out "$tmp/shard.h5" --json "$@"
}
prepare
status 0
out_has '  "reused": false,'
out_has '  "vocab_size": 600,'
grep -q "^$tmp/shard.h5: .* tokens in " "$tmp/stderr" || fail "no summary"
prepare -q
status 0
err ''
out_has '  "reused": true,'
prepare -q --validation-fraction 0.2
out_has '  "reused": false,'
prepare -q --validation-data "$tmp/held.jsonl"
status 0
out_has '  "reused": false,'
prepare --validation-data "$tmp/held.jsonl" --validation-fraction 0.1
usage_error 'data prepare ' '--validation-data holds out text of its own: leave out --validation-fraction and --validation-split'
run "$LINNET" data prepare --data "$tmp/a.jsonl" --out "$tmp/shard.h5"
status 2

# info knows what was made
run "$LINNET" info "$tmp/tokenizer.json"
status 0
out_has '  vocab_size      600'
out_has '  eos             0 <|endoftext|>'
run "$LINNET" info --verify "$tmp/shard.h5"
status 0
grep -q "^$tmp/shard.h5: HDF5 (linnet-shard-1), " "$tmp/stdout" || fail "not known as a shard"
