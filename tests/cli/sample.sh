# sample: what is asked and answered, that a stopped run goes on to the same file, and what is refused.
. tests/cli/lib.inc

tiny_base
i=0
while [ $((i += 1)) -le 60 ]; do
    echo "{\"question\": \"What is $i plus $i?\", \"answer\": \" $((i + i))\", \"n\": 1.50, \"é\": \"\\u00e9\"}" >>q.jsonl
done

# ---- rows and their answers ----

sample() { run "$LINNET" sample --model base --threads 1 --max-tokens 16 --at-once 4 "$@"; }
questions() { sample --data q.jsonl --prompt-field question "$@"; }
questions --answers 4 --out s.jsonl
status 0
out ''
grep -q '^s.jsonl: 60 rows, 240 answers, [0-9.]*% of them finished$' stderr || fail "no summary"
[ "$(wc -l <s.jsonl)" = 60 ] || fail "another number of rows"
# each row as it was, to the letter
sed 's/, "samples": \[.*/}/' s.jsonl | cmp -s - q.jsonl || fail "rows have changed"
grep -qvE ', "samples": \[(\{"text": "[^"\\]*(\\.[^"\\]*)*", "finished": (true|false), "tokens": [0-9]+\}(, |\]\}$)){4}' s.jsonl &&
    fail "rows of another form"
[ ! -e s.jsonl.partial ] || fail "the partial file is still there"
head -n 1 s.jsonl | grep -o '"text": "[^"]*"' | sort -u | wc -l | grep -qx 4 || fail "answers are the same"

# The first rows alone are other calls, and the same answers.
questions --answers 4 --out again.jsonl -q
cmp -s s.jsonl again.jsonl || fail "another run, another file"
questions --answers 4 --limit 8 --out eight.jsonl -q
head -n 8 s.jsonl | cmp -s - eight.jsonl || fail "other answers to the first rows"
questions --answers 4 --seed 7 --out seed.jsonl -q
cmp -s s.jsonl seed.jsonl && fail "the seed makes no difference"

# Greedy is one answer, what generate says.
questions --greedy --limit 1 --out greedy.jsonl -q
status 0
questions --temperature 0 --limit 1 --out zero.jsonl -q
cmp -s greedy.jsonl zero.jsonl || fail "--greedy is not --temperature 0"
run "$LINNET" generate --model base --threads 1 --max-tokens 16 --temperature 0 --prompt "What is 1 plus 1?" --json -q
text=$(sed -n 's/.*"text": \("[^"]*"\).*/\1/p' stdout)
grep -qF "\"samples\": [{\"text\": $text, " greedy.jsonl || fail "generate continues otherwise: $text"

# ---- what a prompt is ----

# asks ROW FLAGS...: the greedy answer
asks() {
    printf '%s\n' "$1" >one.jsonl
    shift
    sample --greedy --data one.jsonl --out one.out.jsonl -q "$@"
    status 0
    sed 's/.*"samples"://' one.out.jsonl
}
same() { # TWO EXPRESSIONS
    [ "$1" = "$2" ] || fail "$1 is not $2"
}
base=$(asks '{"prompt": "Mia has 2 apples."}')
same "$base" "$(asks '{"prompt": "Mia has 2 apples.", "completion": "Two"}')"
same "$base" "$(asks '{"prompt": "Mia has 2 apples.", "chosen": "Two", "rejected": "One"}')"
same "$base" "$(asks '{"prompt": "Mia has 2 apples.", "completion": "Two", "label": false}')"
chat='[{"role": "user", "content": "Hi"}'
base=$(asks "{\"messages\": $chat]}" --chat-template chatml)
same "$base" "$(asks "{\"messages\": $chat, {\"role\": \"assistant\", \"content\": \"Yes\"}]}" --chat-template chatml)"
same "$base" "$(asks "{\"prompt\": $chat]}" --chat-template chatml)"
same "$base" "$(asks '{"prompt": "Hi"}' --chat-template chatml)"
same "$base" "$(asks '{"instruction": "Hi", "output": "Yes"}' --chat-template chatml)"
same "$base" "$(asks '{"instruction": "Hi"}' --chat-template chatml)"
same "$base" "$(asks '{"conversations": [{"from": "human", "value": "Hi"}]}' --chat-template chatml)"
same "$base" "$(asks '{"prompt": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"}' --chat-template none)"
same "$base" "$(asks "{\"chosen\": $chat, {\"role\": \"assistant\", \"content\": \"Yes\"}], \"rejected\": $chat, {\"role\": \"assistant\", \"content\": \"No\"}]}" --chat-template chatml)"

# ---- a run that is stopped ----

"$LINNET" sample --model base --threads 1 --max-tokens 16 --at-once 4 --data q.jsonl --prompt-field question --answers 4 \
    --out killed.jsonl -q 2>stderr &
