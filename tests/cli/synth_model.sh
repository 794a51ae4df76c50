# data synth-model: files that load and run, the same bytes for the same flags, and what it refuses.
. tests/cli/lib.inc

shape="--set model.hidden_size=64 --set model.intermediate_size=96 --set model.num_hidden_layers=4
       --set model.num_attention_heads=4 --set model.num_key_value_heads=2"
make_model() { # NAME FLAGS...
    name=$1
    shift
    # shellcheck disable=SC2086
    run "$LINNET" data synth-model --out "$tmp/$name.gguf" $shape --quiet "$@"
}

# The same bytes again, in whatever place and with however many threads; others with another seed.
make_model a
status 0
out ''
err ''
make_model b --threads 1
cmp -s "$tmp/a.gguf" "$tmp/b.gguf" || fail "not the same bytes again"
make_model b --seed 2
status 2
make_model b --seed 2 --force
status 0
cmp -s "$tmp/a.gguf" "$tmp/b.gguf" && fail "the same bytes with another seed"

# What it says
run "$LINNET" data synth-model --out "$tmp/c.gguf" --preset smollm2-135m --set model.num_hidden_layers=1 --type q4_0 \
    --set model.vocab_size=1000 --json
status 0
out "{
  \"path\": \"$tmp/c.gguf\",
  \"architecture\": \"llama\",
  \"type\": \"Q4_0\",
  \"weights\": 4116672,
  \"bytes\": $(stat -c %s "$tmp/c.gguf")
}"
grep -q "^$tmp/c.gguf: llama, 4.1M weights in Q4_0, 2.[0-9] MB in " "$tmp/stderr" || fail "no summary"
run "$LINNET" info "$tmp/c.gguf"
status 0
out_has '  llama.attention.head_count_kv           3'
out_has '  llama.rope.freq_base                    100000.0'
out_has '  general.name                            random weights'
grep -q '^  tokenizer.ggml.tokens  *1000 string' "$tmp/stdout" || fail "not as many tokens as rows"
grep -q '^  blk.0.attn_q.weight  *q4_0 ' "$tmp/stdout" || fail "not q4_0"

# Families and types: what is written loads and runs, and its activations are numbers.
check_runs() { # NAME FLAGS...
    make_model "$@" --force
    status 0
    run "$LINNET" generate --model "$tmp/$1.gguf" --prompt ab --max-tokens 3 --quiet
    status 0
    run "$LINNET" eval ppl --model "$tmp/$1.gguf" --data "$tmp/text.txt" --json --quiet
    status 0
    # random weights know nothing: the likelihood of a token is about that of any of 257
    sed -n 's/.*"perplexity": \([0-9.]*\).*/\1/p' "$tmp/stdout" >"$tmp/ppl"
    awk 'NR == 1 { good = $1 > 150 && $1 < 450 } END { exit !good }' "$tmp/ppl" ||
        fail "a perplexity of $(cat "$tmp/ppl")"
}
printf 'Once upon a time there was a cat. The cat sat on a mat.\n' >"$tmp/text.txt"
for type in f32 bf16 q8_0 Q4_K_M; do
    check_runs type --type $type
done
for family in qwen2 qwen3 phi3 olmo2; do
    check_runs family --set model.architecture=$family
done
check_runs gemma3 --set model.architecture=gemma3 --set model.sliding_window=16
check_runs experts --set model.architecture=olmoe --set model.num_experts=4 --set model.num_key_value_heads=4 --type q8_0

# Blocks that are not active change nothing: two blocks predict to the last bit what four say of which two are active, and
# that is not what four active ones say. As a draft they are sure of their guesses, and right.
make_model two --set model.num_hidden_layers=2 --active-blocks 2 --type q4_0
make_model half --active-blocks 2 --type q4_0
make_model four --active-blocks 4 --type q4_0
for name in two half four; do
    run "$LINNET" eval logits --model "$tmp/$name.gguf" --text 'cat and mat' --quiet
    status 0
    cp "$tmp/stdout" "$tmp/$name.logits"
done
[ -s "$tmp/two.logits" ] || fail "no logits"
cmp -s "$tmp/two.logits" "$tmp/half.logits" || fail "not what a model of its active blocks says"
cmp -s "$tmp/four.logits" "$tmp/half.logits" && fail "blocks that are not active say something"
run "$LINNET" bench infer --model "$tmp/half.gguf" --draft-model "$tmp/two.gguf" --prompt-tokens 8 --gen-tokens 32 --json -q
status 0
sed -n 's/.*"\(guessed_tokens\|right_guesses\)": \([0-9]*\).*/\2/p' "$tmp/stdout" | tr '\n' ' ' >"$tmp/guesses"
awk '{ good = $1 >= 10 && $1 == $2 } END { exit !good }' "$tmp/guesses" || fail "guessed and right: $(cat "$tmp/guesses")"

# A configuration, of which the model's section counts; --set is stronger than it, and it than a preset.
printf 'model:\n  hidden_size: 32\n  num_attention_heads: 4\n  intermediate_size: 32\ntrain:\n  iters: 3\n' >"$tmp/m.yaml"
run "$LINNET" data synth-model --out "$tmp/d.gguf" --preset llama-3.2-1b -c "$tmp/m.yaml" -q \
    --set model.num_hidden_layers=3 --set model.vocab_size=300 --set model.num_key_value_heads=2
status 0
run "$LINNET" info "$tmp/d.gguf"
out_has '  llama.embedding_length                  32'
out_has '  llama.block_count                       3'
out_has '  llama.rope.freq_base                    500000.0'

# What it refuses
refuses() { # MESSAGE FLAGS...
    message=$1
    shift
    make_model no "$@"
    usage_error 'data synth-model ' "$message"
    [ ! -e "$tmp/no.gguf" ] || fail "the file was made"
}
make_model a
usage_error 'data synth-model ' "$tmp/a.gguf: already there; choose another name, or --force to replace it"
run "$LINNET" data synth-model
usage_error 'data synth-model ' 'missing --out FILE: the GGUF file to write'
refuses '--type: there is no type "q4_9"; did you mean Q4_0?' --type q4_9
refuses 'model.vocab_size is 100; it must be at least 257: a token for every byte and one for the end of a text' \
    --set model.vocab_size=100
refuses '5 active blocks of 4 (model.num_hidden_layers)' --active-blocks 5
refuses 'model.num_key_value_heads is 3; it must divide num_attention_heads (4)' --set model.num_key_value_heads=3
make_model no --preset lama-3b
status 2

# No room: nothing is left, and what was there stays.
cp "$tmp/a.gguf" "$tmp/kept.gguf"
# shellcheck disable=SC2086
(ulimit -f 64; "$LINNET" data synth-model --out "$tmp/a.gguf" --force -q $shape --seed 3 2>"$tmp/stderr")
got=$? shown='data synth-model with a file size limit'
failure "$tmp/a.gguf: cannot write: File too large"
cmp -s "$tmp/a.gguf" "$tmp/kept.gguf" || fail "the old file was damaged"
ls "$tmp"/a.gguf?* 2>/dev/null && fail "a temporary file was left"
exit 0
