#!/bin/sh
# From nothing to a model that llama.cpp and Ollama load, in the four commands a user would type.
# usage: LINNET=build/linnet tools/quickstart.sh     from the repository root
set -eu
: "${LINNET:=build/linnet}"
dir=runs/quickstart
corpus=runs/quickstart-corpus.jsonl

# What is typed is shown as `linnet`, wherever the binary lies.
linnet() {
    shown=""
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./=:-]*) shown="$shown \"$word\"" ;;
        *) shown="$shown $word" ;;
        esac
    done
    printf '\n$ linnet%s\n' "$shown"
    "$LINNET" "$@"
}

mkdir -p runs
if [ -e "$dir" ]; then
    n=2
    while [ -e "$dir-$n" ]; do n=$((n + 1)); done
    dir=$dir-$n
    echo "runs/quickstart is there from an earlier run and stays; this one goes to $dir"
fi
linnet data synth --out "$corpus" --size 20M --seed 1
linnet pretrain -c configs/quickstart.yaml --data "$corpus" --out "$dir"
linnet export --model "$dir" --format gguf --dtype f16 --out "$dir/model.gguf"
linnet generate --model "$dir/model.gguf" --prompt "Once upon a time" --max-tokens 150 --seed 1

cat <<END

The model is in $dir: metrics.jsonl has the loss curve, model.gguf the file that
llama.cpp, Ollama and LM Studio load. To go on talking to it:

  linnet generate --model $dir/model.gguf --prompt "Question:"
END
