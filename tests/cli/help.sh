# Help and version: exact screens, on stdout, with status 0.
. tests/cli/lib.inc

run "$LINNET" --version
status 0
err ''
grep -qx 'linnet [0-9]*\.[0-9]*\.[0-9]*' "$tmp/stdout" || fail "not a version"

run "$LINNET"
status 0
err ''
out_has 'Usage: linnet COMMAND [FLAGS]'
out_has '  info                 show what a model, tokenizer, shard or checkpoint file holds'
cp "$tmp/stdout" "$tmp/overview"
for form in help --help -h; do
    run "$LINNET" "$form"
    status 0
    cmp -s "$tmp/stdout" "$tmp/overview" || fail "$form differs from plain linnet"
done

run "$LINNET" info --help
status 0
err ''
out 'linnet info: show what a model, tokenizer, shard or checkpoint file holds

Usage: linnet info FILE... [FLAGS]

Flags:
  --verify     recompute the checksums of HDF5 files; a damaged one is an error
  --json       print a list with everything about each file as JSON

For every command:
  --threads N  threads to compute with (default: one for each physical core)
  -q, --quiet  no progress and no notes, only warnings and errors
  -h, --help   this screen

Knows GGUF, safetensors and HDF5 files, tokenizer.json, and the configurations
of models and runs. Of a run directory it shows the model, the data, how far it
came and its best loss (--json and --verify: all its files too), of any other
directory all of these files without the tables of tensors. Shapes are written
slowest-varying dimension first, in every format. The shards of a model and the
parts of a GGUF file are shown as the one model they are, and so is a teacher
dump; with --verify all its distributions are read, checked and summed up. A
file of reference log-probabilities is checked in any case.

Examples:
  linnet info model.gguf
  linnet info runs/tiny
  linnet info --json runs/tiny | less'
cp "$tmp/stdout" "$tmp/info"
for form in "help info" "info -h" "info --no-such-flag --help" "info x -h"; do
    # shellcheck disable=SC2086
    run "$LINNET" $form
    status 0
    cmp -s "$tmp/stdout" "$tmp/info" || fail "$form differs from linnet info --help"
done

run "$LINNET" tokenizer --help
status 0
err ''
out 'Usage: linnet tokenizer COMMAND [FLAGS]

  tokenizer train      learn a byte-level BPE vocabulary from text
  tokenizer encode     turn text into token ids
  tokenizer decode     turn token ids back into text

linnet tokenizer COMMAND --help explains one command.'
cp "$tmp/stdout" "$tmp/family"
run "$LINNET" help tokenizer
status 0
cmp -s "$tmp/stdout" "$tmp/family" || fail "linnet help tokenizer differs"

# Every command has a screen, and no line of it is wider than 80 columns, examples to be typed in one
# piece excepted.
sed -n 's/^  \([a-z]*\( [a-z]*\)\{0,1\}\)  .*/\1/p' "$tmp/overview" >"$tmp/names"
[ "$(wc -l <"$tmp/names")" -ge 7 ] || fail "too few commands"
while read -r name; do
    # shellcheck disable=SC2086
    run "$LINNET" $name --help
    status 0
    err ''
    [ "$name" = help ] || head -1 "$tmp/stdout" | grep -q "^linnet $name: " || fail "heading of $name"
    awk '{ gsub(/[\200-\277]/, ""); if (length($0) > (/^  linnet / ? 100 : 80)) { print; bad = 1 } } END { exit bad }' \
        "$tmp/stdout" || fail "lines wider than 80 columns"
done <"$tmp/names"

run "$LINNET" help --configuration
status 0
err ''
out_has '# Configuration'
out_has '| key | value | default | flag | meaning |'
for section in data tokenizer; do
    grep -q "^## \`$section\`: " "$tmp/stdout" || fail "no section $section"
done
[ "$(grep -c '^## `tokenizer`' "$tmp/stdout")" = 1 ] || fail "a section is listed twice"
