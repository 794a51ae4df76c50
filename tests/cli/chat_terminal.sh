# chat at a terminal: keys, completion, and the history of lines.
. tests/cli/lib.inc

if ! command -v script >/dev/null || ! script -qec true /dev/null >/dev/null 2>&1; then
    echo "skipped: no script(1) to make a terminal with"
    exit 0
fi
if ! ldd "$LINNET" 2>/dev/null | grep -q libedit; then
    echo "skipped: built without libedit"
    exit 0
fi
cat >"$tmp/tiny.yaml" <<'YAML'
model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 4}
tokenizer: {splitter: bytes}
train: {iters: 5, batch_size: 4, max_seq_length: 64}
YAML
run "$LINNET" data synth --out "$tmp/corpus.txt" --size 60k -q
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.txt" --out "$tmp/run" -q
status 0
printf '{%% for m in messages %%}{{ m.content }} {%% endfor %%}' >"$tmp/template"

export XDG_STATE_HOME="$tmp/state" TERM=xterm
mkfifo "$tmp/keys"
shown='chat at a terminal'
TERM=xterm script -qefc "$LINNET chat --model $tmp/run --chat-template $tmp/template --temperature 0 --max-tokens 2" \
    "$tmp/screen" <"$tmp/keys" >/dev/null 2>&1 &
child=$!
exec 3>"$tmp/keys"
: >"$tmp/stdout"

# seen TEXT N: until it is on the screen so many times
seen() {
    for _ in $(seq 1500); do
        [ "$(grep -oF -e "$1" "$tmp/screen" 2>/dev/null | wc -l)" -ge "$2" ] && return
        sleep 0.02
    done
    cp "$tmp/screen" "$tmp/stderr"
    exec 3>&-
    kill "$child"
    got=none
    fail "not on the screen $2 times: $1"
}
seen '> ' 1
printf '/sta\t' >&3
seen 'ts ' 1 # the rest of /stats
printf 'x\003' >&3
seen '^C' 1
printf 'h\303\251llo\177\177o\r' >&3
seen '(cut off' 1
printf '\033[A\r' >&3 # the line before, again
seen '(cut off' 2
printf '/nonsense\r' >&3 # said, and no end
seen 'no such command' 1
printf '/undo\r' >&3
seen 'messages left: 2' 1
printf '/exit\r' >&3
exec 3>&-
wait $child
got=$?
cp "$tmp/screen" "$tmp/stderr"
status 0
history=$tmp/state/linnet/chat-history
[ "$(grep -c 'h.*lo' "$history")" = 1 ] || fail "the message is not in the history once"
grep -q sta "$history" && fail "the line that was cancelled is in the history"
[ "$(stat -c %a "$history")" = 600 ] || fail "the history is not its owner's alone"

# Where it cannot be kept: one warning.
mkdir -p "$tmp/readonly/linnet/chat-history"
printf '/clear\r/clear\r/exit\r' | XDG_STATE_HOME="$tmp/readonly" script -qefc \
    "$LINNET chat --model $tmp/run --chat-template $tmp/template" "$tmp/screen" >/dev/null 2>&1
[ "$(grep -c 'lines are not kept' "$tmp/screen")" = 1 ] || { cp "$tmp/screen" "$tmp/stderr"; fail "not one warning"; }
