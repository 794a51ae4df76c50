#!/bin/sh
# Training speed, linnet and PyTorch side by side on this machine: for each shape the tokens per second
# of the fastest step and the peak memory. PyTorch is Debian's python3-torch; without it only
# linnet is measured. Close everything else first; figures of two machines cannot be compared.
# usage: LINNET=build/linnet bench/run.sh [SHAPE...]     (15m 29m 100m 124m; all by default)
set -eu
: "${LINNET:=build/linnet}"
out=build/bench
mkdir -p "$out"
[ $# = 0 ] && set -- 15m 29m 100m 124m

python=/usr/bin/python3
torch=no
if "$python" -c 'import torch' 2>/dev/null; then
    torch=yes
    # Its default, the pthread build of OpenBLAS, halves its f32 speed: give it its best.
    for blas in /usr/lib/*/openblas-openmp; do
        [ -d "$blas" ] && export LD_LIBRARY_PATH="$blas"
    done
else
    echo "PyTorch is not installed (python3-torch); measuring linnet alone"
fi

# --dtype is offered where training can use bf16 products.
dtypes="f32 bf16"
"$LINNET" pretrain --help | grep -q -- '--dtype' || dtypes=f32

corpus=$out/corpus.jsonl
[ -s "$corpus" ] || "$LINNET" data synth --out "$corpus" --size 8M --seed 1

# Prints "tokens-per-second MB" of a run: the fastest step from its metrics, the peak from the kernel.
linnet_speed() {
    run=$out/run-$1-$2
    rm -rf "$run"
    "$LINNET" pretrain -c "configs/bench-$1.yaml" --data "$corpus" --out "$run" $3 \
        >"$run.log" 2>&1 || { tail -5 "$run.log" >&2; return 1; }
    awk '
        match($0, /"tokens_per_s": [0-9.e+]+/) {
            x = substr($0, RSTART + 16, RLENGTH - 16) + 0
            if (x > best) best = x
        }
        match($0, /"resident_mb": [0-9.e+]+/) {
            m = substr($0, RSTART + 15, RLENGTH - 15) + 0
            if (m > peak) peak = m
        }
        END { printf "%.0f %.0f\n", best, peak }' "$run/metrics.jsonl"
}

printf '%-6s %-5s %14s %10s %14s %10s %7s\n' shape dtype linnet MB PyTorch MB ratio
for shape in "$@"; do
    for dtype in $dtypes; do
        flags=""
        [ "$dtypes" = f32 ] || flags="--dtype $dtype"
        ours=$(linnet_speed "$shape" "$dtype" "$flags")
        theirs="- -"
        [ $torch = yes ] && theirs=$("$python" bench/torch_train.py "configs/bench-$shape.yaml" $dtype)
        echo "$shape $dtype $ours $theirs" | awk '{
            printf "%-6s %-5s %8s tok/s %10s %8s tok/s %10s %7s\n", $1, $2, $3, $4, $5, $6,
                ($5 > 0 ? sprintf("%.2f", $3 / $5) : "-") }'
    done
done
