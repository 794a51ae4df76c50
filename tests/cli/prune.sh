# prune: what it says, what it writes, and what it refuses. What goes and what stays is held against models with dead parts
# in tests/export/test_prune.c.
. tests/cli/lib.inc

"$LINNET" data synth --out "$tmp/corpus.jsonl" --size 8k --seed 3 -q
model() { # NAME FLAGS...
    name=$1
    shift
    "$LINNET" data synth-model --out "$tmp/$name.gguf" --set model.hidden_size=64 --set model.intermediate_size=96 \
        --set model.num_hidden_layers=4 --set model.num_attention_heads=4 --set model.num_key_value_heads=2 \
        --set model.max_position_embeddings=64 -q "$@" || exit 1
}
prune() { run "$LINNET" prune --model "$tmp/big.gguf" --data "$tmp/corpus.jsonl" -q "$@"; }
# report TEXT: stdout, with # for what was measured
report() {
    sed 's/[0-9][0-9]*\.[0-9][0-9]*/#/g; s/  *#/ #/g' "$tmp/stdout" >"$tmp/report"
    exactly "$tmp/report" "$1"
}
# Layers from the second on add nothing: their influence is 0.
model big --type q8_0 --active-blocks 2

# Layers: the dead ones go, and the model says the same.
prune --layers 2 --out "$tmp/layers"
status 0
err ''
report 'layer  influence  becomes  heads lost  channels lost
    0 #        0 #% #%
    1 #        1 #% #%
    2 #     goes
    3 #     goes

layers           4 -> 2
heads            4 -> 4
key/value heads  2 -> 2
channels         96 -> 96
parameters       139904 -> 78208
perplexity # -> #
tokens           8192
seconds #'
sed -n 's/^perplexity *\([0-9.]*\) -> \([0-9.]*\)$/\1 \2/p' "$tmp/stdout" |
    awk '{ d = $1 / $2 - 1; good = d < 1e-3 && d > -1e-3 } END { exit !good }' || fail "another perplexity"
for name in big.gguf layers; do
    run "$LINNET" eval ppl --model "$tmp/$name" --data "$tmp/corpus.jsonl" --json --exact -q
    status 0
    sed 's/.*"perplexity": \([0-9]*\.[0-9]\).*/\1/' "$tmp/stdout" >"$tmp/$name.ppl"
done
cmp -s "$tmp/big.gguf.ppl" "$tmp/layers.ppl" || fail "the file predicts otherwise"

# A dry run says the same beforehand, needs no --out, and writes nothing.
before=$(ls "$tmp")
prune --layers 2 --dry-run
status 0
grep -q '^layers           4 -> 2$' "$tmp/stdout" || fail "no layers"
grep -q '^parameters       139904 -> 78208$' "$tmp/stdout" || fail "no parameters"
grep -q '^perplexity       [0-9.]*$' "$tmp/stdout" || fail "no perplexity, or two"
[ "$before" = "$(ls "$tmp")" ] || fail "something was written"

# Heads and channels, into a GGUF file: shapes, the table of heads, notes on stderr
run "$LINNET" prune --model "$tmp/big.gguf" --data "$tmp/corpus.jsonl" --keep-layers 0 1 3 --kv-heads 1 --intermediate-size 40 \
    --dtype bf16 --max-tokens 1000 --max-seq-length 50 --out "$tmp/parts.gguf"
