# sft: what it makes of a base and examples, what it leaves behind, how it goes on, and what it refuses.
. tests/cli/lib.inc

tiny_base
tiny_files
i=0
while [ $((i += 1)) -le 40 ]; do
    echo "{\"prompt\": \"What is $i plus $i?\", \"completion\": \" It is $((i + i)).\"}" >>qa.jsonl
    echo "{\"messages\": [{\"role\": \"user\", \"content\": \"What is $i plus $i?\"}, {\"role\": \"assistant\", \"content\": \"It is $((i + i)).\"}]}" >>chat.jsonl
done

# Small and quick: steps of two rows of 64 tokens.
small="--max-seq-length 64 --batch-size 2 --learning-rate 5e-3"
sft() { run "$LINNET" sft $small "$@"; }
resume() { run "$LINNET" sft --resume "$@"; }
loss() { sed -n 's/.*"final_validation_loss": \([0-9.]*\).*/\1/p' "$1/metrics.jsonl" | tail -n 1; }
first_loss() { sed -n 's/.*"step": 0, "validation_loss": \([0-9.]*\).*/\1/p' "$1/metrics.jsonl"; }
better() { awk -v a="$(loss "$1")" -v b="$(first_loss "$1")" 'BEGIN {exit !(a > 0 && a < b)}' || fail "$1 has not learned"; }

# ---- a run with adapters ----

sft --model base --data qa.jsonl --out run --iters 30
status 0
err_has "trains  16.4k parameters: adapters of rank 16 beside 14 matrices"
err_has "the adapter: run/adapter; try it: linnet generate --model run"
out ''
better run
find run -type f | sort >files
exactly files 'run/adapter/adapter_config.json
run/adapter/adapter_model.safetensors
run/adapter/linnet.json
run/checkpoints/best.h5
run/checkpoints/last.h5
run/config.yaml
run/metrics.jsonl
run/tokenizer.json
run/tokenizer_config.json'
cmp -s run/tokenizer.json base/tokenizer.json || fail "another tokenizer"
# as PEFT writes them
sed -n 's/^  "\([a-z_]*\)":.*/\1/p' run/adapter/adapter_config.json | sort >keys
exactly keys 'alpha_pattern
base_model_name_or_path
bias
fan_in_fan_out
inference_mode
init_lora_weights
layers_pattern
layers_to_transform
lora_alpha
lora_dropout
modules_to_save
peft_type
r
rank_pattern
revision
target_modules
task_type
use_dora
use_rslora'
for line in '"peft_type": "LORA",' '"task_type": "CAUSAL_LM",' "\"base_model_name_or_path\": \"$(pwd -P)/base\"," '"r": 16,' \
    '"lora_alpha": 32,' '"bias": "none",' '"fan_in_fan_out": false,' '"inference_mode": true,' '"init_lora_weights": true,' \
    '"rank_pattern": {},' '"modules_to_save": null'; do
    grep -qxF "  $line" run/adapter/adapter_config.json || fail "no $line in: $(cat run/adapter/adapter_config.json)"
done
# whose adapter it is: the base's in any type, and of no other model of that shape
for form in run/adapter other.gguf; do
    [ $form = run/adapter ] || { run "$LINNET" convert --model base --adapter run --out other.gguf -q && status 0; }
    run "$LINNET" generate --model q4.gguf --adapter "$form" --prompt a --max-tokens 1
    status 0
    grep "was trained on another model" "$tmp/stderr" && fail "$form is not told from a stranger's"
done
cp -r run/adapter another
sed -i 's/": "..../": "0000/' another/linnet.json
run "$LINNET" generate --model q4.gguf --adapter another --prompt a --max-tokens 1
status 0
err_has "linnet: warning: another: was trained on another model of the same shape (their norms differ): what it makes of this one is anybody's guess"
rm -r another other.gguf
run "$LINNET" info run
out_has "  method                lora"
out_has "  data                  [\"qa.jsonl\"]"
# what nobody asked for is as the method wants it
run "$LINNET" sft --model base --data qa.jsonl --out usual -q
status 0
err "linnet: warning: 1 steps are few to learn from: a smaller --batch-size (now 8 rows of up to 128 tokens) or more --epochs \
make more of them"
for line in 'learning_rate: 0.0002' 'weight_decay: 0' 'beta2: 0.999' 'max_seq_length: 128' 'batch_size: 8' 'warmup_iters: 0'; do
    grep -qxF "  $line" usual/config.yaml || fail "not the default: $line"
