# dpo: what it makes of a base and preferences, the losses by name, where the reference comes from, and what it refuses.
. tests/cli/lib.inc

tiny_base
i=0
while [ $((i += 1)) -le 40 ]; do
    q="What is $i plus $i?" a="It is $((i + i))." b="Who knows, $i?"
    user="{\"role\": \"user\", \"content\": \"$q\"}"
    good="{\"role\": \"assistant\", \"content\": \"$a\"}" bad="{\"role\": \"assistant\", \"content\": \"$b\"}"
    echo "{\"prompt\": \"$q\", \"chosen\": \" $a\", \"rejected\": \" $b\"}" >>pairs.jsonl
    echo "{\"prompt\": [$user], \"chosen\": [$good], \"rejected\": [$bad]}" >>messages.jsonl
    echo "{\"chosen\": [$user, $good], \"rejected\": [$user, $bad]}" >>implicit.jsonl
    echo "{\"prompt\": \"$q\", \"completion\": \" $a\", \"label\": true}" >>judged.jsonl
    echo "{\"prompt\": \"$q\", \"completion\": \" $b\", \"label\": false}" >>judged.jsonl
done

# Small and quick, and in products that are the same everywhere.
small="--max-seq-length 64 --batch-size 2 --learning-rate 1e-3 --dtype f32"
dpo() { run "$LINNET" dpo $small "$@"; }
quick() { # OUT FLAGS...: two steps on pairs, or what --data says
    rm -rf "$1"
    run "$LINNET" dpo $small --model base --data pairs.jsonl --iters 2 -q --out "$@"
    status 0
}
# value RUN KEY first|last: that number's in metrics.jsonl
value() { sed -n "s|.*\"$2\": \([^,}]*\).*|\1|p" "$1/metrics.jsonl" | case $3 in first) head -n 1 ;; last) tail -n 1 ;; esac; }
holds() { awk "BEGIN {exit !($1)}" || fail "does not hold: $1${2:+ ($2)}"; }
near() { holds "$1 - ($2) < $3 && ($2) - $1 < $3" "${4:-}"; }
# What a run measured, without what depends on the clock.
measured() { sed 's/"tokens_per_s": [^,]*, "seconds": [^,]*, "resident_mb": [^,]*, //' "$1/metrics.jsonl"; }
same_run() {
    measured "$1" >one
    measured "$2" >other
    cmp -s one other || fail "$1 and $2 are not the same run: $(diff one other | head -n 4)"
}
# alike RUN RUN SHARE: the same lines, and numbers that differ by at most that share of themselves (or, below 1, that much)
alike() {
    measured "$1" | tr ',{}' '\n\n\n' >one
    measured "$2" | tr ',{}' '\n\n\n' >other
    paste -d '|' one other | awk -F '|' -v most="$3" '{
        n = split($1, a, ": "); m = split($2, b, ": ")
        if (n != m || a[1] != b[1]) exit 1
        if (n < 2) next
        d = a[2] - b[2]; if (d < 0) d = -d
        size = a[2] < 0 ? -a[2] : a[2]
        if (d > most * (size > 1 ? size : 1)) exit 1
    }' || fail "$1 and $2 are not alike: $(diff one other | head -n 4)"
}
log2=0.693147181

# ---- pairs, with adapters ----

dpo --model base --data pairs.jsonl --out run --iters 20
status 0
out ''
sed -n '/^data/,/^rate/p' stderr >said
exactly said "data: 40 rows in 1 file (40 prompt/chosen/rejected)
examples: 38 pairs to train on (38 prompts, 1.2k tokens, 60.1% supervised, longest 33; sharing prompts saves 410 tokens)
examples: 2 pairs held out (2 prompts, 65 tokens, 60.0% supervised, longest 33; sharing prompts saves 22 tokens)
chat template: none
model   31.4k parameters: 2 layers, hidden 32, 4/2 heads of 8, ffn 64, vocabulary 400, tied
trains  16.4k parameters: adapters of rank 16 beside 14 matrices
rows    25 of 64 tokens, 76% full; 2 a step, 20 steps, 1.60 epochs
loss    sigmoid, beta 0.1; reference: the model with its adapter off, in every step
rate    up to 0.001, after 0 steps of warm-up"
err_has 'the adapter: run/adapter; try it: linnet generate --model run'
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
for line in 'loss: [sigmoid]' 'beta: 0.1' 'weight_decay: 0' 'beta2: 0.999'; do
    grep -qxF "  $line" run/config.yaml || fail "not in the configuration: $line"
