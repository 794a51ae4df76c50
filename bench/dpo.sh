#!/bin/sh
# What preferences do to models of a few million parameters. `arithmetic`: made-up questions whose answers can be checked, from
# pretraining to pairs of the model's own answers; the share that is right after each stage. `solutions`: right against wrong
# solutions of grade-school mathematics; held-out reward accuracies. About half an hour each on two cores. Needs jq.
# usage: LINNET=build/linnet bench/dpo.sh arithmetic OUT
#        LINNET=build/linnet bench/dpo.sh solutions OUT DATA     DATA: a folder with gsm8k-train.jsonl, gsm8k-test.jsonl,
#                                  gsm8k-solutions.jsonl, war-and-peace.txt and wiki2-valid.txt
set -eu
: "${LINNET:=build/linnet}"
what=${1:?usage: bench/dpo.sh arithmetic|solutions OUT [DATA]} out=${2:?usage: bench/dpo.sh arithmetic|solutions OUT [DATA]}
configs=$(dirname "$0")/../configs
command -v jq >/dev/null || { echo "bench/dpo.sh: jq is needed (apt-get install jq)" >&2; exit 1; }
mkdir -p "$out"
. "$(dirname "$0")/lib.inc"

# --- questions whose answers can be checked ---

# questions NAME FLAGS...: as the corpus asks them, with the reference, and as a pattern for models that go on writing
questions() {
    name=$1
    shift
    make "$name-raw.jsonl" "$LINNET" data synth --kind arithmetic "$@"
    jq -c '{prompt: "Question: \(.question)\nAnswer:", completion: " \(.answer)", answer, pattern: "^ \(.answer)$"}' \
        "$out/$name-raw.jsonl" >"$out/$name.jsonl"
}
right() { # model, file, flags
    model=$1 file=$2
    shift 2
    "$LINNET" eval answers --model "$out/$model" --data "$out/$file.jsonl" --chat-template none -n 12 -q "$@" | head -n 1
}
stage() { printf '%-28s new %s\n%-28s held out %s\n' "$1" "$(right "$2" new "$3")" "" "$(right "$2" held-out "$3")"; }

arithmetic() {
    make corpus.jsonl "$LINNET" data synth --size 20M
    make base "$LINNET" pretrain -c "$configs/quickstart.yaml" --data "$out/corpus.jsonl"
    questions taught --count 20000 --seed 11
    questions asked --count 10000 --seed 12
    questions later --count 8000 --seed 13
    questions held-out --count 2000 --split held-out
    # of the later ones those that were neither taught nor asked, once each
    jq -c -n --slurpfile taught "$out/taught.jsonl" --slurpfile asked "$out/asked.jsonl" --slurpfile later "$out/later.jsonl" \
        '($taught + $asked | map({key: .prompt, value: 1}) | from_entries) as $seen
         | reduce ($later[] | select($seen[.prompt] | not)) as $row ({}; .[$row.prompt] //= $row) | .[]' >"$out/new.jsonl"
    common="--chat-template none --method full --max-seq-length 256 --probe none"
    # shellcheck disable=SC2086
    make sft "$LINNET" sft --model "$out/base" --data "$out/taught.jsonl" --validation-data "$out/held-out.jsonl" $common \
        --learning-rate 1e-3 --epochs 6 --batch-size 16 --eval-interval 200
    make samples.jsonl "$LINNET" sample --model "$out/sft" --data "$out/asked.jsonl" --chat-template none -n 12 --answers 8 \
        --temperature 1 --top-p 1 --at-once 64
    make pairs.jsonl "$LINNET" data pairs --data "$out/samples.jsonl"
    stage "pretrained" base --check=regex
    stage "after sft" sft --check=exact
    tune() { # name, rate, epochs, seed, losses
        name=$1 rate=$2 epochs=$3 seed=$4
        shift 4
        # shellcheck disable=SC2086
        make "$name" "$LINNET" dpo --model "$out/sft" --data "$out/pairs.jsonl" $common --loss "$@" --learning-rate "$rate" \
            --epochs "$epochs" --seed "$seed" --eval-interval 1000
        stage "$name" "$name" --check=exact
    }
    for seed in 1 2 3; do
        tune "both-$seed" 1e-4 3 "$seed" sigmoid sft
        tune "imitation-$seed" 1e-4 3 "$seed" sft
    done
    tune contrast-1 3e-5 1 1 sigmoid
}

# --- right against wrong solutions ---

solutions() {
    data=${1:?usage: bench/dpo.sh solutions OUT DATA}
    jq -c '. as $row | [to_entries[] | select(.value | type == "object") | .value
            | {right: .is_correct, text: (.solution | sub("\nA: "; "\n#### "))}] | unique_by(.text) as $all
        | $all[] | select(.right) as $good | $all[] | select(.right | not)
        | {prompt: $row.question, chosen: $good.text, rejected: .text}' "$data/gsm8k-solutions.jsonl" >"$out/pairs.jsonl"
    make base "$LINNET" pretrain -c "$configs/war-and-peace.yaml" --data "$data/war-and-peace.txt" "$data/wiki2-valid.txt"
    make sft "$LINNET" sft -c "$configs/gsm8k-full.yaml" --model "$out/base" --data "$data/gsm8k-train.jsonl" \
        --validation-data "$data/gsm8k-test.jsonl"
    for seed in 1 2 3; do
        make "dpo-$seed" "$LINNET" dpo --model "$out/sft" --data "$out/pairs.jsonl" --chat-template plain --method full \
            --learning-rate 3e-5 --batch-size 4 --validation-fraction 0.25 --seed $seed
        grep 'held out\|all held-out data' "$out/dpo-$seed.log"
    done
}

shift 2
"$what" "$@"