done
run "$LINNET" sft --model base --data qa.jsonl --out usual-full --method full --batch-size 1 --iters 160 -q
status 0
for line in 'learning_rate: 2e-05' 'iters: 160' 'warmup_iters: 4' 'eval_interval: 16' 'checkpoint_interval: 16'; do
    grep -qxF "  $line" usual-full/config.yaml || fail "not the default: $line"
done

# ---- its use ----

logits() { run "$LINNET" eval logits --text "What is 3" --top 3 --json "$@" && status 0; }
logits --model base
cp stdout plain
logits --model run
cp stdout adapted
cmp -s plain adapted && fail "the run is its base"
logits --model base --adapter run
cmp -s stdout adapted || fail "--adapter RUN is something else than --model RUN"
logits --model base --adapter run/adapter
cmp -s stdout adapted || fail "--adapter RUN/adapter is something else than --model RUN"
(cd / && "$LINNET" eval logits --text "What is 3" --top 3 --json --model "$tmp/run") >elsewhere || fail "not from another directory"
cmp -s elsewhere adapted || fail "something else from another directory"
for command in "generate --prompt What --max-tokens 3" "eval ppl --data qa.jsonl --text-field prompt"; do
    # shellcheck disable=SC2086
    run "$LINNET" $command --model run -q
    status 0
done
run "$LINNET" merge --model run --out merged.gguf -q
status 0
logits --model merged.gguf
ids() { tr -c '0-9' ' ' <"$1" | awk '{print $1, $2, $3}'; }
[ "$(ids stdout)" = "$(ids adapted)" ] || fail "merged is something else"
run "$LINNET" convert --adapter run --model base --out adapter.gguf -q
status 0
logits --model base --adapter adapter.gguf
[ "$(ids stdout)" = "$(ids adapted)" ] || fail "the GGUF adapter is something else"
run "$LINNET" export --model run --out x.gguf
usage_error 'export ' "run/checkpoints/best.h5: what trained here is an adapter, not a model: linnet merge makes a model of the \
run's directory, and generate, chat, serve and eval take that directory as it is"

# Conversations want a template, which the run then has.
sft --model base --data chat.jsonl --out chatty
failure "chat.jsonl:1: a conversation, and there is no chat template to write it with; --chat-template gives one: a file, \
chatml or plain"
[ ! -e chatty ] || fail "a directory of a run that never began"
sft --model base --data chat.jsonl --out chatty --chat-template chatml --iters 10
status 0
err_has 'the adapter: chatty/adapter; try it: linnet chat --model chatty'
run "$LINNET" chat --model chatty --prompt "What is 3 plus 3?" --max-tokens 3 -q
status 0
run "$LINNET" chat --model base --prompt "What is 3 plus 3?" --max-tokens 3 -q
status 2

# ---- other kinds of training ----

cksum q4.gguf >sum
for kind in "q4" "q4 --products int8" "q4 --dora --lora-dropout 0.1" "q4 --rslora --lora-plus 16 --moments 8bit" \
    "f32 --lora-init pissa --dtype bf16" "f32 --method full" "f32 --no-packing --grad-checkpoint --grad-accumulation 2" \
    "q4 --target-modules q_proj v_proj --train-in-full layers.1.mlp.up_proj"; do
    rm -rf other
    # shellcheck disable=SC2086
    sft --data qa.jsonl --out other --iters 12 -q --model ${kind%% *}.gguf ${kind#"${kind%% *}"}
    status 0
    case $kind in
    *"--method full"*) grep -q '^linnet: warning: the loss on general text rose from .*: the model forgets; ' stderr || fail "no warning" ;;
    *) err '' ;;
    esac
    better other
    logits --model other
    cmp -s stdout plain && fail "nothing was trained"
done
cksum q4.gguf | cmp -s - sum || fail "the base has changed"
run "$LINNET" info other/adapter/adapter_model.safetensors
status 0
grep -q 'lora_A.weight' stdout || fail "no adapter in the file"
sft --data qa.jsonl --model q4.gguf --out useless --method full --products int8 --lora-rank 4 --iters 10 --probe none -q
status 0
err 'linnet: warning: lora.rank has no effect: --method full trains every weight, and no adapter
linnet: warning: tune.products has no effect: --method full multiplies in f32 or bf16'
sft --data qa.jsonl --model f32.gguf --out useless2 --products int8 --iters 10 -q
err "linnet: warning: tune.products has no effect: no weight of $(pwd -P)/f32.gguf is in blocks"
[ ! -e useless/adapter ] || fail "an adapter of a run that has none"