done
run "$LINNET" info run
out_has '  data                  ["pairs.jsonl"]'

# What is measured: before the first step the model is the reference, behind the last one it prefers what was chosen.
names='rewards/chosen rewards/rejected rewards/accuracies rewards/margins logps/chosen logps/rejected'
learned() {
    for name in $names; do
        [ -n "$(value "$1" "$name" last)" ] || fail "$1: $name is not measured in training"
        [ -n "$(value "$1" "validation_$name" last)" ] || fail "$1: validation_$name is not measured"
    done
    near "$(value "$1" validation_loss first)" $log2 1e-6 "$1"
    for name in rewards/chosen rewards/rejected rewards/margins; do
        near "$(value "$1" "validation_$name" first)" 0 1e-5 "$1: $name"
    done
    holds "$(value "$1" final_validation_loss last) < 0.69" "$1"
    for name in rewards/margins validation_rewards/margins; do
        holds "$(value "$1" $name last) > 0.005" "$1: $name"
    done
    holds "$(value "$1" validation_rewards/accuracies last) == 1" "$1"
    near "$(value "$1" validation_rewards/margins last)" \
        "$(value "$1" validation_rewards/chosen last) - $(value "$1" validation_rewards/rejected last)" 1e-6 "$1: margins"
    # rewards are beta times what the log-probability has gained
    near "$(value "$1" validation_rewards/rejected last)" \
        "0.1 * ($(value "$1" validation_logps/rejected last) - $(value "$1" validation_logps/rejected first))" 1e-4 "$1: rewards"
}
learned run
for command in "generate --prompt What --max-tokens 3" "eval ppl --data pairs.jsonl --text-field prompt"; do
    # shellcheck disable=SC2086
    run "$LINNET" $command --model run -q
    status 0
done
# how likely the answers are is what another command says of the base
run "$LINNET" reference --model base --data pairs.jsonl --max-seq-length 64 --dtype f32 --validation-fraction 0 --json --out all.h5 -q
status 0
nats=$(sed -n 's/.*"targets": \([0-9]*\), "loss_a_target": \([0-9.]*\).*/\1 * \2/p' stdout)
quick mean --validation-fraction 0 --batch-size 25 --iters 1 --no-packing --batch-size 40
near "$(value mean logps/chosen first) + $(value mean logps/rejected first)" "-($nats) / 40" 1e-3 "sums of log-probabilities"

# ---- all weights ----

dpo --model base --data pairs.jsonl --out full --iters 20 --method full
status 0
err_has 'trains  all of them'
err_has 'loss    sigmoid, beta 0.1; reference: the model as it begins, computed once, in reference.h5'
grep -q '^reference 100%' stderr || fail "no pass of the reference"
err_has 'the best weights: full/checkpoints/best.h5; try them: linnet generate --model full'
find full -type f | sort >files
exactly files 'full/checkpoints/best.h5
full/checkpoints/last.h5
full/config.yaml
full/metrics.jsonl
full/reference.h5
full/tokenizer.json
full/tokenizer_config.json'
learned full
run "$LINNET" info full/reference.h5
out_has '  answers         80'
run "$LINNET" generate --model full --prompt What --max-tokens 3 -q
status 0

# ---- conversations ----

dpo --model base --data messages.jsonl --out x
failure 'messages.jsonl:1: a conversation, and there is no chat template to write it with; --chat-template gives one: a file, chatml or plain'
[ ! -e x ] || fail "a directory of a run that never began"
dpo --model base --data messages.jsonl --out chatty --chat-template chatml --iters 20
status 0
err_has 'data: 40 rows in 1 file (40 prompt/chosen/rejected of messages)'
err_has 'chat template: chatml'
err_has 'the adapter: chatty/adapter; try it: linnet chat --model chatty'
learned chatty
run "$LINNET" chat --model chatty --prompt "What is 3 plus 3?" --max-tokens 3 -q
status 0
dpo --model base --data implicit.jsonl --out implicit --chat-template chatml --iters 20
status 0
err_has 'data: 40 rows in 1 file (40 chosen/rejected)'
same_run chatty implicit