status 0
err_has '140k parameters; of 4 layers 3 stay, of 4 heads 2, of 2 key/value heads 1, of 96 channels 40'
grep -q '^layer  heads, in % of their layer.s squares; \[those\] go$' "$tmp/stdout" || fail "no table of heads"
[ "$(grep -c '^    [013].* \[[0-9.]*\] \[[0-9.]*\]' "$tmp/stdout")" = 3 ] || fail "not two heads of each layer"
out_has '    2    0.00000     goes'
out_has 'tokens           1000'
run "$LINNET" info "$tmp/parts.gguf"
status 0
out_has '  llama.block_count                       3'
out_has '  llama.attention.head_count              2'
out_has '  llama.attention.head_count_kv           1'
out_has '  llama.attention.key_length              16'
out_has '  llama.feed_forward_length               40'
out_has '  general.name                            parts'
grep -q '^  blk.2.ffn_down.weight  *bf16 ' "$tmp/stdout" || fail "not bf16"
run "$LINNET" generate --model "$tmp/parts.gguf" --prompt ab --max-tokens 3 -q
status 0

# Query heads alone, as JSON; the same whatever the number of threads
prune --heads 2 --out "$tmp/heads" --json
status 0
grep -q '^{"out": "'"$tmp"'/heads", "dtype": "f32", "layers": \[4, 4\], "heads": \[4, 2\], "kv_heads": \[2, 2\], '\
'"intermediate_size": \[96, 96\], "parameters": \[139904, 123520\], "tokens": 8192, "perplexity": \[[0-9.e]*, [0-9.e]*\], '\
'"per_layer": \[{"influence": [0-9.]*, "stays": true, "head_shares": \[' "$tmp/stdout" || fail "other JSON"
prune --heads 2 --out "$tmp/again" --threads 1
status 0
cmp -s "$tmp/heads/model.safetensors" "$tmp/again/model.safetensors" || fail "another model with one thread"

# What is pruned can be pruned, and trained: of a run directory
run "$LINNET" prune --model "$tmp/heads" --data "$tmp/corpus.jsonl" --layers 1 --out "$tmp/small" -q
status 0
printf '{"prompt": "one", "completion": " two"}\n' >"$tmp/qa.jsonl"
run "$LINNET" sft --model "$tmp/small" --data "$tmp/qa.jsonl" --out "$tmp/tuned" --iters 1 --max-seq-length 64 --probe none -q
status 0

# Layers with and without a window keep taking turns.
model windows --set model.architecture=gemma2 --set model.sliding_window=16 --set model.head_dim=16 \
    --set model.attn_logit_softcapping=50 --set model.final_logit_softcapping=30
run "$LINNET" prune --model "$tmp/windows.gguf" --data "$tmp/corpus.jsonl" --keep-layers 0 2 --out "$tmp/no" -q
usage_error 'prune ' '--keep-layers: layer 2 cannot become layer 1: in gemma2 models the last of every 2 layers has no '\
'window, and that order would break; --layers chooses layers that keep it'
run "$LINNET" prune --model "$tmp/windows.gguf" --data "$tmp/corpus.jsonl" --layers 2 --out "$tmp/windows-2.gguf" -q
status 0

# Families whose heads llama.cpp wants as wide as the hidden states: told where heads go, and only there
model qwen --set model.architecture=qwen2
run "$LINNET" prune --model "$tmp/qwen.gguf" --data "$tmp/corpus.jsonl" --kv-heads 1 --out "$tmp/qwen-1.gguf" -q
status 0
err "linnet: warning: $tmp/qwen-1.gguf: llama.cpp loads models of this family only where their query heads together are as \
wide as the hidden states; linnet reads this file, and llama.cpp does not"
run "$LINNET" prune --model "$tmp/qwen.gguf" --data "$tmp/corpus.jsonl" --layers 3 --out "$tmp/qwen-3.gguf" -q
status 0
err ''

# Experts: those that no token reaches are told.
model experts --set model.architecture=olmoe --set model.num_experts=64 --set model.num_experts_per_tok=1
printf 'A text of a few tokens.\n' >"$tmp/short.txt"
run "$LINNET" prune --model "$tmp/experts.gguf" --data "$tmp/short.txt" --max-seq-length 16 --intermediate-size 32 \
    --out "$tmp/experts-32.gguf" -q
status 0
grep -q '^linnet: warning: [0-9]* experts got no token: which of their channels stay is chance; more text helps$' \
    "$tmp/stderr" || fail "no warning"

