# linnet eval choices against what PyTorch says of the same model and questions
# (tests/fixtures/make_choices.py), and lines that are no questions.
. tests/cli/lib.inc

fixture=tests/fixtures/choices
choices() { run "$LINNET" eval choices --model "$fixture" -q "$@"; }

# same FILE EXPECTED: the same text, numbers to within 1e-4
same() {
    for file in "$1" "$2"; do
        tr ' ,{}[]' '\n' <"$file" | grep . >"$file.words"
    done
    [ "$(wc -l <"$1.words")" = "$(wc -l <"$2.words")" ] || fail "$1: another number of words than $2"
    paste "$1.words" "$2.words" | awk '
        $1 != $2 && ($1 + 0 == 0 || $1 - $2 > 1e-4 || $2 - $1 > 1e-4) { print; bad = 1 }
        END { exit bad }' || fail "$1: says something else than $2"
}
cp "$fixture/expected.json" "$fixture/expected.jsonl" "$tmp"
choices --data "$fixture/questions.jsonl" --details "$tmp/details.jsonl" --json
status 0
err 'linnet: warning: 5 choices were too long for the context of 96 tokens: the beginning of their questions was cut off'
same "$tmp/stdout" "$tmp/expected.json"
same "$tmp/details.jsonl" "$tmp/expected.jsonl"

choices --data "$fixture/questions.jsonl" --limit 3 --details "$tmp/three.jsonl"
status 0
err ''
out 'acc        0.0000 +- 0.0000
acc_norm   0.3333 +- 0.3333
acc_bytes  0.3333 +- 0.3333
questions  3'
head -n 3 "$tmp/details.jsonl" | cmp -s - "$tmp/three.jsonl" || fail "other details"
choices --data "$fixture/questions.jsonl" --limit 1 --json
out '{"acc": 0.0, "acc_stderr": null, "acc_norm": 0.0, "acc_norm_stderr": null, "acc_bytes": 0.0, "acc_bytes_stderr": null, "questions": 1, "truncated": 0, "tokens": 16}'

# A style that is said holds for every line.
sed -n 5p "$fixture/questions.jsonl" >"$tmp/arc.jsonl"
choices --data "$tmp/arc.jsonl" --details "$tmp/auto"
choices --data "$tmp/arc.jsonl" --details "$tmp/arc" --style arc
cmp -s "$tmp/auto" "$tmp/arc" || fail "ARC's style is not seen"
choices --data "$tmp/arc.jsonl" --details "$tmp/plain" --style plain
cmp -s "$tmp/auto" "$tmp/plain" && fail "the plain style makes no difference"

# What is wrong, and where
bad() { # line, message
    printf '\n%s\n' "$1" >"$tmp/bad.jsonl"
    choices --data "$tmp/bad.jsonl"
    failure "$tmp/bad.jsonl: line 2: $2"
}
bad '{"question": "x", "choices": ["a", "b"]}' 'no answer: "answer", "gold", "label", "answerKey" or "target" is needed'
bad '{"choices": ["a", "b"], "answer": 0}' 'no question: "question", "query", "prompt" or "ctx" is needed'
bad '{"question": "x", "answer": 0}' 'no choices: "choices" or "endings" is needed'
bad '{"question": "x", "choices": ["a", "b"], "answer": 2}' '"answer" is 2, which is none of the 2 choices'
bad '{"question": "x", "choices": ["a", ""], "answer": 0}' 'choice 1 is empty'
bad '[]' 'not a JSON object'
choices --data "$tmp/bad.jsonl" --style nonsense
status 2
: >"$tmp/empty.jsonl"
choices --data "$tmp/empty.jsonl"
failure "$tmp/empty.jsonl: holds no question"
choices --data "$tmp/missing.jsonl"
failure "$tmp/missing.jsonl: No such file or directory"
choices --data "$tmp"
usage_error 'eval choices ' "--data $tmp: a directory; name a .jsonl file"
cp "$tmp/arc.jsonl" "$tmp/kept.jsonl"
choices --data "$tmp/kept.jsonl" --details "$tmp/kept.jsonl"
usage_error 'eval choices ' "--details $tmp/kept.jsonl: is the file with the questions"
printf '{' >>"$tmp/kept.jsonl"
choices --data "$tmp/kept.jsonl" --details "$tmp/never.jsonl"
status 1
[ -e "$tmp/never.jsonl" ] && fail "details of a run that failed"
choices
usage_error 'eval choices ' 'missing --data FILE: .jsonl file, a question a line'
exit 0