# ---- every loss ----

# Where the model is its reference each loss is known.
run "$LINNET" dpo --loss nothing --model base --data pairs.jsonl --out x
status 2
all=$(sed -n 's/.* there are //p' stderr | tr -d ,)
[ "$(echo "$all" | wc -w)" = 15 ] || fail "names of losses: $all"
for loss in $all; do
    case $loss in
    sigmoid | sigmoid_norm | robust) expected=$log2 ;;
    hinge | apo_zero | apo_down) expected=1 ;;
    ipo) expected=25 ;;
    sppo_hard) expected=50 ;;
    exo_pair) expected=2.761231 ;;
    nca_pair) expected="2 * $log2" ;;
    kto) expected=0.5 ;;
    *) expected= ;;
    esac
    more=
    [ $loss = robust ] && more="--label-smoothing 0.1" # without which it is sigmoid
    # shellcheck disable=SC2086
    quick "loss-$loss" --loss $loss $more
    for key in validation_loss loss final_validation_loss; do
        case $(value "loss-$loss" $key last) in '' | *[!0-9.e+-]*) fail "$loss: $key is no number" ;; esac
    done
    [ -z "$expected" ] || near "$(value "loss-$loss" validation_loss first)" "$expected" 1e-4 "$loss"
    measured "loss-$loss" >"of-$loss"
done
cat of-* | grep -o '"final_validation_loss": [0-9.]*' | sort -u >distinct
[ "$(wc -l <distinct)" = 15 ] || fail "some losses are the same"
# sums of losses, each with its weight
quick free --reference-free
quick mix --loss sigmoid sft --loss-weights 1 0.2
sft=$(value loss-sft validation_loss first)
near "$(value mix validation_loss first)" "$log2 + 0.2 * $sft" 1e-5 mix
near "$(value loss-cpo validation_loss first)" "$(value free validation_loss first) + $sft" 1e-5 cpo
holds "$(value free validation_loss first) != $log2" "a reference in spite of --reference-free"
dpo --model base --data pairs.jsonl --out mix2 --iters 2 --loss sigmoid sft --loss-weights 1 0.2
err_has 'loss    1 sigmoid + 0.2 sft, beta 0.1; reference: the model with its adapter off, in every step'
same_run_of() { measured "$1" | grep -v probe >one && measured "$2" | grep -v probe >other && cmp -s one other; }
same_run_of mix mix2 || fail "the probe changes a run"
dpo --model base --data pairs.jsonl --out simpo --iters 2 --loss simpo --beta 2 --simpo-gamma 1 --label-smoothing 0.1
status 0
err_has 'loss    simpo, beta 2; reference: none'
quick full-free --method full --reference-free
[ ! -e full-free/reference.h5 ] || fail "a reference that nothing needs"

# single answers, and both of a pair
dpo --model base --data judged.jsonl --out kto --iters 20 --loss kto
status 0
err_has 'data: 80 rows in 1 file (80 prompt/completion/label)'
grep -q '^examples: [0-9]* judged answers to train on (38 prompts, .*; sharing prompts saves ' stderr || fail "no count of answers"
near "$(value kto validation_loss first)" 0.5 1e-6 kto
holds "$(value kto final_validation_loss last) < 0.5" kto
for name in $names kl validation_kl; do
    [ -n "$(value kto "$name" last)" ] || fail "kto: $name is not measured"
done
holds "$(value kto rewards/margins last) > 0" kto
dpo --model base --data pairs.jsonl --out kto-pairs --iters 20 --loss kto
status 0
err_has 'data: 40 rows in 1 file (40 prompt/chosen/rejected)'
grep -q '^examples: 76 judged answers to train on (38 prompts' stderr || fail "not both answers of each pair"
same_run kto kto-pairs
quick weighed --data judged.jsonl --loss kto --desirable-weight 0 --undesirable-weight 2
near "$(value weighed validation_loss first)" 0.5 1e-6 "kto, weighed: half of the answers, twice"

# ---- micro-batches ----