pid=$!
while [ "$(cat killed.jsonl.partial 2>/dev/null | wc -l)" -le 8 ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
shown='sample, killed' got=$?
[ -e killed.jsonl.partial ] || fail "it was over before it could be killed"
questions --answers 4 --out killed.jsonl
usage_error 'sample ' 'killed.jsonl.partial: a run that was stopped left it; --resume goes on from there, or remove it'
questions --answers 4 --out killed.jsonl --resume --seed 2
usage_error 'sample ' 'killed.jsonl.partial is of a run with another model, other rows or flags; remove it to start anew'
printf '{"question": "torn' >>killed.jsonl.partial
questions --answers 4 --out killed.jsonl --resume
status 0
grep -qE '^goes on at row (9|17|25|33|41|49|57) of 60$' stderr || fail "where it goes on"
cmp -s s.jsonl killed.jsonl || fail "another file than of one run"
[ ! -e killed.jsonl.partial ] || fail "the partial file is still there"

"$LINNET" sample --model base --threads 1 --max-tokens 16 --at-once 4 --data q.jsonl --prompt-field question --answers 4 \
    --out stopped.jsonl -q 2>stderr &
pid=$!
while [ "$(cat stopped.jsonl.partial 2>/dev/null | wc -l)" -le 8 ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
kill -TERM $pid
wait $pid
got=$? shown='sample, interrupted'
status 130
grep -qE '^linnet: interrupted; --resume goes on at row (9|17|25|33|41|49|57) of 60$' stderr || fail "where to go on"
questions --answers 4 --out stopped.jsonl --resume -q
status 0
cmp -s s.jsonl stopped.jsonl || fail "another file than of one run"
questions --answers 4 --out anew.jsonl --resume -q
status 0
cmp -s s.jsonl anew.jsonl || fail "nothing to go on from is no reason to fail"

# ---- what is refused ----

bad() { # LINE MESSAGE
    printf '{"prompt": "a"}\n\n%s\n' "$1" >bad.jsonl
    sample --data bad.jsonl --out never.jsonl
    failure "bad.jsonl:3: $2"
    [ ! -e never.jsonl ] && [ ! -e never.jsonl.partial ] || fail "it wrote something"
}
bad '{"text": "a", "question": "b"}' 'no prompt: the fields are "text", "question"; needed is "prompt", "messages" or "instruction"; other names can be given'
bad '{"prompt": ""}' '"prompt" is empty'
bad '{"prompt": 1}' '"prompt" must be a string or a list of messages'
bad '{"prompt": []}' '"prompt" is an empty list'
bad '[]' 'not a JSON object'
bad '{"prompt": "a"' "column 14: not valid JSON: '}' expected near end of file"
bad '{"prompt": "a\u0000"}' 'a text holds a NUL character (\u0000)'
bad '{"messages": [{"role": "assistant", "content": "a"}]}' "nothing is said before the assistant's turn"
bad '{"messages": [{"role": "user", "content": "a"}]}' 'a conversation, and there is no chat template to write it with; --chat-template gives one: a file, chatml or plain'
bad '{"prompt": "a", "samples": []}' 'it has "samples" already; take the rows that they were made of'
long=$(printf '%0400d' 0 | sed 's/0/ab/g')
printf '{"prompt": "%s"}\n' "$long" >long.jsonl
sample --data long.jsonl --out never.jsonl
status 2
grep -q '^linnet: error: long.jsonl:1: the prompt has [0-9]* tokens, which leaves no room for an answer in the context of 128$' stderr || fail "a long prompt"
: >empty.jsonl
sample --data empty.jsonl --out never.jsonl
failure 'the dataset holds no row: empty.jsonl is empty'
echo "a text" >text.txt
sample --data text.txt --out never.jsonl
failure 'text.txt: a text asks nothing; a .jsonl file has rows that do'
sample --data missing.jsonl --out never.jsonl
failure 'missing.jsonl: No such file or directory'
sample --data q.jsonl
usage_error 'sample ' 'missing --out FILE: where the rows go, each with its answers as a last member "samples": .jsonl'
sample --out never.jsonl
usage_error 'sample ' 'missing --data PATH...: rows that ask: .jsonl files, also gzipped, or directories of them'
questions --out q.jsonl
usage_error 'sample ' '--out q.jsonl: is a file that is read'
questions --out never.txt
usage_error 'sample ' '--out never.txt: the name must end in .jsonl'
questions --out never.jsonl --greedy --answers 2
usage_error 'sample ' '--answers 2: without chance all of them would be the same'
questions --out never.jsonl --greedy --temperature 1
usage_error 'sample ' '--greedy and --temperature: one of them, not both'
exit 0
