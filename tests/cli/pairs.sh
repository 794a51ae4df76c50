# data pairs and eval answers: every check, which answers become pairs, and what is refused.
. tests/cli/lib.inc

case $LINNET in /*) ;; *) LINNET=$PWD/$LINNET ;; esac
root=$PWD
cd "$tmp" || exit 1
cat >s.jsonl <<'EOS'
{"question": "2+3?", "answer": "5", "samples": [{"text": "It is 5.\n#### 5", "finished": true}, {"text": "6", "finished": true, "tokens": 2}, {"text": " 5.0"}, {"text": "6", "finished": true}, {"text": "5", "finished": false}, {"text": "7 and", "finished": false}, {"text": "", "finished": true}]}

{"question": "a thousand?", "answer": 1000, "samples": [{"text": "1,000"}, {"text": "$1000.00"}]}
{"question": "who?", "answer": "Mia", "samples": [{"text": "Tom"}, {"text": "Ben"}]}
{"question": "who else?", "answer": "tom  CAT", "samples": [{"text": " Tom cat\n"}, {"text": "Ben"}]}
EOS
pairs() { run "$LINNET" data pairs --prompt-field question --out p.jsonl "$@"; }

# ---- pairs ----

pairs --data s.jsonl
status 0
out ''
err_has 'prompts: 4; all answers right in 1, all wrong in 1: no pair from these'
err_has 'answers: 13, 46.2% right; 2 unfinished, 1 empty, 1 repeated'
err_has 'p.jsonl: 3 pairs from 2 prompts'
sort p.jsonl >sorted
exactly sorted '{"prompt": "2+3?", "chosen": " 5.0", "rejected": "6"}
{"prompt": "2+3?", "chosen": "It is 5.\n#### 5", "rejected": "6"}
{"prompt": "who else?", "chosen": " Tom cat\n", "rejected": "Ben"}'
cp p.jsonl first.jsonl
pairs --data s.jsonl -q
cmp -s p.jsonl first.jsonl || fail "another run, other pairs"
pairs --data s.jsonl --keep-unfinished -q
grep -c . p.jsonl | grep -qx 5 || fail "unfinished wrong answers are not kept"
grep -q '"rejected": "7 and"' p.jsonl || fail "the unfinished one"
grep -q '"rejected": "5"' p.jsonl && fail "a right answer is rejected because it is unfinished"
pairs --data s.jsonl --pairs-per-prompt 1 -q
grep -c . p.jsonl | grep -qx 2 || fail "--pairs-per-prompt"
pairs --data s.jsonl --json -q
out '{"prompts": 4, "samples": 13, "right": 6, "share_right": 0.46153846153846156, "all_right": 1, "all_wrong": 1, "unfinished": 2, "late": 0, "repeated": 1, "empty": 1, "prompts_used": 2, "pairs": 3}'
gzip -k s.jsonl
pairs --data s.jsonl.gz -q
cmp -s p.jsonl first.jsonl || fail "gzipped, other pairs"

# other seeds, other pairs of many
awk 'BEGIN {printf "{\"prompt\": \"q\", \"samples\": ["; for (i = 0; i < 40; i++) printf "%s{\"text\": \"%d\", \"right\": %s}", i ? ", " : "", i, i % 2 ? "true" : "false"; print "]}"}' >many.jsonl
pairs --data many.jsonl --check graded --prompt-field prompt -q
cp p.jsonl one
pairs --data many.jsonl --check graded --prompt-field prompt --seed 5 -q
cmp -s p.jsonl one && fail "the seed makes no difference"
pairs --data many.jsonl --check graded --prompt-field prompt --pairs-per-prompt 400 -q
sort -u p.jsonl | grep -c . | grep -qx 400 || fail "not all pairs, each once"

# ---- without pairs: neighbours answer different prompts ----

pairs --data s.jsonl --unpaired
status 0
err_has 'p.jsonl: 9 rows from 4 prompts'
exactly p.jsonl '{"prompt": "2+3?", "completion": "It is 5.\n#### 5", "label": true}
{"prompt": "a thousand?", "completion": "1,000", "label": true}
{"prompt": "who?", "completion": "Tom", "label": false}
{"prompt": "who else?", "completion": " Tom cat\n", "label": true}
{"prompt": "2+3?", "completion": "6", "label": false}
{"prompt": "a thousand?", "completion": "$1000.00", "label": true}
{"prompt": "who?", "completion": "Ben", "label": false}
{"prompt": "who else?", "completion": "Ben", "label": false}
{"prompt": "2+3?", "completion": " 5.0", "label": true}'
pairs --data s.jsonl --unpaired --pairs-per-prompt 3
usage_error 'data pairs ' '--pairs-per-prompt: with --unpaired there are no pairs, every answer is written'

# ---- conversations, with tools ----

cat >chat.jsonl <<'EOS'
{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}, {"role": "user", "content": "And?"}], "system": "Be brief", "tools": [{"name": "f"}], "samples": [{"text": "a", "right": true}, {"text": "b", "right": false}]}
{"instruction": "Add", "input": "1 2", "output": "3", "samples": [{"text": "3", "right": true}, {"text": "4", "right": false}]}
EOS
run "$LINNET" data pairs --data chat.jsonl --out c.jsonl --check graded -q
status 0
exactly c.jsonl '{"prompt": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}, {"role": "user", "content": "And?"}], "chosen": "a", "rejected": "b", "tools": [{"type": "function", "function": {"name": "f"}}]}
{"prompt": [{"role": "user", "content": "Add\n1 2"}], "chosen": "3", "rejected": "4"}'

# ---- checks ----

pairs --data s.jsonl --check exact --final '([0-9]+)' -q --json
grep -q '"right": 2,' stdout || fail "--final"
pairs --data s.jsonl --check regex --pattern '^[56]$' -q
status 0
grep -c . p.jsonl | grep -qx 2 || fail "--pattern"
# The command sees the row and one sample; its errors are seen, its output is not.
cat >judge <<'EOS'
read -r line
printf '%s\n' "$line" >>seen
echo chatter
case $line in
*'"question": "2+3?"'*'"sample": "'*5*'"}') exit 0 ;;
*) exit 1 ;;
esac
EOS
pairs --data s.jsonl --check command --command 'sh judge' --jobs 1
status 0
out ''
exactly seen '{"question": "2+3?", "answer": "5", "sample": "It is 5.\n#### 5"}
{"question": "2+3?", "answer": "5", "sample": "6"}
{"question": "2+3?", "answer": "5", "sample": " 5.0"}
{"question": "2+3?", "answer": "5", "sample": "6"}
{"question": "2+3?", "answer": "5", "sample": "5"}
{"question": "2+3?", "answer": "5", "sample": "7 and"}
{"question": "2+3?", "answer": "5", "sample": ""}
{"question": "a thousand?", "answer": 1000, "sample": "1,000"}
{"question": "a thousand?", "answer": 1000, "sample": "$1000.00"}
{"question": "who?", "answer": "Mia", "sample": "Tom"}
{"question": "who?", "answer": "Mia", "sample": "Ben"}
{"question": "who else?", "answer": "tom  CAT", "sample": " Tom cat\n"}
{"question": "who else?", "answer": "tom  CAT", "sample": "Ben"}'
exactly p.jsonl "$(grep 2+3 first.jsonl)"
pairs --data s.jsonl --check command --command 'sh judge' --jobs 5 -q
exactly p.jsonl "$(grep 2+3 first.jsonl)"
# What takes too long is killed, with all that it began.
pairs --data s.jsonl --check command --command 'case $(cat) in *sample*5*) exit 0;; esac; sleep 57 & sleep 57' --timeout 2 --jobs 13 -q
status 0
err 'linnet: warning: 10 answers took --command more than 2 seconds, which counts as wrong'
exactly p.jsonl "$(grep 2+3 first.jsonl)"
# shellcheck disable=SC2009
ps -e -o args | grep -q '^sleep 57' && fail "children are left"
pairs --data s.jsonl --check command --command 'case $(cat) in *Ben*) exit 3;; esac; exit 1' --jobs 4 -q
failure 's.jsonl:4: sample 2: --command ended with the status 3; 0 is right and 1 is wrong'
pairs --data s.jsonl --check command --command 'case $(cat) in *Ben*) kill -9 $$;; esac; exit 1' -q
failure 's.jsonl:4: sample 2: --command was ended by signal 9 (Killed)'
pairs --data s.jsonl --check command --command './no-such-program 2>/dev/null' -q
failure 's.jsonl:1: sample 1: --command ended with the status 127; 0 is right and 1 is wrong (127: there is no such program)'
"$LINNET" data pairs --data s.jsonl --prompt-field question --out never.jsonl --check command --command 'touch began; sleep 58' -q 2>stderr &
pid=$!
while [ ! -e began ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
kill -TERM $pid
wait $pid
got=$? shown='data pairs, interrupted'
status 130
err 'linnet: interrupted'
ps -e -o args | grep -q '^sleep 58' && fail "children are left"
[ ! -e never.jsonl ] || fail "an interrupted run wrote"

# ---- what is refused ----

bad() { # LINE MESSAGE FLAGS...
    line=$1 message=$2
    shift 2
    rm -f p.jsonl
    printf '\n%s\n' "$line" >bad.jsonl
    pairs --data bad.jsonl -q "$@"
    failure "bad.jsonl:2: $message"
    [ ! -e p.jsonl ] || fail "it wrote something"
}
bad '{"question": "a"}' 'no "samples"; linnet sample makes them'
bad '{"question": "a", "samples": {}}' '"samples" must be a list'
bad '{"question": "a", "samples": [1]}' 'sample 1: not a JSON object'
bad '{"question": "a", "samples": [{"text": "a"}, {"text": 1}]}' 'sample 2: "text" must be a string'
bad '{"question": "a", "samples": [{"text": "a", "finished": 1}]}' 'sample 1: "finished" must be true or false'
bad '{"question": "a", "samples": [{"text": "a"}]}' 'sample 1: no "answer" to compare with; --answer-field names the member that holds the right answer'
bad '{"question": "a", "samples": [{"text": "a\u0000"}]}' 'a text holds a NUL character (\u0000)'
bad '{"samples": []}' 'no prompt: the fields are "samples"; needed is "question", "messages" or "instruction"; other names can be given'
bad '{"question": "a", "samples": [{"text": "a"}]}' 'sample 1: "right" must be true or false' --check graded
bad '{"question": "a", "samples": [{"text": "a"}]}' 'sample 1: no "pattern", and no --pattern for rows without one' --check regex
bad '{"question": "a", "pattern": "[", "samples": [{"text": "a"}]}' 'sample 1: "pattern": [: no regular expression: Invalid regular expression' --check regex
echo '{"question": "a", "answer": "a", "samples": [{"text": "a"}]}' >right.jsonl
pairs --data right.jsonl -q
failure 'nothing to write: of 1 prompts all answers are right in 1 and all wrong in 0; 0 of 1 answers are unfinished'
pairs --data s.jsonl --final 'answer'
usage_error 'data pairs ' '--final answer: no group in it: the answer is what the first (...) matches'
pairs --data s.jsonl --final '(answer'
usage_error 'data pairs ' '--final (answer: no regular expression: Unmatched ( or \('
pairs --data s.jsonl --check regex --final '(a)'
usage_error 'data pairs ' '--final goes with --check exact, not with --check regex'
pairs --data s.jsonl --check command
usage_error 'data pairs ' 'missing --command CMD: command: for /bin/sh; reads the row as a line of JSON with the answer as "sample", and ends with status 0 where it is right, 1 where it is wrong'
pairs
usage_error 'data pairs ' 'missing --data PATH...: rows with answers, as linnet sample writes them: .jsonl files, also gzipped, or directories of them'
run "$LINNET" data pairs --data s.jsonl --prompt-field question --out s.jsonl
usage_error 'data pairs ' '--out s.jsonl: is a file that is read'
run "$LINNET" data pairs --data s.jsonl --prompt-field question --out p.txt
usage_error 'data pairs ' '--out p.txt: the name must end in .jsonl'

# ---- eval answers, and from a model to pairs ----

cat >tiny.yaml <<'YAML'
model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128}
tokenizer: {vocab_size: 400, special_tokens: ["<|endoftext|>"]}
optim: {warmup_iters: 2}
train: {iters: 10, batch_size: 4, max_seq_length: 64}
YAML
run "$LINNET" data synth --out corpus.jsonl --size 100k --seed 3 -q
run "$LINNET" pretrain -c tiny.yaml --data corpus.jsonl --out base -q
status 0
i=0
while [ $((i += 1)) -le 20 ]; do echo "{\"prompt\": \"What is $i and $i?\", \"answer\": \"none\"}" >>q.jsonl; done
eval_answers() { run "$LINNET" eval answers --model base --threads 1 --data q.jsonl --max-tokens 8 -q "$@"; }
run "$LINNET" sample --model base --threads 1 --data q.jsonl --max-tokens 8 --greedy --out greedy.jsonl -q
status 0
# the first greedy answer is the reference of the first five rows
first=$(sed -n '1s/.*"text": \("[^"]*"\), "fin.*/\1/p' greedy.jsonl)
sed "1,5s/\"none\"/$first/" q.jsonl >r.jsonl
mv r.jsonl q.jsonl
eval_answers --out e.jsonl
status 0
err ''
sed 's/.*"samples"//; s/, "right": [a-z]*//' e.jsonl >of-eval
sed 's/.*"samples"//' greedy.jsonl | cmp -s - of-eval || fail "other answers than linnet sample --greedy"
n=$(grep -c '"right": true' e.jsonl)
[ "$n" -ge 1 ] || fail "the first answer is its own reference"
eval_answers --json
grep -q "\"right\": $n, \"answers\": 20, \"finished\": [0-9]*, \"late\": 0, \"tokens\": [0-9]*}\$" stdout || fail "counts"
# Wilson's interval of 1 of 1: 1 / (1 + z^2) to 1
eval_answers --limit 1
out "right     1.0000 (95%: 0.2065 to 1.0000)
answers   1, 1 of them right
finished  $(head -n 1 greedy.jsonl | grep -c '"finished": true')"
eval_answers --limit 5 --check regex --pattern .
grep -q '^right     1.0000 (95%: 0.5655 to 1.0000)$' stdout || fail "five of five"
eval_answers --limit 5 --check command --command 'exit 1'
grep -q '^right     0.0000 (95%: 0.0000 to 0.4345)$' stdout || fail "none of five"
eval_answers --check graded
usage_error 'eval answers ' '--check graded: answers that are just written have no grades'
eval_answers --answer-field wrong
failure 'q.jsonl:1: sample 1: no "wrong" to compare with; --answer-field names the member that holds the right answer'
eval_answers --out q.jsonl
usage_error 'eval answers ' '--out q.jsonl: is a file that is read'

run "$LINNET" sample --model base --threads 1 --data q.jsonl --max-tokens 8 --answers 6 --out s2.jsonl -q
status 0
run "$LINNET" data pairs --data s2.jsonl --out labels.jsonl --check regex --pattern '[aeiou]' --unpaired --keep-unfinished -q --json
status 0
grep -q '"prompts": 20, "samples": 120' stdout || fail "samples"
# what is written is a dataset
sed -n 2p c.jsonl >chat.jsonl
for file in first chat; do
    run "$LINNET" data check --data $file.jsonl --tokenizer base --chat-template plain
    status 0
done
grep -q 'prompt/chosen/rejected of messages' stdout || fail "another schema"
cd "$root" || exit 1
exit 0