# One batch of two rows, whatever the number of pairs in them; sums are rounded in another order.
quick batch --iters 6 --eval-interval 2
quick micro --iters 6 --eval-interval 2 --batch-size 1 --grad-accumulation 2
alike batch micro 1e-4
quick apart --iters 6 --eval-interval 2 --no-packing --batch-size 4
quick apart2 --iters 6 --eval-interval 2 --no-packing --batch-size 1 --grad-accumulation 4 --grad-checkpoint
alike apart apart2 1e-4

# ---- a reference of its own ----

reference() { run "$LINNET" reference --max-seq-length 64 --dtype f32 -q "$@"; }
reference --model base --data pairs.jsonl --out pairs.h5
status 0
for loss in ipo "hinge sft"; do
    # shellcheck disable=SC2086
    for more in "--method lora" "--method full"; do
        quick computed $more --loss $loss
        rm -rf stored
        dpo --model base --data pairs.jsonl --iters 2 --out stored $more --loss $loss --reference pairs.h5
        status 0
        grep -q '^loss .* beta 0.1; reference: pairs.h5$' stderr || fail "does not say where the reference comes from"
        grep '^reference' stderr && fail "a pass of the reference that nothing needs"
        [ ! -e stored/reference.h5 ] || fail "a second reference"
        alike computed stored 1e-5
    done
done
dpo --model base --data pairs.jsonl --out x1 --iters 2 --loss simpo --reference nowhere.h5 -q
status 0
grep -qxF 'linnet: warning: align.reference has no effect: simpo needs no reference' stderr || fail "no warning"
dpo --model base --data pairs.jsonl --out x2 --iters 2 --reference-free --reference nowhere.h5 -q
status 0
grep -qxF 'linnet: warning: align.reference has no effect: --reference-free does without' stderr || fail "no warning"

refused() { # FILE MODEL DATA
    dpo --model "$2" --data "$3" --out x --reference "$1" -q
    status 1
    [ ! -e x ] || fail "a refused run left a directory"
}
refused nowhere.h5 base pairs.jsonl
err 'linnet: error: nowhere.h5: No such file or directory'
refused pairs.jsonl base pairs.jsonl
err 'linnet: error: pairs.jsonl: not an HDF5 file'
refused run/checkpoints/last.h5 base pairs.jsonl
err 'linnet: error: run/checkpoints/last.h5: has the format "linnet-checkpoint-1", "linnet-reference-1" is needed'
{ head -n 30 pairs.jsonl && echo '{"prompt": "New", "chosen": " one", "rejected": " two"}' && head -n 1 pairs.jsonl; } >other.jsonl
refused pairs.h5 base other.jsonl
err 'linnet: error: 2 of 64 answers are not in pairs.h5 (the first: other.jsonl:31); make a file of these data, with the same chat template and length, with linnet reference'
cp -r base another
sed -i 's/<|im_end|>/<|im_fin|>/g' another/tokenizer.json another/tokenizer_config.json
refused pairs.h5 another pairs.jsonl
grep -q '^linnet: error: pairs.h5: made with another tokenizer: base (model ' stderr || fail "another tokenizer is not named"
refused pairs.h5 full pairs.jsonl
grep -q '^linnet: error: pairs.h5: made with another model: base (model ' stderr || fail "another model is not named"
size=$(wc -c <pairs.h5)
at=0
while [ $((at += 700)) -lt "$size" ]; do # wherever it is damaged, the run is as with the whole file, or does not begin
    cp pairs.h5 damaged.h5
    printf '\245\132\245\132' | dd of=damaged.h5 bs=1 seek=$at conv=notrunc 2>/dev/null
    rm -rf x
    dpo --model base --data pairs.jsonl --out x --iters 2 --method full --loss hinge sft --reference damaged.h5 -q
    case $got in
    0) same_run x stored ;;
    1)
        grep -q '^linnet: error: damaged.h5: ' stderr || fail "the damaged file is not named"
        [ ! -e x ] || fail "a refused run left a directory"
        refusals=x${refusals:-}
        ;;
    *) fail "damaged at $at" ;;
    esac
