#!/bin/sh
# Speed of running a 3B model (random weights, Llama 3.2's shape with a vocabulary of 32,000), linnet and llama.cpp in
# turns on this machine: a prompt of 256 tokens, then 64 tokens one by one, the fastest of ROUNDS runs of each; peak
# memory at a context of 4096; and speculation with a draft of two of 28 blocks that is always right. llama.cpp is
# node-llama-cpp's prebuilt library as `make interop` installs it; without it linnet is measured alone. Needs 9 GB of disk
# in build/bench. Close everything else first; figures of two machines cannot be compared.
# usage: LINNET=build/linnet ROUNDS=3 bench/infer.sh [TYPE...]     (q4_0 q4_k_m q8_0 by default)
set -eu
: "${LINNET:=build/linnet}" "${ROUNDS:=3}"
[ $# = 0 ] && set -- q4_0 q4_k_m q8_0
out=build/bench
mkdir -p "$out"
linnet=$(realpath "$LINNET")
threads=$(getconf _NPROCESSORS_ONLN)
llama=no
if [ -d build/interop/node_modules/node-llama-cpp ]; then
    llama=yes
    cp bench/llama_infer.mjs build/interop/
fi

make_model() { # NAME TYPE FLAGS...
    file=$out/$1-$2.gguf type=$2
    shift 2
    [ -f "$file" ] || "$LINNET" data synth-model --preset llama-3b --type "$type" --out "$file" --quiet "$@"
}
ours() { "$linnet" bench infer --threads "$threads" --json --quiet "$@" | tr -d ' ,"' | awk -F: '
    $1 == "prefill_tokens_per_s" { p = $2 } $1 == "decode_tokens_per_s" { d = $2 } $1 == "peak_rss_mb" { m = $2 }
    END { printf "%.2f %.2f %.0f\n", p, d, m }'; }
theirs() { (cd build/interop && node llama_infer.mjs "$1" "$threads" 256 64 1); }

printf '%-8s %9s | %9s %9s %6s | %9s %9s %6s\n' type 'file, MB' 'prefill' llama.cpp ratio decoding llama.cpp ratio
for type in "$@"; do
    make_model 3b "$type"
    file=$(realpath "$out/3b-$type.gguf")
    rounds=$ROUNDS
    : >"$out/runs"
    while [ "$rounds" -gt 0 ]; do
        a=$(ours --model "$file")
        b="0 0"
        [ $llama = yes ] && b=$(theirs "$file")
        echo "$a $b" >>"$out/runs"
        rounds=$((rounds - 1))
    done
    awk -v type="$type" -v mb="$(($(stat -c %s "$file") / 1000000))" '
        { if ($1 > p) p = $1; if ($2 > d) d = $2; if ($4 > lp) lp = $4; if ($5 > ld) ld = $5 }
        END { printf "%-8s %9d | %9.1f %9.1f %6s | %9.2f %9.2f %6s\n", type, mb, p, lp, lp ? sprintf("%.2f", p / lp) : "-",
                     d, ld, ld ? sprintf("%.2f", d / ld) : "-" }' "$out/runs"
done

file=$out/3b-$1.gguf
full=$(ours --model "$file" --prompt-tokens 4032 --gen-tokens 63)
echo "peak memory at a context of 4096, $1: ${full##* } MB; the file: $(($(stat -c %s "$file") / 1000000)) MB;" \
    "keys and values: $((28 * 2 * 1024 * 4096 * 2 / 1000000)) MB"

make_model active2 q4_0 --active-blocks 2
make_model blocks2 q4_0 --active-blocks 2 --set model.num_hidden_layers=2
plain=$(ours --model "$out/active2-q4_0.gguf" --prompt-tokens 16)
draft=$(ours --model "$out/active2-q4_0.gguf" --prompt-tokens 16 --draft-model "$out/blocks2-q4_0.gguf")
echo "$plain $draft" | awk '{ printf "speculation, q4_0: %.2f tokens/s without, %.2f with a draft: %.2f\n", $2, $5, $5 / $2 }'
