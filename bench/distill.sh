#!/bin/sh
# What a student learns from text alone, from a dump of the 64 likeliest tokens, and from all of them; and a pruned student
# beside one from scratch. Takes about an hour on two cores. Prints a table of held-out cross-entropies.
# usage: LINNET=build/linnet bench/distill.sh DATA OUT      DATA: a folder with war-and-peace.txt and wiki2-valid.txt
set -eu
: "${LINNET:=build/linnet}"
data=${1:?usage: bench/distill.sh DATA OUT} out=${2:?usage: bench/distill.sh DATA OUT}
here=$(dirname "$0")/../configs
mkdir -p "$out"
. "$(dirname "$0")/lib.inc"
head -c 3042234 "$data/war-and-peace.txt" >"$out/train.txt"
tail -c +3042235 "$data/war-and-peace.txt" >"$out/held-out.txt"

capture() { make "$1" "$LINNET" teacher --model "$out/teacher" --data "$out/$2" --max-seq-length 256 $3; }
student() { # name, dump, flags
    name=$1 dump=$2
    shift 2
    make "$name" "$LINNET" distill -c "$here/distill-student.yaml" --teacher "$out/$dump" \
        --validation-teacher "$out/held" "$@"
}
measure() { # name of a run, measure
    sed -n "s/.*\"final_validation_loss\".*\"validation_$2\": \([0-9.]*\).*/\1/p" "$out/$1/metrics.jsonl" | tail -n 1
}

make teacher "$LINNET" pretrain -c "$here/distill-teacher.yaml" --data "$out/train.txt" "$data/wiki2-valid.txt" \
    --validation-data "$out/held-out.txt"
capture held held-out.txt ""
capture top64 train.txt ""
capture dense train.txt --dense

echo "seed  text    top-64  dense   (cross-entropy of held-out text, nats)"
for seed in 1 2 3; do
    student "text-$seed" top64 --alpha 0 --seed $seed
    student "top64-$seed" top64 --seed $seed
    student "dense-$seed" dense --seed $seed
    printf '%-5s' $seed
    for kind in text top64 dense; do printf ' %.4f ' "$(measure $kind-$seed cross_entropy)"; done
    echo
done

make pruned "$LINNET" prune --model "$out/teacher" --data "$out/train.txt" --layers 3 --intermediate-size 352
shape="--set model.hidden_size=256 --set model.num_hidden_layers=3 --set model.num_attention_heads=8 --set model.num_key_value_heads=4"
student healed top64 --model "$out/pruned" --method full --learning-rate 1e-3 --epochs 1
# shellcheck disable=SC2086
student scratch top64 $shape --epochs 1
printf 'pruned and healed %.4f, from scratch %.4f\n' "$(measure healed cross_entropy)" "$(measure scratch cross_entropy)"