done
[ ${#refusals} -gt 1 ] || fail "no damage was noticed"
rm -rf x

# ---- rows that are none ----

cat >bad.jsonl <<'JSONL'
{"prompt": "Say", "chosen": " yes", "rejected": " no"}
{"prompt": "Say", "chosen": " no", "rejected": " no"}
{"prompt": "Say", "chosen": " ", "rejected": " no"}
{"prompt": "Tell", "chosen": " yes", "rejected": " no"}
{"prompt": "Say", "completion": " well", "label": true}
{"prompt": "Say", "completion": " well"}
{"chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "Ho"}, {"role": "assistant", "content": "b"}]}
JSONL
reason_2='the chosen and the rejected answer are the same'
reason_3='the answer in "chosen" is empty'
reason_5='is one answer with a label, and not "chosen" and "rejected": --loss kto takes it'
reason_6='is no preference: "chosen" and "rejected" are wanted, and this is prompt/completion'
reason_7='"chosen" and "rejected" share no message that could be the prompt'
dpo --model base --data bad.jsonl --out x
failure "bad.jsonl:2: $reason_2"
for n in 2 3 5 6 7; do
    sed -n "${n}p" bad.jsonl >one.jsonl
    dpo --model base --data one.jsonl --out x
    eval "failure \"one.jsonl:1: \$reason_$n\""
done
for how in skip report; do # of few rows the reasons are said either way
    rm -rf left
    dpo --model base --data bad.jsonl --on-bad-row $how --out left --iters 10 --probe none
    status 0
    grep '^linnet: warning' stderr >warnings
    exactly warnings "linnet: warning: left out bad.jsonl:2: $reason_2
linnet: warning: left out bad.jsonl:3: $reason_3
linnet: warning: left out bad.jsonl:5: $reason_5
linnet: warning: left out bad.jsonl:6: $reason_6
linnet: warning: left out bad.jsonl:7: $reason_7"
    err_has 'data: 7 rows in 1 file (2 prompt/chosen/rejected); 5 bad left out'
    grep -q '^examples: 1 pair to train on (1 prompt, .*)$' stderr || fail "not one pair"
done
i=0
while [ $((i += 1)) -le 60 ]; do sed -n 2p bad.jsonl; done >same.jsonl
head -n 5 pairs.jsonl >>same.jsonl
for how in skip report; do
    rm -rf left
    dpo --model base --data same.jsonl --on-bad-row $how --out left --iters 10 --probe none -q
    status 0
    grep -c '^linnet: warning: left out same.jsonl:' stderr >count.$how
done
exactly count.report 60
[ "$(cat count.skip)" -lt 20 ] || fail "says every bad row"
dpo --model base --data judged.jsonl --out x
failure "judged.jsonl:1: $reason_5"
dpo --model base --data bad.jsonl --loss kto --out x
failure "bad.jsonl:2: $reason_2"
sed -n 6p bad.jsonl >unlabelled.jsonl
dpo --model base --data unlabelled.jsonl --loss kto --out x
failure 'unlabelled.jsonl:1: has no "label": true or false, whether this answer is wanted'
echo '{"prompt": "Say", "completion": " well", "label": "yes"}' >label.jsonl
dpo --model base --data label.jsonl --loss kto --out x
failure 'label.jsonl:1: "label" must be true or false'
echo '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}' >sft.jsonl
dpo --model base --data sft.jsonl --chat-template chatml --out x
failure 'sft.jsonl:1: is no preference: "chosen" and "rejected" are wanted, and this is messages'

# prompts that are too long
{ head -n 20 pairs.jsonl && echo "{\"prompt\": \"$(printf 'And %s, ' 11 12 13 14 15 16 17 18 19)what?\", \"chosen\": \" It is so.\", \"rejected\": \" It is not.\"}"; } >long.jsonl
long() { dpo --max-seq-length 40 --iters 10 --probe none --model base --data long.jsonl "$@"; }
long --out dropped
status 0
err_has 'data: 21 rows in 1 file (21 prompt/chosen/rejected); 1 answers or pairs of more than 40 tokens dropped'
grep -q '^examples: 19 pairs to train on' stderr || fail "not dropped"
long --out truncated --over-long truncate
status 0
err_has 'data: 21 rows in 1 file (21 prompt/chosen/rejected); 1 truncated to 40 tokens'
grep -q '^examples: 20 pairs to train on .* longest 40; ' stderr || fail "not truncated"
long --out x --over-long error
status 1
grep -q '^linnet: error: long.jsonl:21: [0-9]* tokens with both answers, and at most 40 are allowed; --over-long drop or truncate goes on without$' stderr ||
    fail "says something else"
long --out x --max-seq-length 9
failure 'nothing to train on: of 21 rows 0 are bad, 21 longer than 9 tokens, 0 not wanted (label false)'

# ---- settings ----

d() { run "$LINNET" dpo -q "$@"; }
d --data pairs.jsonl --out x
usage_error 'dpo ' 'missing --model PATH: the model to train further: a GGUF file, a Hugging Face directory, or a run directory'
d --model base --data pairs.jsonl
usage_error 'dpo ' 'missing --out DIR: run directory to make'
d --model base --out x
status 2
grep -q '^linnet: error: missing --data PATH' stderr || fail "says something else"
d --model base --data nowhere.jsonl --out x
failure 'nowhere.jsonl: No such file or directory'
d --model base --data pairs.jsonl --out run
usage_error 'dpo ' 'run already holds a run; continue it with --resume, or choose another --out'
d --resume --out x
usage_error 'dpo ' 'x holds no checkpoint to resume from; without --resume the run begins'
d --model run --data pairs.jsonl --out x
status 2
grep -q 'what trained here is an adapter, not a model: linnet merge makes a model' stderr || fail "says something else"
refuses() { # MESSAGE FLAGS...
    message=$1
    shift
    d --model base --data pairs.jsonl --out x "$@"
    usage_error 'dpo ' "$message"
}
refuses '--loss: there is no loss "sigmod"; did you mean sigmoid? There are sigmoid, hinge, ipo, robust, sigmoid_norm, exo_pair, nca_pair, sppo_hard, apo_zero, apo_down, simpo, cpo, orpo, sft, kto' --loss sigmod
refuses '--loss: sigmoid is named twice; name it once, with both weights'"'"' sum' --loss sigmoid sigmoid
refuses '--loss: 5 losses are named; expected 1 to 4' --loss sigmoid sft ipo hinge robust
refuses '--loss-weights: 1 for 2 losses; give one for each' --loss sigmoid sft --loss-weights 1
refuses 'the weight of sft: --loss-weights 0: expected a number above 0' --loss sigmoid sft --loss-weights 1 0
refuses '--loss: sigmoid and kto do not go together: one learns from pairs of answers, the other from single ones; take one of them' --loss sigmoid kto
refuses '--label-smoothing: expected a number from 0 to 0.499, found "0.6"' --label-smoothing 0.6
refuses '--label-smoothing 0.1 changes nothing with --loss hinge: leave it out, or take sigmoid or robust' --loss hinge --label-smoothing 0.1
refuses '--simpo-gamma 1 changes nothing with --loss sigmoid: leave it out, or take simpo' --simpo-gamma 1
refuses '--cpo-alpha 2 changes nothing with --loss ipo: leave it out, or take cpo' --loss ipo --cpo-alpha 2
refuses '--desirable-weight 2 changes nothing with --loss sigmoid: leave it out, or take kto' --desirable-weight 2
refuses '--desirable-weight 0 and --undesirable-weight 0: then nothing is learned; leave one out' --loss kto --desirable-weight 0 --undesirable-weight 0
refuses '--reference-free changes nothing with --loss orpo, which has no reference: leave it out' --loss orpo --reference-free
refuses 'dataset.loss all: a prompt is no answer, and nothing is to be learned of it; take completions or last-turn' --set dataset.loss=all
refuses '--max-seq-length 129 is more than the 128 tokens the model was made for' --max-seq-length 129
[ ! -e x ] || fail "a directory of a run that never began"

# ---- the plan ----

for more in "" "--method full" "--loss kto"; do
    # shellcheck disable=SC2086
    run "$LINNET" dpo --model base --data pairs.jsonl --out x --plan $more
    status 0
    for line in parameters memory 'estimated time'; do
        grep -q "^$line" stdout || fail "no $line in the plan"
    done
done
[ ! -e x ] || fail "a plan trains"
