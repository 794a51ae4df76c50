# What is wrong with a command line, word for word.
. tests/cli/lib.inc

run "$LINNET" infoo
usage_error '' 'unknown command "infoo"; did you mean "info"?'
run "$LINNET" tokenizer
usage_error '' '"tokenizer" needs a second word: train, encode, decode'
run "$LINNET" tokenizer trian
usage_error '' 'unknown command "tokenizer trian"; did you mean "tokenizer train"?'
run "$LINNET" tokenizr train
usage_error '' 'unknown command "tokenizr train"; did you mean "tokenizer train"?'
run "$LINNET" tokenizer zzzzzzzz
usage_error '' 'unknown command "tokenizer zzzzzzzz"; after "tokenizer" comes one of: train, encode, decode'
run "$LINNET" zzzzzzzz
usage_error '' 'unknown command "zzzzzzzz"; linnet help lists all'
run "$LINNET" --no-such
usage_error '' 'unknown command "--no-such"; linnet help lists all'
run "$LINNET" ''
usage_error '' 'unknown command ""; linnet help lists all'
run "$LINNET" help infoo
usage_error 'help ' 'unknown command "infoo"; did you mean "info"?'

run "$LINNET" info
usage_error 'info ' 'missing FILE: what to look into'
run "$LINNET" info --jsn x
usage_error 'info ' 'unknown flag --jsn; did you mean --json?'
run "$LINNET" info --json=maybe x
usage_error 'info ' '--json: expected true or false, found "maybe"'
run "$LINNET" info --threads 0 x
usage_error 'info ' '--threads: expected a whole number from 1 to 1024, found "0"'
run "$LINNET" info --threads
usage_error 'info ' '--threads needs a value: --threads N (threads to compute with (default: one for each physical core))'
run "$LINNET" data synth
usage_error 'data synth ' 'missing --out FILE: where to write: .jsonl for a document a line, .txt for plain text'
run "$LINNET" data synth --out "$tmp/x.jsonl" extra
usage_error 'data synth ' 'unexpected argument "extra"'
run "$LINNET" data synth --out "$tmp/x.jsonl" --size big
usage_error 'data synth ' '--size: expected a whole number of at least 1, found "big"'
run "$LINNET" data synth --out "$tmp/x.jsonl" --split test
usage_error 'data synth ' '--split: expected one of train, held-out, found "test"'
[ ! -e "$tmp/x.jsonl" ] || fail "a file was written in spite of a usage error"

# A message stays one line without terminal controls, whatever it quotes.
esc=$(printf '\033[31m')
run "$LINNET" info "$esc
x"
failure '\x1b[31m\nx: No such file or directory'

# Configuration files and --set.
printf 'data:\n  paths: [a.txt]\n  text_filed: body\n' >"$tmp/typo.yaml"
run "$LINNET" data prepare -c "$tmp/typo.yaml"
usage_error 'data prepare ' "$tmp/typo.yaml:3: unknown key \"data.text_filed\"; did you mean \"data.text_field\"?"
printf 'data:\n  validation_fraction: 2\n' >"$tmp/range.yaml"
run "$LINNET" data prepare -c "$tmp/range.yaml"
usage_error 'data prepare ' "$tmp/range.yaml:2: data.validation_fraction: expected a number from 0 to 0.5, found \"2\""
printf 'data: 3\n' >"$tmp/section.yaml"
run "$LINNET" data prepare -c "$tmp/section.yaml"
usage_error 'data prepare ' "$tmp/section.yaml:1: \"data\" is a section; write its keys under it, indented"
run "$LINNET" data prepare -c ''
usage_error 'data prepare ' '-c: expected the name of a file or directory, found ""'
printf 'data:\n  paths: [a\n' >"$tmp/broken.yaml"
run "$LINNET" data prepare -c "$tmp/broken.yaml"
failure "$tmp/broken.yaml:3:1: not valid YAML: did not find expected ',' or ']'"
run "$LINNET" data prepare -c "$tmp/none.yaml"
failure "$tmp/none.yaml: No such file or directory"
run "$LINNET" data prepare --set data.pths=x
usage_error 'data prepare ' '--set: unknown key "data.pths"; did you mean "data.paths"?'
run "$LINNET" data prepare --set data.paths
usage_error 'data prepare ' '--set: expected section.key=value, found "data.paths"'

# A result that cannot be written is a failure.
if [ -w /dev/full ]; then
    "$LINNET" help >/dev/full 2>"$tmp/stderr"
    got=$? shown='linnet help >/dev/full'
    : >"$tmp/stdout"
    failure 'standard output: cannot write: No space left on device'
fi

# A reader that leaves early is no error and causes no message.
for _ in 1 2 3; do
    "$LINNET" help --configuration 2>>"$tmp/early" | head -c 1 >/dev/null
done
: >"$tmp/stdout"
cp "$tmp/early" "$tmp/stderr"
shown='linnet help --configuration | head -c 1' got=0
err ''

# A line of many is named once, by its number in the file.
printf '{"text": "fine"}\n{"text": "cut\n' >"$tmp/cut.jsonl"
run "$LINNET" tokenizer train --data "$tmp/cut.jsonl" --out "$tmp/t.json" -q
failure "$tmp/cut.jsonl:2: column 13: not valid JSON: premature end of input near '\"cut'"

# A parent may close the standard streams: no message ends up in a file that took their place.
run "$LINNET" data synth --out "$tmp/a.txt" --size 200k -q
run "$LINNET" tokenizer train --data "$tmp/a.txt" --vocab-size 300 --out "$tmp/t.json" -q
run "$LINNET" data prepare --data "$tmp/a.txt" --tokenizer "$tmp/t.json" --out "$tmp/open.h5"
status 0
"$LINNET" data prepare --data "$tmp/a.txt" --tokenizer "$tmp/t.json" --out "$tmp/closed.h5" 2>&-
got=$? shown='data prepare 2>&-'
status 0
cmp -s "$tmp/closed.h5" "$tmp/open.h5" || fail "messages in the file"
"$LINNET" --version >&- 2>"$tmp/stderr"
got=$? shown='linnet --version >&-'
failure 'standard output: cannot write: Bad file descriptor'
