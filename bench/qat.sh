#!/bin/sh
# What quantisation costs a small model, and what each way against it gives back: rounding to nearest, with an importance
# matrix, with errors compensated for, and training with the rounded weights for a tenth of the pretraining's steps, beside as
# many steps without. Three seeds, one type for every matrix. Some six hours on two cores; prints a table of held-out
# cross-entropies (nats a token).
# usage: LINNET=build/linnet bench/qat.sh DATA OUT [SEED...]    DATA: a folder with war-and-peace.txt, wiki2-valid.txt, shakespeare.txt
set -eu
: "${LINNET:=build/linnet}"
usage="usage: bench/qat.sh DATA OUT [SEED...]"
data=${1:?$usage} out=${2:?$usage}
shift 2
[ $# -gt 0 ] || set -- 1 2 3
config=$(dirname "$0")/../configs/qat-base.yaml
mkdir -p "$out/text"
. "$(dirname "$0")/lib.inc"

# The end of each text is held out.
cut_text() { # name, bytes to train on
    head -c "$2" "$data/$1" >"$out/text/$1"
    tail -c "+$(($2 + 1))" "$data/$1" >>"$out/text/held.txt"
}
: >"$out/text/held.txt"
cut_text war-and-peace.txt 3074215
cut_text wiki2-valid.txt 1076442
cut_text shakespeare.txt 1070773
{
    head -c 300000 "$out/text/war-and-peace.txt"
    tail -c 150000 "$out/text/wiki2-valid.txt"
    tail -c 150000 "$out/text/shakespeare.txt"
} >"$out/text/calibration.txt"
train="$out/text/war-and-peace.txt $out/text/wiki2-valid.txt $out/text/shakespeare.txt"
held=$out/text/held.txt calibration=$out/text/calibration.txt

further() { # name, flags: a tenth of the base's steps, the base being the teacher
    name=$1
    shift
    # shellcheck disable=SC2086
    make "$name" "$LINNET" distill --teacher "$out/base-$seed" --model "$out/base-$seed" --method full --data $train \
        --validation-data "$held" --over-long split --max-seq-length 256 --batch-size 16 --iters 150 --learning-rate 5e-4 \
        --probe none --dtype f32 --eval-interval 15 --eval-iters 8 --checkpoint-interval 150 --seed "$seed" "$@"
}
loss() { # model
    "$LINNET" eval ppl --model "$1" --data "$held" --exact 2>/dev/null | sed -n 's/^nats per token *//p'
}

for seed; do
    # shellcheck disable=SC2086
    make "base-$seed" "$LINNET" pretrain -c "$config" --data $train --validation-data "$held" --seed "$seed"
    base=$out/base-$seed
    make "imatrix-$seed" "$LINNET" imatrix --model "$base" --data "$calibration" --process-output --force
    further "longer-$seed"
    echo "seed $seed: f32 $(loss "$base"), trained on without rounding $(loss "$out/longer-$seed/checkpoints/last.h5")"
    echo "        nearest  importance  compensated  trained on, then nearest  trained for it"
    for type in Q4_0 Q3_K Q2_K; do
        quantize() { # name, model, flags
            name=$1 model=$2
            shift 2
            make "$name-$type-$seed.gguf" "$LINNET" quantize --model "$model" --type $type --pure --force "$@"
        }
        quantize nearest "$base"
        quantize importance "$base" --imatrix "$out/imatrix-$seed"
        quantize compensated "$base" --calibration "$calibration"
        quantize later "$out/longer-$seed/checkpoints/last.h5"
        if [ $type = Q4_0 ]; then
            further "qat-$type-$seed" --qat $type --qat-pure
        else
            further "qat-$type-$seed" --qat $type --qat-pure --qat-imatrix "$out/imatrix-$seed" --qat-scale-interval 0
        fi
        printf '%-7s' $type
        for name in nearest importance compensated later; do printf ' %s  ' "$(loss "$out/$name-$type-$seed.gguf")"; done
        loss "$out/qat-$type-$seed/checkpoints/last.h5"
    done
done