# a text, in windows of which some are held out
run "$LINNET" data synth --out novel.txt --size 20k --seed 5 -q
sft --model base --data novel.txt --over-long split --out novel --iters 4
status 0
grep -q '^data: 1 row in 1 file (1 text); 1 of more than 64 tokens split into 169 examples$' stderr || fail "not split"
grep -q '^examples: 158 to train on (.* longest 64); 11 held out (.*longest 64)$' stderr || fail "other examples"
better novel

# ---- killed, and resumed ----


# same RUN RUN: the adapters, or all weights, of the last step; and the metrics
same() {
    for side in "$1" "$2"; do
        sed 's/"\(tokens_per_s\|seconds\|resident_mb\)": [^,}]*//g' "$side/metrics.jsonl" >"$side.metrics"
        rm -f "$side.gguf"
        if [ -e "$side/adapter" ]; then
            cp "$side/adapter/adapter_model.safetensors" "$side.gguf"
        else
            run "$LINNET" export --model "$side/checkpoints/last.h5" --dtype f32 --out "$side.gguf" -q
            status 0
        fi
    done
    cmp -s "$1.metrics" "$2.metrics" || fail "$2: other metrics: $(diff "$1.metrics" "$2.metrics")"
    cmp -s "$1.gguf" "$2.gguf" || fail "$2: other weights"
    cmp -s "$1/config.yaml" "$2/config.yaml" || fail "$2: another configuration"
}
tries=0
for kind in "--lora-dropout 0.2 --dora" "--rslora --lora-plus 16 --validation-fraction 0" \
    "--method full --moments 8bit --grad-accumulation 2"; do
    tries=$((tries + 1))
    # shellcheck disable=SC2086
    {
        rm -rf whole killed
        sft --model q4.gguf --data qa.jsonl --out whole --iters 40 --checkpoint-interval 7 -q $kind
        status 0
        "$LINNET" sft $small --model q4.gguf --data qa.jsonl --out killed --iters 40 --checkpoint-interval 7 -q $kind 2>killed.err &
    }
    pid=$!
    until grep -q "^{\"step\": $((tries * 10)), \"loss\"" killed/metrics.jsonl 2>/dev/null; do
        kill -0 $pid 2>/dev/null || break
        sleep 0.01
    done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    [ -e killed/checkpoints/last.h5 ] || fail "no checkpoint after the kill"
    resume --out killed -q
    status 0
    same whole killed
done
cmp -s whole.gguf base.gguf 2>/dev/null && fail "nothing was trained"