# Errors, before anything is written
refuses() { # MESSAGE FLAGS...
    message=$1
    shift
    prune --out "$tmp/no" "$@"
    usage_error 'prune ' "$message"
    [ ! -e "$tmp/no" ] || fail "the directory was made"
}
refuses 'nothing is to go: say what stays with --layers, --keep-layers, --heads, --kv-heads or --intermediate-size'
refuses 'nothing would go: the model has 4 layers, 4 heads, 2 key/value heads and 96 feed-forward channels; ask for fewer '\
'with --layers, --heads, --kv-heads or --intermediate-size' --layers 4
refuses '--layers 5: the model has 4' --layers 5
refuses '--intermediate-size 97: the model has 96' --intermediate-size 97
refuses '--heads 3: no multiple of the 2 key/value heads that stay; each keeps as many query heads as the others '\
'(--kv-heads changes how many there are)' --heads 3
refuses '--layers 3: --keep-layers names 2; one of the two is enough' --layers 3 --keep-layers 0 1
refuses '--keep-layers: 1 after 2; each layer once, in their order' --keep-layers 2 1
refuses '--keep-layers: 0.5 is no number of a layer' --keep-layers 0.5
refuses '--max-tokens 10: less than one chunk of 64; give more, or a smaller --max-seq-length' --layers 2 --max-tokens 10
refuses '--max-seq-length: a chunk needs at least 4 tokens' --layers 2 --max-seq-length 3
run "$LINNET" prune --model "$tmp/big.gguf" --data "$tmp/short.txt" --layers 2 --out "$tmp/no" -q
usage_error 'prune ' '--data: the text has 24 tokens, less than one chunk of 64: give more text, or a smaller --max-seq-length'
: >"$tmp/empty.txt"
run "$LINNET" prune --model "$tmp/big.gguf" --data "$tmp/empty.txt" --layers 2 --out "$tmp/no" -q
status 1
run "$LINNET" prune --model "$tmp/big.gguf" --layers 2 --out "$tmp/no"
usage_error 'prune ' 'missing --data PATH...: text that importance is measured on: .txt and .jsonl files, also gzipped, or '\
'directories of them'
run "$LINNET" prune --model "$tmp/big.gguf" --data "$tmp/corpus.jsonl" --layers 2
usage_error 'prune ' 'missing --out PATH: a file if it ends in .gguf, else a Hugging Face directory'
prune --layers 2 --out "$tmp/layers"
usage_error 'prune ' "$tmp/layers: already there and not empty; choose another name, or --force to replace it"
prune --layers 2 --out "$tmp/big.gguf" --force
usage_error 'prune ' "--out $tmp/big.gguf: is the model itself; write to another file"
prune --layers 2 --out "$tmp/tuned" --force
usage_error 'prune ' "$tmp/tuned: is a run directory; choose another"
prune --layers 3 --out "$tmp/layers" --force
status 0
run "$LINNET" prune --model "$tmp/tuned" --data "$tmp/corpus.jsonl" --layers 2 --out "$tmp/no" -q
status 2
grep -q 'what trained here is an adapter, not a model: linnet merge makes a model' "$tmp/stderr" || fail "another error"
[ ! -e "$tmp/no" ] || fail "something was written in spite of an error"

# A full disk leaves what was there.
cp "$tmp/parts.gguf" "$tmp/kept.gguf"
(
    ulimit -f 8
    "$LINNET" prune --model "$tmp/big.gguf" --data "$tmp/corpus.jsonl" --layers 3 --out "$tmp/kept.gguf" --force -q \
        >"$tmp/stdout" 2>"$tmp/stderr"
)
got=$? shown='prune, disk full'
failure "$tmp/kept.gguf: cannot write: File too large"
out ''
cmp -s "$tmp/parts.gguf" "$tmp/kept.gguf" || fail "the file that was there is damaged"
exit 0
