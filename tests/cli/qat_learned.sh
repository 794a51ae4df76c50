# --qat-learned-scales and --qat-clip: what a run says, that one goes on to the bit, and where they cannot be.
. tests/cli/lib.inc

cat >"$tmp/tiny.yaml" <<'YAML'
model: {hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128}
tokenizer: {vocab_size: 400, special_tokens: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]}
optim: {warmup_iters: 2}
train: {iters: 10, batch_size: 4, max_seq_length: 32, checkpoint_interval: 5, eval_interval: 5, eval_iters: 2, log_interval: 1}
YAML
run "$LINNET" data synth --out "$tmp/corpus.jsonl" --size 50k --seed 3 -q
status 0
case $LINNET in /*) ;; *) LINNET=$PWD/$LINNET ;; esac
cd "$tmp" || exit 1
pretrain() { run "$LINNET" pretrain -c tiny.yaml --data corpus.jsonl "$@"; }

# the blocks of a run's last step: every byte of the file, but its name
export_blocks() {
    run "$LINNET" export --model "$1/checkpoints/last.h5" --name same --out "$1.gguf" --force -q
    status 0
}

# a mix: whatever type has scales of its own
pretrain --out mixed --qat Q4_0 --qat-learned-scales --qat-clip
status 0
err_has 'qat     Q4_0: 14 matrices in q4_0, 1 matrix in q8_0'
err_has '        the scales of 15 of 15 matrices are learned'
pretrain --out some --qat Q4_0 --qat-learned-scales --qat-tensor-type attn=mxfp4 --plan
status 0
err_has '        the scales of 7 of 15 matrices are learned'
pretrain --out clipped --qat Q4_0 --qat-clip
status 0
export_blocks mixed
export_blocks clipped
cmp -s mixed.gguf clipped.gguf && fail "learned scales change nothing"

# in two parts; what the scales are scales of stays
pretrain --out parts --qat Q4_0 --qat-learned-scales --qat-clip --iters 5 --set optim.schedule=constant
status 0
for other in '--qat Q5_0' '--qat-pure' '--no-qat-learned-scales' '--qat-tensor-type ffn=q8_0'; do
    run "$LINNET" pretrain --resume --out parts $other
    status 2
    grep -q 'a resumed run keeps its qat\.' stderr || fail "$other is taken"
done
run "$LINNET" pretrain --resume --out parts --iters 10
status 0
pretrain --out whole --qat Q4_0 --qat-learned-scales --qat-clip --set optim.schedule=constant
status 0
export_blocks parts
export_blocks whole
cmp -s parts.gguf whole.gguf || fail "another model after a run in two parts"

# where they cannot be
pretrain --out none --qat mxfp4 --qat-pure --qat-learned-scales -q
usage_error 'pretrain ' "--qat-learned-scales has nothing to learn: no matrix that trains becomes one of the types whose blocks have \
scales of their own (q4_0, q4_1, q5_0, q5_1, q8_0, iq4_nl); choose one with --qat"
[ ! -e none/config.yaml ] || fail "a refused run left a configuration"
echo '{"prompt": "a", "completion": "b"}' >pairs.jsonl
for flag in learned-scales clip; do
    run "$LINNET" sft --model mixed --data pairs.jsonl --method lora --out adapter --qat Q4_0 --qat-$flag -q
    usage_error 'sft ' "--qat-$flag needs the gradient of the rounded weight, which is not computed where an adapter trains: leave it \
out, or train with --method full"
done
pretrain --out plain --qat-clip --iters 1
status 0
err_has 'linnet: warning: qat.clip has no effect without --qat TYPE'
pretrain --out fixed --qat Q8_0 --qat-scale-learning-rate 2 --iters 1
status 0
err_has 'linnet: warning: qat.scale_learning_rate has no effect without --qat-learned-scales'
