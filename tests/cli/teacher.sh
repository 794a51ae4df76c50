# teacher and teacher check: dumps, how they go on after a stop, and what is refused.
. tests/cli/lib.inc
cd "$tmp" || exit 1
case $LINNET in /*) ;; *) LINNET=$OLDPWD/$LINNET ;; esac

run "$LINNET" data synth-model --out t.gguf --type f16 --quiet --set model.hidden_size=64 --set model.intermediate_size=96 \
    --set model.num_hidden_layers=2 --set model.num_attention_heads=4 --set model.num_key_value_heads=2 \
    --set model.max_position_embeddings=128 --set model.vocab_size=600
status 0
run "$LINNET" data synth --out texts.jsonl --size 60k --seed 3 -q
status 0

teacher() { run "$LINNET" teacher --model t.gguf --max-seq-length 64 "$@"; }
check() { run "$LINNET" teacher check "$@"; }
# NAME: that value of the JSON on stdout
value() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" stdout | head -n 1; }
is() { [ "$(value "$1")" = "$2" ] || fail "$1 is $(value "$1"), not $2"; }

# ---- a plan, and a dump ----

teacher --data texts.jsonl --out dump --plan -q
status 0
err 'linnet: warning: data: fields that are not used: kind, question, answer; linnet data check names their rows'
[ -e dump ] && fail "a plan makes nothing"
sed 's/[0-9][0-9.]*[kM]\{0,1\}/N/g; s/ [kMGT]\{0,1\}B/ B/g; s/about N[smh].*,/about N,/' stdout >plan
exactly plan 'teacher    t, N parameters
data       N sequences, N tokens, the longest N; N positions are supervised
keeps      the N likeliest of N tokens of each position
disk       about N B, N bytes a position; N B are free
time       about N, at N tokens/s as in a trial'
teacher --data texts.jsonl --out dump
status 0
out ''
grep -q '^dump: [0-9]* sequences, [0-9.]*k positions, [0-9.]* [kM]B, [0-9]* bytes a position; look at it: linnet teacher check dump$' \
    stderr || fail "no summary"
check dump --json --hash -q
status 0
err ''
is kind top-k
is parts 1
is teacher t
is most 64
is vocab_size 600
is in_dump true
whole=$(value hash)
tokens=$(value tokens) positions=$(value positions) sequences=$(value sequences)
[ $((positions + sequences)) -ge "$tokens" ] || fail "something of a text is not supervised"
check dump --model t.gguf --show 2
status 0
out_has 'temperature    1'
out_has "sequences      $sequences of $tokens tokens, $positions of which are supervised"
grep -q '^tokenizer      [0-9]* tokens, in the dump; t.gguf has the same$' stdout || fail "the tokenizers are the same"
[ "$(grep -c '^sequence .* what comes after$' stdout)" = 2 ] || fail "two positions were asked for"

# What its rows are is what the model says elsewhere, too.
printf 'the cat sat on the mat' >one.txt
teacher --data one.txt --out one --temperature 1 --k 3 -q
status 0
check one --json --show 1
status 0
before=$(value before)
likeliest=$(sed -n '/"likeliest"/,$s/^ *\([0-9]*\),$/\1/p' stdout | tr '\n' ' ')
run "$LINNET" eval logits --model t.gguf --text "$before" --top 3 --json
status 0
same=$(sed 's/.*\[\[\([0-9]*\),[^[]*\[\([0-9]*\),[^[]*\[\([0-9]*\),[^[]*$/\1 \2 \3 /' stdout)
[ "$likeliest" = "$same" ] || fail "the dump has $likeliest behind \"$before\", eval logits $same"

# ---- kinds ----

for kind in "--k 5 --samples 7" "--cumulative 0.2" "--dense" "--k 3 --temperature 2"; do
    rm -rf kind
    # shellcheck disable=SC2086
    teacher --data texts.jsonl --out kind --limit 3k -q $kind
    status 0
    check kind --json -q
    status 0
    [ "$(value tokens)" -le 3000 ] && [ "$(value tokens)" -gt 2800 ] || fail "--limit 3k: $(value tokens) tokens"
done
is temperature 2.0
is most 3

# ---- going on ----

"$LINNET" teacher --model t.gguf --max-seq-length 64 --data texts.jsonl --out killed --positions-per-part 700 -q 2>/dev/null &
pid=$!
n=0
until [ -e killed/part-00002.h5 ] || [ $((n += 1)) -gt 600 ]; do sleep 0.1; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
teacher --data texts.jsonl --out killed --resume --positions-per-part 900 -q
status 0
check killed --json --hash -q
status 0
is hash "$whole"
is sequences "$sequences"
[ "$(value parts)" -gt 3 ] || fail "it was to be killed in the middle"
teacher --data texts.jsonl --out killed --resume -q
status 0
python=
for p in python3 /usr/bin/python3; do
    "$p" -c 'import h5py' 2>/dev/null && python=$p
done
if [ "$python" ]; then
    cat >compare.py <<'PY'
import glob, sys, h5py, numpy
def content(folder):
    columns = {}
    for path in sorted(glob.glob(folder + "/*.h5")):
        with h5py.File(path) as f:
            for name in f:
                if name not in ("sequences", "tokenizer_json"):
                    columns.setdefault(name, []).append(f[name][()])
    return {name: numpy.concatenate(parts) for name, parts in columns.items()}
a, b = content(sys.argv[1]), content(sys.argv[2])
assert a.keys() == b.keys() and len(a) >= 4, (a.keys(), b.keys())
for name in a:
    assert a[name].dtype == b[name].dtype and (a[name] == b[name]).all(), name
PY
    run "$python" compare.py dump killed
    status 0
else
    echo "skipped: dumps are not compared with h5py, which is not there"
fi

# A signal completes the part at hand.
"$LINNET" teacher --model t.gguf --max-seq-length 64 --data texts.jsonl texts.jsonl texts.jsonl texts.jsonl --out stopped \
    --positions-per-part 1000 >stdout 2>stderr &
pid=$!
n=0
until [ -e stopped/part-00000.h5 ] || [ $((n += 1)) -gt 600 ]; do sleep 0.1; done
kill -TERM $pid
wait $pid
got=$?
status 130
grep -q '^linnet: interrupted: [0-9]* of [0-9]* sequences are in stopped; go on with --resume$' stderr || fail "what to do?"
check stopped -q
status 0

# A file that cannot be written: the disk is full.
"$LINNET" teacher --model t.gguf --max-seq-length 64 --data texts.jsonl --out full --positions-per-part 500 -q 2>/dev/null &
pid=$!
n=0
until [ -e full/part-00001.h5 ] || [ $((n += 1)) -gt 600 ]; do sleep 0.1; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
(ulimit -f 100; exec "$LINNET" teacher --model t.gguf --max-seq-length 64 --data texts.jsonl --out full --resume -q) >stdout 2>stderr
got=$?
status 1
grep -q '^linnet: error: complete parts stay, and --resume goes on behind them: .*full/part-' stderr || fail "not what a full disk says"
teacher --data texts.jsonl --out full --resume -q
status 0
check full --json --hash -q
status 0
is hash "$whole"

# ---- what goes on with other settings ----

resume() { teacher --data texts.jsonl --out killed --resume -q "$@"; }
refused() { usage_error "teacher " "$1"; }
resume --k 32
grep -v warning stderr >rest
exactly rest "linnet: error: --resume: --k is 32, and killed was made with 64
Try 'linnet teacher --help'."
differs() { grep -qxF "linnet: error: --resume: $1" stderr || fail "expected: $1"; status 2; }
resume --cumulative 0.5
differs '--cumulative is 0.5, and killed was made with 0.0'
resume --temperature 2
differs '--temperature is 2.0, and killed was made with 1.0'
resume --samples 4
differs '--samples is 4, and killed was made with 0'
resume --dense
differs '--dense is true, and killed was made with false'
resume --exact
differs '--exact is true, and killed was made with false'
resume --loss all
differs '--loss is "all", and killed was made with "completions"'
resume --limit 5k
grep -q '^linnet: error: --resume: the data is not what killed was made of: it ends with [0-9]* of the [0-9]* sequences there$' stderr ||
    fail "what differs?"
status 2
sed '3s/ the / that /' texts.jsonl >other.jsonl
teacher --data other.jsonl --out killed --resume -q
status 2
grep -q '^linnet: error: --resume: the data is not what killed was made of: sequence [0-9]* differs$' stderr || fail "which?"
run "$LINNET" data synth-model --out t2.gguf --type f16 --seed 2 --quiet --set model.hidden_size=64 \
    --set model.intermediate_size=96 --set model.num_hidden_layers=2 --set model.num_attention_heads=4 \
    --set model.num_key_value_heads=2 --set model.max_position_embeddings=128 --set model.vocab_size=600
run "$LINNET" teacher --model t2.gguf --max-seq-length 64 --data texts.jsonl --out killed --resume -q
differs 'the model (or an adapter, or its scale) is not what killed was made with'

# ---- prompts and conversations ----

echo '{"prompt": "What is 3 plus 3?", "completion": " Six."}' >qa.jsonl
echo '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}' >chat.jsonl
teacher --data qa.jsonl --out qa -q --chat-template none
status 0
check qa --json -q
is sequences 1
is positions "$(value positions)"
answer=$(value positions) all=$(value tokens)
[ "$answer" -lt $((all - 10)) ] || fail "the prompt is supervised: $answer of $all"
teacher --data qa.jsonl --out qa-all -q --chat-template none --loss all
status 0
check qa-all --json -q
[ "$(value positions)" = $((all - 1)) ] || fail "--loss all: $(value positions) of $all"
teacher --data chat.jsonl --out chat -q --chat-template plain
status 0
check chat --show 1
status 0
grep -q 'Assistant: Hel' stdout || fail "not the answer"
teacher --data chat.jsonl --out nothing -q --chat-template none
status 1

# ---- a command whose name another one begins with ----

for form in "teacher --help" "help teacher" "teacher -h"; do
    # shellcheck disable=SC2086
    run "$LINNET" $form
    status 0
    out_has 'linnet teacher: capture what a model holds likely, as a dump for students'
done
for form in "teacher check --help" "help teacher check"; do
    # shellcheck disable=SC2086
    run "$LINNET" $form
    status 0
    out_has 'linnet teacher check: whether a dump is whole, and what is in it'
done
run "$LINNET" teacher chek
refused 'unexpected argument "chek"'

# ---- what is refused ----

teacher --data texts.jsonl --out dump -q
refused 'dump already holds a dump; go on with --resume, or choose another --out'
teacher --data texts.jsonl --out one.txt -q
refused '--out one.txt is a file; a dump is a folder'
mkdir other
touch other/x
teacher --data texts.jsonl --out other -q
refused 'other holds other files (other/x); choose another --out'
teacher --data texts.jsonl --out none --resume -q
refused '--resume: there is no none; without --resume it is begun'
teacher --data texts.jsonl
refused 'missing --out DIR: the dump to make: a folder of HDF5 files'
run "$LINNET" teacher --data texts.jsonl --out x
refused 'missing --model PATH: the teacher: a run directory, a checkpoint, a Hugging Face directory, or a GGUF file'
teacher --out x
grep -q '^linnet: error: missing --data PATH' stderr || fail "no data"
teacher --data texts.jsonl --out x --dense --k 4
refused '--dense keeps every token: leave out --k'
teacher --data texts.jsonl --out x --dense --cumulative 0.5
refused '--dense keeps every token: leave out --cumulative'
teacher --data texts.jsonl --out x --samples 4 --cumulative 0.5
refused '--samples are drawn beside a fixed number of tokens: leave out --cumulative'
teacher --data one.txt --out x --limit 3 -q
refused '--limit 3: the first sequence alone has 23 tokens'
teacher --data one.txt --out x --max-seq-length 129 -q
refused '--max-seq-length 129 is more than the 128 tokens the model was made for'
teacher --data one.txt --out x --max-seq-length 1 -q
refused '--max-seq-length 1: a sequence needs two tokens, one to predict the other'
[ -e x ] && fail "what is refused leaves something behind"

# ---- a dump that is not whole, and other tokens ----

check
usage_error 'teacher check ' 'missing the dump to check'
check nowhere
status 1
cp -r one damaged
size=$(wc -c <damaged/part-00000.h5)
dd if=/dev/zero of=damaged/part-00000.h5 bs=1 seek=$((size / 2)) count=2000 conv=notrunc 2>/dev/null
check damaged -q
status 1
grep -q '^linnet: error: .*damaged/part-00000.h5' stderr || fail "what is damaged?"
run "$LINNET" tokenizer train --data texts.jsonl --vocab-size 300 --out own.json -q
status 0
check one --tokenizer own.json -q
status 1
grep -q "^linnet: error: [0-9]* of the dump's [0-9]* tokens are others in own.json; the first is [0-9]*: \".*\" in the dump, \".*\" there$" \
    stderr || fail "which tokens differ?"
check one --json --tokenizer own.json -q
status 1
grep -q '"agrees": false' stdout || fail "--json does not say so"
check one --tokenizer own.json --model t.gguf
usage_error 'teacher check ' '--tokenizer and --model: one of them'
