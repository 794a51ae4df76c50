# data check and data show: a dataset of every schema, and every way to be no dataset.
. tests/cli/lib.inc

# A token a byte, and three special ones.
printf '{"text": "a"}\n' >"$tmp/text.jsonl"
run "$LINNET" tokenizer train --data "$tmp/text.jsonl" --vocab-size 259 --out "$tmp/t.json" -q \
    --special-token '<|endoftext|>' '<|im_start|>' '<|im_end|>'
status 0
cd "$tmp" || exit 1
case $LINNET in /*) ;; *) LINNET=$OLDPWD/$LINNET ;; esac

check() { run "$LINNET" data check -q --tokenizer t.json "$@"; }
show() { run "$LINNET" data show --tokenizer t.json "$@"; }

cat >mixed.jsonl <<'JSONL'
{"text": "Once upon a time."}
{"prompt": "2+2=", "completion": "4", "id": 7}
{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
{"conversations": [{"from": "human", "value": "Hi "}, {"from": "gpt", "value": "Hey "}]}
{"instruction": "Add", "input": "1 and 1", "output": "2"}
{"prompt": "Say", "chosen": "yes", "rejected": "no"}
{"prompt": "Say", "completion": "well", "label": false}

{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "id": 1}
{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]}
JSONL

# ---- data check ----

check --data mixed.jsonl --chat-template plain --max-seq-length 32 --validation-fraction 0
status 0
err ''
out '                                      to train on
rows                                            9
  text                                          1
  prompt/completion                             1
  messages                                      3
  ShareGPT                                      1
  Alpaca                                        1
  prompt/chosen/rejected                        1
  prompt/completion/label                       1
  not wanted (label false)                      1
tokens                                        219
  supervised                                23.3%
shortest row, in tokens                        18
  median                                       28
  95% have at most                             33
  longest                                      33
  more than 32: dropped                         1
chat template: plain

length in tokens
       16 to 31                7  ########################################
       32 to 63                1  ######

rows that are too long, dropped: 1
  mixed.jsonl:5: 33 tokens

duplicate rows: 1
  mixed.jsonl:9: the same as mixed.jsonl:3

rows whose prompt occurs before, with another answer: 1
  mixed.jsonl:4: the prompt of mixed.jsonl:3

odd rows: 1
  mixed.jsonl:10: two messages of the user in a row

unused fields: 1
  mixed.jsonl:2: "id", in 2 rows'

# Too long may be an error, or end earlier; the other thread count gives the same.
check --data mixed.jsonl --chat-template plain --max-seq-length 32 --over-long error --threads 3
status 1
err 'linnet: error: training would refuse this dataset: rows that are too long: 1 (--over-long drop or truncate goes on without)'
check --data mixed.jsonl --chat-template plain --max-seq-length 27 --over-long truncate
status 0
out_has '  mixed.jsonl:5: 33 tokens, nothing learned is left when it is cut: dropped'
out_has '  mixed.jsonl:3: 28 tokens'

# Held out: rows of other files, rows like those to train on, and prompts alone.
cat >held.jsonl <<'JSONL'
{"prompt": "Hi", "completion": "Hello"}
{"prompt": "hi!", "completion": "Good day"}
{"prompt": "New", "completion": "one"}
JSONL
check --data mixed.jsonl --validation-data held.jsonl --chat-template plain
status 0
out_has 'rows                                            9            3'
out_has 'held-out rows that are also trained on: 1'
out_has '  held.jsonl:1: the same as mixed.jsonl:3'
out_has 'held-out rows whose prompt is trained on with another answer: 1'
out_has '  held.jsonl:2: the prompt of mixed.jsonl:3'
check --data mixed.jsonl --validation-data held.jsonl --validation-fraction 0.1
usage_error 'data check ' '--validation-data holds out examples of its own: leave out --validation-fraction'
# a folder as mlx-lm has them; its test.jsonl is not read
mkdir mlx
cp mixed.jsonl mlx/train.jsonl
cp held.jsonl mlx/valid.jsonl
echo broken >mlx/test.jsonl
check --data mlx --chat-template plain
status 0
out_has '  mlx/valid.jsonl:1: the same as mlx/train.jsonl:3'
check --data mixed.jsonl --chat-template plain --validation-fraction 0.5
status 0
grep -q '^rows  *[0-9][0-9]*  *[1-9]' stdout || fail "nothing is held out"

# For machines.
check --data mixed.jsonl --chat-template plain --validation-fraction 0 --json
status 0
out_has '    "learned_tokens": 51,'
out_has '      "finding": "duplicates",'
out_has '          "reason": "the same as mixed.jsonl:3",'
out_has '  "refused": false,'
check --data text.jsonl --validation-fraction 0
out '                                      to train on
rows                                            1
  text                                          1
tokens                                          2
  supervised                                50.0%
shortest row, in tokens                         2
  median                                        2
  95% have at most                              2
  longest                                       2
  more than 2048: dropped                       0
chat template: none

length in tokens
        2 to 3                 1  ########################################

nothing is wrong with it'

# Turns that do not end.
printf '%s' '{% for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}' >endless.jinja
sed -n 3p mixed.jsonl >one.jsonl
check --data one.jsonl --chat-template endless.jinja --validation-fraction 0
status 0
out_has 'rows with learned turns that do not end with a token that ends generation (the model may never stop): 1'
out_has '  one.jsonl:1: 1 turns'
check --data one.jsonl --chat-template chatml --validation-fraction 0
status 0
out_has 'nothing is wrong with it'

# Everything that is no example.
cat >bad.jsonl <<'JSONL'
{"text": "good"}
{"text": "cut
{"messages": [{"role": "usr", "content": "Hi"}, {"role": "assistant", "content": "x"}]}
{"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "x"}]}
{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}]}
{"messages": []}
{"prompt": "2", "completion": ""}
{"prompts": "2"}
[1]
{"text": 7}
{"messages": [{"role": "user", "content": "Hi"}]}
{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x", "weight": 0}]}
{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x"}], "tools": [{"type": "function", "function": {"name": "f"}}]}
JSONL
check --data bad.jsonl --chat-template plain --list 0
status 1
err 'linnet: error: training would refuse this dataset: bad rows: 12 (--on-bad-row skip leaves them out)'
sed -n '/^bad rows/,$p' stdout >found
exactly found "bad rows: 12
  bad.jsonl:2: column 13: not valid JSON: premature end of input near '\"cut'
  bad.jsonl:3: \"messages\", message 1: unknown role \"usr\"; did you mean \"user\"?
  bad.jsonl:4: \"messages\", message 1: the message of the user is empty
  bad.jsonl:5: \"messages\", message 2: the message of the assistant is empty
  bad.jsonl:6: \"messages\" is an empty list
  bad.jsonl:7: \"completion\" is empty
  bad.jsonl:8: no known schema: the fields are \"prompts\"; needed are \"prompt\" and \"completion\", \"messages\" (or \
\"conversations\"), \"chosen\" and \"rejected\", \"instruction\" and \"output\", or \"text\"; other names can be given
  bad.jsonl:9: not a JSON object
  bad.jsonl:10: \"text\" must be a string
  bad.jsonl:11: \"messages\" has no message of the assistant: nothing in it could be learned
  bad.jsonl:12: no token of it is learned
  bad.jsonl:13: plain: line 2, column 19: the template refuses the conversation: the template plain has no form for tools"
check --data bad.jsonl --chat-template plain --list 2 --on-bad-row skip
status 0
err ''
out_has '  ... and 10 more (--list 0 lists all)'
sed -n 3p bad.jsonl >none.jsonl
check --data none.jsonl --on-bad-row skip
status 1
err 'linnet: error: training would refuse this dataset: there is no example in it'
check --data one.jsonl
status 1
out_has '  one.jsonl:1: a conversation, and there is no chat template to write it with; --chat-template gives one: a file, chatml or plain'

# What is no dataset at all.
: >empty.jsonl
check --data empty.jsonl
failure 'the dataset holds no row: empty.jsonl is empty'
check --data missing.jsonl
failure 'missing.jsonl: No such file or directory'
check --data t.json
usage_error 'data check ' 't.json: a dataset file ends in .txt, .jsonl, .txt.gz or .jsonl.gz'
check --data one.jsonl --chat-template chatmll
usage_error 'data check ' '--chat-template chatmll: there is no such file; did you mean "chatml"?'
printf '{%% if %%}' >wrong.jinja
check --data one.jsonl --chat-template wrong.jinja
status 1
grep -q '^linnet: error: wrong.jinja: line 1, column' stderr || fail "no place in the template"
run "$LINNET" data check --data one.jsonl
usage_error 'data check ' 'missing --model PATH or --tokenizer PATH: what the examples are for'
check
status 2
check --data one.jsonl --template-date yesterday
usage_error 'data check ' 'dataset.template_date: expected a day as YYYY-MM-DD, found "yesterday"'

# Texts: a whole file is a row, and split into examples when it is too long; other rows are dropped.
printf 'Once upon a time there was a book.\nIt said <|im_end|> and went on.\n' >book.txt
check --data book.txt --max-seq-length 16 --over-long split --validation-fraction 0.3
status 0
err ''
out '                                      to train on     held out
rows                                            1            0
  text                                          1            0
tokens                                         64            8
  supervised                                93.8%        87.5%
shortest row, in tokens                        68            0
  median                                       68            0
  95% have at most                             68            0
  longest                                      68            0
  texts of more than 16: split                  1            0
    into examples                               4            1
chat template: none

length in tokens
       64 to 127               1  ########################################

nothing is wrong with it'
mkdir texts
gzip -c book.txt >texts/a.txt.gz
cp mixed.jsonl texts/b.jsonl
printf short >texts/c.txt
: >texts/d.txt
check --data texts --chat-template plain --max-seq-length 24 --over-long split --validation-fraction 0
status 0
out_has 'rows                                           11'
out_has '  text                                          3'
out_has '  more than 24: dropped                         7'
out_has '  texts of more than 24: split                  1'
out_has '    into examples                               3'
out_has 'rows that are too long, dropped: 7'
out_has '  texts/b.jsonl:2: 26 tokens'
check --data texts --chat-template plain --max-seq-length 24 --over-long split --validation-fraction 0 --json
status 0
out_has '    "examples": 12,'
out_has '    "over_long": 7,'
out_has '    "split": 1,'
out_has '    "windows": 3,'
check --data book.txt book.txt --validation-fraction 0
out_has 'duplicate rows: 1'
out_has '  book.txt:1: the same as book.txt:1'
check --data book.txt --max-seq-length 1 --over-long split
usage_error 'data check ' 'texts cannot be split into examples of 1 token: at least 2 are needed, the first of which is not learned'
check --data book.txt --max-seq-length 16 --over-long error
status 1
err 'linnet: error: training would refuse this dataset: rows that are too long: 1 (--over-long drop or truncate goes on without)'
printf 'ol\351' >latin.txt
check --data book.txt latin.txt --on-bad-row skip
failure 'latin.txt: invalid UTF-8 at offset 2 (line 1): byte 0xE9; convert the file to UTF-8'
cp book.txt book.txt.gz
check --data book.txt.gz
failure 'book.txt.gz: ends in .gz but holds no gzip data'

# ---- data show ----

show 1 --data texts --max-seq-length 16 --over-long split
status 0
err ''
out 'texts/a.txt.gz:1: text, 68 tokens, 67 learned (98.5%), no BOS, ends with EOS

O[nce upon a time there was a book.\n
It said <|im_end|> and went on.\n
<|endoftext|>]

note: more than the 16 tokens of --max-seq-length: training splits it into 5 examples'
show 11 --data texts --ids
out_has '     6       0  * <|endoftext|>'
show 3 --data texts --chat-template plain --max-seq-length 16 --over-long split
out_has 'note: more than the 16 tokens of --max-seq-length: training drops it'
show 1 --data book.txt --max-seq-length 16 --over-long split --json
grep -q '"over_long": true, "windows": 5, ' stdout || fail "no windows"

show 3 --data mixed.jsonl --chat-template plain
status 0
err ''
out 'mixed.jsonl:3: messages, 28 tokens, 7 learned (25.0%), begins with BOS, ends with EOS

<|endoftext|>User: Hi\n
Assistant:[ Hello<|endoftext|>]\n'
show --line 4 --data mixed.jsonl --chat-template chatml
out 'mixed.jsonl:4: ShareGPT, 28 tokens, 5 learned (17.9%), no BOS, ends with EOS

<|im_start|>user\n
Hi·<|im_end|>\n
<|im_start|>assistant\n
[Hey·<|im_end|>]\n'
show 6 --data mixed.jsonl --chat-template plain
out 'mixed.jsonl:6: prompt/chosen/rejected, 27 tokens, 5 learned (18.5%), begins with BOS, ends with EOS

<|endoftext|>User: Say\n
Assistant:[ yes<|endoftext|>]\n

mixed.jsonl:6: the rejected answer, 26 tokens, 4 learned (15.4%), begins with BOS, ends with EOS

<|endoftext|>User: Say\n
Assistant:[ no<|endoftext|>]\n'
show 2 --data mixed.jsonl --chat-template none --ids
out 'mixed.jsonl:2: prompt/completion, 6 tokens, 2 learned (33.3%), no BOS, ends with EOS

     1      20    2
     2      13    +
     3      20    2
     4      31    =
     5      22  * 4
     6       0  * <|endoftext|>

note: the field "id" is not used'
show 2 --data mixed.jsonl --chat-template none --json
out '{"tokens": 6, "learned_tokens": 2, "turns": 1, "unfinished_turns": 0, "begins_with_bos": false, '\
'"ends_with_eos": true, "truncated": false, "ids": [20, 13, 20, 31, 22, 0], "learned": [0, 0, 0, 0, 1, 1], '\
'"text": ["2", "+", "2", "=", "4", "<|endoftext|>"], "path": "mixed.jsonl", "line": 2, "schema": "prompt/completion", '\
'"over_long": false, "warnings": [], "unused_fields": ["id"]}'
show 7 --data mixed.jsonl --chat-template none --loss all
out 'mixed.jsonl:7: prompt/completion/label, 8 tokens, 7 learned (87.5%), no BOS, ends with EOS

S[aywell<|endoftext|>]

note: its label is false: fine-tuning leaves it out'
show 3 --data mixed.jsonl --chat-template endless.jinja
out 'mixed.jsonl:3: messages, 26 tokens, 6 learned (23.1%), no BOS, no EOS at the end, 1 of 1 turns not ended

user: Hi\n
assistant: [Hello\n
]'
# cut, or longer than allowed; control characters do not reach the terminal
show 1 --data mixed.jsonl --max-seq-length 5 --over-long truncate
out 'mixed.jsonl:1: text, 5 tokens, 4 learned (80.0%), no BOS, no EOS at the end, truncated to 5

O[nce·]'
show 1 --data mixed.jsonl --max-seq-length 5
out 'mixed.jsonl:1: text, 18 tokens, 17 learned (94.4%), no BOS, ends with EOS

O[nce upon a time.<|endoftext|>]

note: more than the 5 tokens of --max-seq-length: training drops it'
printf '%s\n' '{"text": "\u001b[2J\t  \u00e9"}' >odd.jsonl
show 1 --data odd.jsonl
out 'odd.jsonl:1: text, 10 tokens, 9 learned (90.0%), no BOS, ends with EOS

\x1b[[2J\t··é<|endoftext|>]'
# bad rows, and rows that there are not
show 2 --data bad.jsonl
failure "bad.jsonl:2: column 13: not valid JSON: premature end of input near '\"cut'"
show 99 --data mixed.jsonl
usage_error 'data show ' 'there is no example 99: --data has 9 rows'
show --line 8 --data mixed.jsonl
usage_error 'data show ' 'mixed.jsonl has no row on line 8'
show --line 1 --data mixed.jsonl held.jsonl
usage_error 'data show ' '--line 1: of which file? --data stands for 2'
show 0 --data mixed.jsonl
usage_error 'data show ' 'expected the number of an example, from 1, found "0"'
show --data mixed.jsonl
usage_error 'data show ' 'give the number of an example, before --data, or else --line LINE'
