#!/bin/sh
# Training speed, linnet and PyTorch side by side on this machine: for each shape the tokens per second
# of the fastest step and the peak memory. PyTorch is Debian's python3-torch; without it only
# linnet is measured. Close everything else first; figures of two machines cannot be compared.
# usage: LINNET=build/linnet bench/run.sh [SHAPE...]     (15m 29m 100m 124m; all by default)
set -eu
: "${LINNET:=build/linnet}"
[ $# = 0 ] && set -- 15m 29m 100m 124m

python=/usr/bin/python3
torch=no
if "$python" -c 'import torch' 2>/dev/null; then
    torch=yes
    # Its default, the pthread build of OpenBLAS, halves its f32 speed: give it its best.
    for blas in /usr/lib/*/openblas-openmp; do
        [ -d "$blas" ] && export LD_LIBRARY_PATH="$blas"
    done
    # OpenBLAS chooses by the processor's name and takes one newer than itself for one of 2004.
    if grep -q avx512bw /proc/cpuinfo; then
        export OPENBLAS_CORETYPE=SkylakeX
    elif grep -q avx2 /proc/cpuinfo; then
        export OPENBLAS_CORETYPE=Haswell
    fi
else
    echo "PyTorch is not installed (python3-torch); measuring linnet alone"
fi

# Both with as many threads.
probe=$("$LINNET" bench train -c configs/quickstart.yaml --steps 1 --json)
threads=$(echo "$probe" | sed -n 's/.*"threads": \([0-9]*\).*/\1/p')

# Prints "tokens-per-second MB" of the fastest of five steps, and the peak memory.
linnet_speed() {
    "$LINNET" bench train -c "configs/bench-$1.yaml" --dtype "$2" --steps 5 --json | awk -F'[:,]' '
        /"tokens_per_s"/ { speed = $2 }
        /"peak_rss_mb"/ { peak = $2 }
        END { printf "%.0f %.0f\n", speed, peak }'
}

printf '%-6s %-5s %14s %10s %14s %10s %7s\n' shape dtype linnet MB PyTorch MB ratio
for shape in "$@"; do
    for dtype in f32 bf16; do
        ours=$(linnet_speed "$shape" "$dtype")
        theirs="- -"
        [ $torch = yes ] && theirs=$("$python" bench/torch_train.py "configs/bench-$shape.yaml" $dtype "$threads")
        echo "$shape $dtype $ours $theirs" | awk '{
            printf "%-6s %-5s %8s tok/s %10s %8s tok/s %10s %7s\n", $1, $2, $3, $4, $5, $6,
                ($5 > 0 ? sprintf("%.2f", $3 / $5) : "-") }'
    done
done