# More steps; what cannot change is refused, and then nothing is written.
rm -rf more
sft --model q4.gguf --data qa.jsonl --out more --iters 10 -q
status 0
resume --out more
status 0
err_has 'the run is complete: 10 of 10 steps; more --iters make it longer'
keeps() { # TEXT FLAGS...
    text=$1
    shift
    cksum more/config.yaml more/checkpoints/* more/adapter/* more/metrics.jsonl >before
    resume --out more --iters 20 -q "$@"
    status 2
    grep -qxF "linnet: error: a resumed run keeps its $text; leave that as it was, or start a new run in another --out" stderr ||
        fail "does not refuse it so"
    cksum more/config.yaml more/checkpoints/* more/adapter/* more/metrics.jsonl | cmp -s - before || fail "a refusal wrote"
}
keeps 'lora.rank (16, not 8)' --lora-rank 8
keeps 'lora.alpha (32, not 64)' --lora-alpha 64
keeps 'lora.target_modules ([], not [q_proj])' --target-modules q_proj
keeps 'lora.use_dora (false, not true)' --dora
keeps 'tune.method (lora, not full)' --method full
keeps 'dataset.packing (true, not false)' --no-packing
keeps 'train.batch_size (2, not 4)' --batch-size 4
keeps 'train.seed (1, not 2)' --seed 2
resume --out more --iters 20 --model f32.gguf -q
failure 'more/checkpoints/last.h5: began with another base model than this one; give the same file again, or start a new run'
head -n 39 qa.jsonl >fewer.jsonl
resume --out more --iters 20 --data fewer.jsonl -q
failure 'more/checkpoints/last.h5: was trained on other data; resume with the same files, or start a new run'
cp q4.gguf elsewhere.gguf
cp qa.jsonl elsewhere.jsonl
resume --out more --model elsewhere.gguf --data elsewhere.jsonl --epochs 20 --lora-dropout 0.1
status 0
grep -q '^train.iters: 10 -> [0-9][0-9]*$' stderr || fail "--epochs do not make it longer"
grep -q 'general text: loss .* against before' stderr || fail "the probe has lost what it began with"
steps=$(sed -n 's/^  iters: //p' more/config.yaml)
resume --out more --iters $((steps + 2)) --probe none -q
status 0
echo 'Once upon a time there was a cat.' >probe.txt
resume --out more --iters $((steps + 4)) --probe probe.txt
status 0
err_has 'tune.probe: none -> probe.txt'
grep -q '^general text, now: loss' stderr || fail "no new beginning of another probe"
grep -q 'forgets' stderr && fail "a warning of another text's loss"

# ---- the plan and a limit of memory ----

run "$LINNET" sft --model base --data qa.jsonl --plan
status 0
for line in parameters memory 'estimated time'; do
    grep -q "^$line" stdout || fail "no $line in the plan"
done

cat >deep.yaml <<'YAML'
model: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 12, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 1024}
YAML
run "$LINNET" data synth-model -c deep.yaml --set model.vocab_size=300 --out deep.gguf -q
status 0
plan() { run "$LINNET" sft --model deep.gguf --data qa.jsonl --plan --dtype f32 --memory-limit "$1"; status 0; }
plan 2G
grep -q 'to stay within' stderr && fail "changes what fits"
plan 250M
grep -q '^to stay within 250 MB: --batch-size [24] --grad-accumulation [24] instead of 8 and 1$' stderr || fail "not smaller micro-batches"
plan 105M
grep -q '^to stay within 105 MB: --batch-size [12] --grad-accumulation [48] --grad-checkpoint instead of 8 and 1$' stderr ||
    fail "does not compute activations again"
plan 70M
grep -q '^linnet: warning: --memory-limit 70.0 MB: even one row at a time with --grad-checkpoint takes' stderr || fail "no warning"
grep -q '^parameters' stdout || fail "no plan"
run "$LINNET" sft --model deep.gguf --data qa.jsonl --memory-limit 70M --out small -q
status 1
grep -q '^linnet: error: --memory-limit 70.0 MB: even one row' stderr || fail "no error"
[ ! -e small/checkpoints ] || fail "a run that does not fit"
# a limited run goes on with the flags it began with, or with another limit
rm -rf limited
limited() { run "$LINNET" sft --model base --data qa.jsonl --out limited --batch-size 16 --max-seq-length 128 "$@"; }
limited --iters 10 --memory-limit 75M
status 0
grep -q 'to stay within 75.0 MB: --batch-size' stderr || fail "nothing was limited"
limited --iters 12 --memory-limit 75M --resume -q
status 0
limited --iters 14 --memory-limit 1G --resume -q
status 0

# ---- the best, and stopping early ----

sft --model base --data qa.jsonl --out worse --iters 300 --learning-rate 0.3 --set train.early_stopping_patience=2 \
    --set optim.grad_clip=0 --eval-interval 2 -q
status 0
steps=$(sed -n 's/.*"step": \([0-9]*\), "validation_loss.*/\1/p' worse/metrics.jsonl | tail -n 1)
[ "$steps" -lt 300 ] || fail "did not stop early"
resume --out worse
status 0
grep -q "the run stopped early, at step $steps of 300" stderr || fail "does not say that it stopped early"

# ---- interrupted ----

"$LINNET" sft $small --model base --data qa.jsonl --out stopped --iters 1000000 --eval-interval 0 --checkpoint-interval 0 -q 2>err &
pid=$!
until grep -q '"loss"' stopped/metrics.jsonl 2>/dev/null; do sleep 0.01; done
run "$LINNET" sft --resume --out stopped -q
status 2
kill -TERM $pid
got=0
wait $pid || got=$?
status 130
grep -q '^linnet: interrupted at step [0-9]* of 1000000, saved in stopped; continue with --resume$' err || fail "says $(cat err)"
logits --model stopped # what was saved is there to be tried

# A full disk (here: a limit on the size of a file) costs nothing that was there.
cp -r run full
(
    ulimit -f 100
    "$LINNET" sft --resume --out full --iters 60 -q >stdout 2>stderr
)
got=$? shown='sft, disk full'
status 1
grep -q 'full/checkpoints/.*the one before is untouched' stderr || fail "says something else"
cmp -s run/checkpoints/last.h5 full/checkpoints/last.h5 || fail "the checkpoint has changed"
[ "$(ls full/checkpoints)" = "$(printf 'best.h5\nlast.h5')" ] || fail "a half-written file is left"
resume --out full --iters 40 -q
status 0

# A loss that is no number.
sft --model base --data qa.jsonl --out nan --iters 60 --method full --learning-rate 10 \
    --set optim.grad_clip=0 --set optim.schedule=constant -q
status 1
grep -q '^linnet: warning: step [0-9]* skipped: loss ' stderr || fail "no warning"
grep -q '^linnet: error: 5 steps in a row were not finite; ' stderr || fail "no error"

# ---- what cannot be ----

s() { run "$LINNET" sft -q "$@"; }
s --data qa.jsonl --out new
usage_error 'sft ' 'missing --model PATH: the model to train further: a GGUF file, a Hugging Face directory, or a run directory'
s --model base --data qa.jsonl
usage_error 'sft ' 'missing --out DIR: run directory to make'
s --model base --out new
status 2
grep -q '^linnet: error: missing --data PATH' stderr || fail "says something else"
s --model nowhere --data qa.jsonl --out new
failure 'nowhere: no such file or directory; --model takes a run directory, a Hugging Face directory, or a .gguf file'
s --model base --data nowhere.jsonl --out new
failure 'nowhere.jsonl: No such file or directory'
s --model run --data qa.jsonl --out new
status 2
grep -q 'what trained here is an adapter, not a model: linnet merge makes a model' stderr || fail "says something else"
s --model base --data qa.jsonl --out run
usage_error 'sft ' 'run already holds a run; continue it with --resume, or choose another --out'
s --resume --out new
usage_error 'sft ' 'new holds no checkpoint to resume from; without --resume the run begins'
mkdir -p cut/checkpoints
: >cut/checkpoints/best.h5
for how in --resume "--model base --data qa.jsonl"; do
    # shellcheck disable=SC2086
    s $how --out cut
    usage_error 'sft ' "cut holds a run that ended before there was a checkpoint to resume from, and its best weights so far; \
remove cut/checkpoints/best.h5 to begin there again, or choose another --out"
done
rm -r cut
run "$LINNET" export --model base --format hf --out hf -q
status 0
cksum hf/* >sum
s --model hf --data qa.jsonl --out hf
usage_error 'sft ' 'hf holds a model or an adapter that is no run'"'"'s; choose another --out'
cksum hf/* | cmp -s - sum || fail "somebody's model has changed"
s --model base --data qa.jsonl --out new --max-seq-length 129
usage_error 'sft ' '--max-seq-length 129 is more than the 128 tokens the model was made for'
s --model base --data qa.jsonl --out new --lora-rank 33
status 2
grep -q '^linnet: error: rank 33 is more than .* has' stderr || fail "says something else"
s --model base --data qa.jsonl --out new --target-modules q_prj
status 2
grep -q 'did you mean q_proj' stderr || fail "says something else"
s --model base --data qa.jsonl --out new --sample-interval 3
status 2
s --model base --data qa.jsonl --out new --probe nowhere.txt
status 1
s --model base --data qa.jsonl --out new --max-seq-length 9
status 1
grep -q '^linnet: error: .*40' stderr || fail "says something else"
s --model base --data qa.jsonl --out new --over-long error --max-seq-length 9
status 1
echo '{"no": "example"}' >bad.jsonl
s --model base --data bad.jsonl --out new
status 1
grep -q '^linnet: error: bad.jsonl:1: no known schema' stderr || fail "says something else"
s --model base --data bad.jsonl --out new --on-bad-row skip
status 1
# a vocabulary that is not its tokenizer's
cp -r hf narrow
sed 's/"vocab_size": 400/"vocab_size": 300/' hf/config.json >narrow/config.json
s --model narrow --data qa.jsonl --out new
status 1
[ "$(wc -l <stderr)" = 1 ] || fail "more than one line"
[ ! -e new ] || fail "a directory of a run that never began"
