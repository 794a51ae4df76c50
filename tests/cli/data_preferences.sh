# data check and data show with --objective: a dataset as preference training sees it.
. tests/cli/lib.inc

# A token a byte, and three special ones.
printf '{"text": "a"}\n' >"$tmp/text.jsonl"
run "$LINNET" tokenizer train --data "$tmp/text.jsonl" --vocab-size 259 --out "$tmp/t.json" -q \
    --special-token '<|endoftext|>' '<|im_start|>' '<|im_end|>'
status 0
cd "$tmp" || exit 1
case $LINNET in /*) ;; *) LINNET=$OLDPWD/$LINNET ;; esac

check() { run "$LINNET" data check -q --tokenizer t.json --chat-template plain "$@"; }
show() { run "$LINNET" data show --tokenizer t.json --chat-template plain "$@"; }

cat >pairs.jsonl <<'JSONL'
{"prompt": "What is 2+2?", "chosen": "It is 4.", "rejected": "5"}
{"prompt": "What is 2+2?", "chosen": "Four", "rejected": "Twenty-two"}
{"chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Go away"}]}
JSONL
cat >kto.jsonl <<'JSONL'
{"prompt": "Say", "completion": "well", "label": true}
{"prompt": "Do", "completion": "no", "label": false}
JSONL
cat >bad.jsonl <<'JSONL'
{"prompt": "Say", "completion": "well", "label": false}
{"prompt": "Say", "completion": "well"}
{"text": "abc"}
{"prompt": "Say", "chosen": "no", "rejected": "no"}
{"prompt": "Say", "chosen": " ", "rejected": "no"}
{"chosen": [{"role": "system", "content": "s"}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "system", "content": "s"}, {"role": "user", "content": "Ho"}, {"role": "assistant", "content": "b"}]}
{"chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "Ho"}, {"role": "assistant", "content": "b"}]}
{"prompt": "Say", "completion": "well", "label": 1}
JSONL

# ---- data check ----

check --data pairs.jsonl --objective dpo --max-seq-length 48 --validation-fraction 0
status 0
err ''
out '                                      to train on
rows                                            3
  prompt/chosen/rejected                        2
  chosen/rejected                               1
pairs                                           3
  prompts                                       2
  chosen answer, mean tokens                  7.7
  rejected answer, mean tokens                8.0
  chosen is the longer one                  33.3%
tokens, prompts once a pair                   136
  supervised                                34.6%
shortest pair, in tokens                       39
  median                                       46
  95% have at most                             51
  longest                                      51
  more than 48: dropped                         1
chat template: plain

length in tokens
       32 to 63                3  ########################################

rows that are too long, dropped: 1
  pairs.jsonl:2: 51 tokens'

# The front of the prompt may go, the answers may not.
check --data pairs.jsonl --objective dpo --max-seq-length 30 --over-long truncate
status 0
out_has '  more than 30: truncated                       2            1'
check --data pairs.jsonl --objective dpo --max-seq-length 20 --over-long truncate
status 0
out_has '  pairs.jsonl:1: 46 tokens'
out_has '  pairs.jsonl:2: 51 tokens, too many without the prompt: dropped'
check --data pairs.jsonl --objective dpo --max-seq-length 48 --over-long error
status 1
err 'linnet: error: training would refuse this dataset: rows that are too long: 1 (--over-long drop or truncate goes on without)'
check --data pairs.jsonl --objective dpo --loss all
usage_error 'data check ' 'what is compared or judged is an answer: its prompt cannot be learned (--loss all)'

# Held out are prompts: both answers to the sum, or the greeting.
check --data pairs.jsonl --objective dpo --validation-fraction 0.3 --json
status 0
out_has '  "objective": "dpo",'
grep -c '"prompts": 1,' stdout >count
exactly count 2

# Judged answers: of rows with a label, and both of a pair.
check --data pairs.jsonl kto.jsonl --objective kto --validation-fraction 0
status 0
out_has 'answers                                         8'
out_has '  prompts                                       4'
out_has '  wanted                                        4'
out_has '  not wanted                                    4'
out_has '  wanted, mean tokens                         7.2'
out_has '  not wanted, mean tokens                     7.0'
check --data kto.jsonl --objective kto --validation-fraction 0 --max-seq-length 29
out_has '  kto.jsonl:1: 28 tokens, and 2 for a borrowed answer'

# Everything that is no pair, or no answer to judge.
check --data pairs.jsonl bad.jsonl --objective dpo
status 1
err 'linnet: error: training would refuse this dataset: bad rows: 8 (--on-bad-row skip leaves them out)'
sed -n '/^bad rows/,$p' stdout >found
exactly found 'bad rows: 8
  bad.jsonl:1: is one answer with a label, and not "chosen" and "rejected": --loss kto takes it
  bad.jsonl:2: is no preference: "chosen" and "rejected" are wanted, and this is prompt/completion
  bad.jsonl:3: is no preference: "chosen" and "rejected" are wanted, and this is text
  bad.jsonl:4: the chosen and the rejected answer are the same
  bad.jsonl:5: the answer in "chosen" is empty
  bad.jsonl:6: the prompts differ: behind what both sides begin with, "chosen" goes on with a message of the user
  bad.jsonl:7: "chosen" and "rejected" share no message that could be the prompt
  bad.jsonl:8: is no preference: "chosen" and "rejected" are wanted, and this is prompt/completion'
check --data bad.jsonl --objective kto
status 1
out_has '  bad.jsonl:2: has no "label": true or false, whether this answer is wanted'
out_has '  bad.jsonl:3: is no answer that is judged: "prompt", "completion" and "label" are wanted (or "chosen" and "rejected"), and this is text'
out_has '  bad.jsonl:8: "label" must be true or false'

# ---- data show ----

show 1 --data pairs.jsonl --objective dpo
status 0
err ''
out 'pairs.jsonl:1: prompt/chosen/rejected, a pair of 46 tokens, 29 of them shared

<|endoftext|>User: What is 2+2?\n
Assistant

pairs.jsonl:1: the chosen answer, 41 tokens, 10 learned (24.4%), begins with BOS, ends with EOS

:[ It is 4.<|endoftext|>]\n

pairs.jsonl:1: the rejected answer, 34 tokens, 3 learned (8.8%), begins with BOS, ends with EOS

:[ 5<|endoftext|>]\n'
show 1 --data pairs.jsonl --objective dpo --max-seq-length 30 --over-long truncate
out 'pairs.jsonl:1: prompt/chosen/rejected, a pair of 30 tokens, 13 of them shared

<|endoftext|>2?\n
Assistant

pairs.jsonl:1: the chosen answer, 25 tokens, 10 learned (40.0%), begins with BOS, ends with EOS, truncated to 25

:[ It is 4.<|endoftext|>]\n

pairs.jsonl:1: the rejected answer, 18 tokens, 3 learned (16.7%), begins with BOS, ends with EOS, truncated to 18

:[ 5<|endoftext|>]\n'
show 1 --data pairs.jsonl --objective dpo --json
grep -q '"pair_tokens": 46, "shared_tokens": 29, "rejected": {"tokens": 34,' stdout || fail "no pair"
show 2 --data kto.jsonl --objective kto
out 'kto.jsonl:2: prompt/completion/label, not wanted, 25 tokens, 4 learned (16.0%), begins with BOS, ends with EOS

<|endoftext|>User: Do\n
Assistant:[ no<|endoftext|>]\n'
show 1 --data kto.jsonl --objective dpo
failure 'kto.jsonl:1: is one answer with a label, and not "chosen" and "rejected": --loss kto takes it'
show 2 --data pairs.jsonl --objective dpo --max-seq-length 20 --over-long truncate
failure 'pairs.jsonl:2: 51 tokens, and without the prompt still more than 20, so training would drop it; --max-seq-length 51 keeps it'

# ---- a pair that is dropped is not trained on, and its prompt not on both sides ----

for i in 1 2 3 4 5 6 7 8; do
    printf '{"prompt": "Ask %s", "chosen": "a", "rejected": "b"}\n' $i
    printf '{"prompt": "Ask %s", "chosen": "a very long answer, too long for a row of this run", "rejected": "b"}\n' $i
done >twice.jsonl
check --data twice.jsonl --objective dpo --max-seq-length 48 --validation-fraction 0.5 --json
status 0
grep -q '"title": "rows that are too long, dropped: 8"' stdout || grep -q '"count": 8' stdout || fail "nothing is dropped"
if grep -q leaked_prompts stdout; then fail "the prompts of dropped rows count as trained on"; fi
