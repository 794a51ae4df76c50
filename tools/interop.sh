#!/bin/sh
# Holds linnet's tokenizers, model files and server against the real clients: Hugging Face's tokenizers,
# llama.cpp (node-llama-cpp's prebuilt library), OpenAI's client and a browser. Needs node 20, npm and, the first time, a network.
# usage: LINNET=build/linnet tools/interop.sh [GROUP...]     from the repository root
# The checks are in groups, of which two run at a time (INTEROP_JOBS) and none needs what another makes; the lines
# of each come out together, in the order of the groups. With names of groups, only those.
set -u
: "${LINNET:=build/linnet}"
shared=${LINNET_SHARED:-../shared}
out=build/interop
corpus=$out/corpus.jsonl
mkdir -p "$out"
# Many short runs of tiny models: threads that wait by spinning would only be in each other's way.
export OMP_WAIT_POLICY=passive

node_version=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$node_version" -lt 20 ] || ! command -v npm >/dev/null 2>&1; then
    if [ "${CI:-}" = true ]; then
        echo "interop: needs node 20 or later, and npm" >&2
        exit 1
    fi
    echo "skipped: needs node 20 or later, and npm"
    exit 0
fi

# The prebuilt libraries for other processors and for GPUs (optional packages) are left out; the one
# for this machine is named.
install_clients() {
    if [ -d "$out/node_modules/node-llama-cpp" ] &&
        cmp -s tests/interop/package.json "$out/package.installed.json"; then
        return 0
    fi
    case $(uname -m) in
    x86_64) machine=linux-x64 ;;
    aarch64) machine=linux-arm64 ;;
    *) echo "interop: no prebuilt llama.cpp for $(uname -m)" >&2; return 1 ;;
    esac
    version=$(sed -n 's/.*"node-llama-cpp": "\(.*\)".*/\1/p' tests/interop/package.json)
    cp tests/interop/package.json "$out/package.json"
    rm -rf "$out/node_modules" "$out/package-lock.json"
    echo "Installing the clients into $out"
    (cd "$out" && npm install --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error \
        "@node-llama-cpp/$machine@$version") >"$out/npm.log" 2>&1 ||
        { cat "$out/npm.log" >&2; return 1; }
    cp tests/interop/package.json "$out/package.installed.json"
}

# check NAME COMMAND...: one line when it succeeds (with the command's last), all of it when not
check() {
    title=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        printf '  ok    %-34s %s\n' "$title" "$(tail -n 1 "$work/log" | cut -c 1-100)"
    else
        printf '  FAIL  %-34s %s\n' "$title" "$*"
        tail -n 40 "$work/log" | sed 's/^/        /'
        return 1
    fi
}
# failed_to TITLE: what wrote the log has failed.
failed_to() {
    cp "$work/log" "$work/why"
    check "$1" sh -c "cat '$work/why'; false"
}
skip() {
    echo "  skipped: $1"
}
# differs COMMAND...: succeeds when the comparison says that the two differ
differs() {
    "$@"
    [ $? = 1 ]
}

compare="node $out/compare.mjs"

# The comparison itself first: llama.cpp against llama.cpp agrees, and each kind of fault is seen.
try_the_judge() {
    posing="node $out/posing.mjs"
    check "judge: agrees with itself" $compare "$posing" "$1" --quick || return
    for fault in tokens probability greedy; do
        check "judge: sees wrong $fault" differs env POSING_FAULT=$fault \
            $compare "$posing" "$1" --quick
    done
}

# The ids of every line of a text, and the text from the ids.
same_ids() {
    "$LINNET" tokenizer encode --tokenizer "$1" --file "$2" >"$work/ids" &&
        node "$out/tokenizer.mjs" encode "$1" "$work/ids" "$2"
}

# same_merges SPLITTER TEXT: every merge, learnt from the same lines of a .jsonl of ours or of plain text.
# Their trainer makes up to 30,000 tokens and fewer where the text has no more pairs; it says how many,
# and ours is then asked for as many.
same_merges() {
    lines=$work/lines.txt
    node -e '
        const fs = require("fs");
        let texts = [fs.readFileSync(process.argv[1], "utf8").replace(/\n$/, "")];
        if (process.argv[1].endsWith(".jsonl")) texts = texts[0].split("\n").map((t) => JSON.parse(t).text);
        const lines = texts.flatMap((t) => t.split("\n")).map((t) => t + "\n");
        fs.writeFileSync(process.argv[2], lines.join(""));
        fs.writeFileSync(process.argv[3], lines.map((t) => JSON.stringify({text: t}) + "\n").join(""));
        ' "$2" "$lines" "$work/lines.jsonl" || return 1
    size=30000
    for attempt in first second; do
        "$LINNET" tokenizer train --data "$work/lines.jsonl" --vocab-size $size --min-frequency 0 \
            --splitter "$1" --out "$work/merges.json" || return 1
        node "$out/tokenizer.mjs" train "$work/merges.json" "$lines" >"$work/merges.log" 2>&1 && break
        size=$(sed -n 's/.*train with vocab_size \([0-9]*\).*/\1/p' "$work/merges.log")
        [ $attempt = first ] && [ -n "$size" ] || break
    done
    cat "$work/merges.log"
    grep -q 'merges are the same' "$work/merges.log"
}

# Text from a trained model: exactly what llama.cpp continues with.
continues() {
    model=$1 wanted=$2 n=$3
    "$LINNET" generate --model "$model" --prompt "Once upon a time" --temperature 0 \
        --max-tokens "$n" --json >"$work/text.json" || return 1
    got=$(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")).text' \
        "$work/text.json") || return 1
    case $got in
    "$wanted"*) echo "$n tokens" ;;
    *) printf 'got    %s\nwanted %s\n' "$got" "$wanted"; return 1 ;;
    esac
}

golden() {
    lily=", there was a little girl named Lily. She loved to play outside in the"
    check "stories260K: text" continues "$1/stories260K-f32.gguf" \
        "$lily park. One day, she saw a big, red ball. She wanted to play with it, but it was too high." 90
    check "babyllama f32: text" continues "$1/babyllama-f32.gguf" "$lily sunshine." 100
    check "stories260K: llama.cpp" $compare "$LINNET" "$1/stories260K-f32.gguf"
    check "random256 f32: llama.cpp" $compare "$LINNET" "$1/random256-f32.gguf"
    for type in BF16 Q6_K Q4_K_M; do
        rounded "random256 $type" $type "$1/random256-$type.gguf"
    done
}

# llama.cpp rounds activations to the type of the weights it multiplies them with, to 8 bits for
# quantised ones. Measured against f64 on stories260K, its probabilities are off by 2e-6 for f32 weights
# (relatively 4e-6), 5e-4 (6e-3) for f16 and 5e-3 (4e-2) for bf16, and by more on other models.
tolerance() {
    case $1 in
    f16) echo "--absolute 4e-3 --relative 4e-2" ;;
    bf16) echo "--absolute 4e-2 --relative 3e-1" ;;
    BF16) echo "--absolute 1e-3 --relative 5e-2" ;;      # an untrained model: flat distributions
    Q*) echo "--absolute 4e-3 --relative 3e-1" ;;
    quantised) echo "--absolute 4e-2 --relative 3e-1" ;; # a trained one
    esac
}

# rounded NAME TYPE MODEL.gguf: a file of rounded weights against llama.cpp, twice: as it is, to within
# llama.cpp's own rounding; and written out in f32, where nothing is rounded, to within f32's.
rounded() {
    check "$1: llama.cpp" $compare "$LINNET" "$3" $(tolerance "$2")
    widened=$work/widened.gguf
    rm -f "$widened"
    check "$1: widen" "$LINNET" export --model "$3" --format gguf --dtype f32 --out "$widened" &&
        check "$1: widened" $compare "$LINNET" "$widened" --model "$3" --exact
}

# trained_model NAME SPLITTER [--set KEY=VALUE]...: a model of some 200 steps, exported in three types
trained_model() {
    name=$1 splitter=$2
    shift 2
    run=$work/run-$name
    rm -rf "$run"
    check "$name: pretrain" "$LINNET" pretrain -c configs/interop.yaml --data "$corpus" \
        --out "$run" --set "tokenizer.splitter=$splitter" "$@" || return
    for dtype in f32 f16 bf16; do
        gguf=$work/$name-$dtype.gguf
        rm -f "$gguf"
        check "$name $dtype: export" "$LINNET" export --model "$run" --format gguf \
            --dtype $dtype --out "$gguf" || return
        if [ $dtype = f32 ]; then
            check "$name f32: llama.cpp" $compare "$LINNET" "$gguf"
        else
            rounded "$name $dtype" $dtype "$gguf"
        fi
    done
    check "$name: run against f32 GGUF" $compare "$LINNET" "$work/$name-f32.gguf" --model "$run"
}

# A random model of every family, in f32 and with all its features: whole distributions, also beyond the
# window and beyond the context before its rotary scaling. llama.cpp computes GELU through a table of f16
# (docs/results.md), Mistral without its window, and Phi-3.5-MoE otherwise than it was trained.
families() {
    distributions="node $out/distributions.mjs"
    for family in $(build/tests/interop/random_model list); do
        case $family in
        *-window | phimoe) continue ;;
        gemma*) bound=1e-2 ;;
        *) bound=1e-3 ;;
        esac
        check "family $family" sh -c "build/tests/interop/random_model $family $out/families.json \
            $work/family.gguf $work/family-hf && node $out/distributions.mjs $LINNET $work/family.gguf \
            --relative $bound"
        adapted $family $bound
        merged $family $bound
        pruned $family $bound
    done
    check "adapter: the judge misses it" differs $distributions "$LINNET" "$work/family.gguf" \
        --adapter "$work/adapter.gguf" --ours=
    check "merge: the judge misses it" differs $distributions "$LINNET" "$work/merged.gguf" --model "$work/family.gguf"
}

# adapted FAMILY BOUND: a random adapter on all layers of the model in family.gguf, at 0.7 of its strength, for
# llama.cpp as a GGUF file and for linnet as that file and as PEFT's.
adapted() {
    build/tests/interop/random_adapter "$work/family.gguf" "$work/adapter.gguf" "$work/adapter-peft" >"$work/log" 2>&1 ||
        { failed_to "adapter $1: make"; return; }
    for form in adapter.gguf adapter-peft; do
        check "adapter $1: $form" $distributions "$LINNET" "$work/family.gguf" --relative "$2" \
            --adapter "$work/adapter.gguf" --scale 0.7 --ours "$work/$form"
    done
}

# merged FAMILY BOUND: the model in family.gguf with its adapter merged, for llama.cpp one file, for linnet still two;
# and with an adapter of an output layer that was the embedding, where llama.cpp can load that.
merged() {
    rm -f "$work/merged.gguf"
    check "merge $1" "$LINNET" merge --model "$work/family.gguf" --adapter "$work/adapter.gguf=0.7" \
        --out "$work/merged.gguf" -q || return
    check "merge $1: llama.cpp" $distributions "$LINNET" "$work/merged.gguf" --relative "$2" \
        --model "$work/family.gguf" --ours "$work/adapter.gguf" --scale 0.7
    build/tests/interop/random_adapter head "$work/family.gguf" "$work/adapter-head" >"$work/log" 2>&1
    case $? in
    0) ;;
    3) return ;; # it has one of its own
    *) failed_to "merge $1: make"; return ;;
    esac
    case $1 in
    gemma | gemma2 | openelm)
        check "merge $1: no output layer" refused "has no other output layer" "$LINNET" merge --model "$work/family.gguf" \
            --adapter "$work/adapter-head" --out "$work/merged.gguf" --force
        return ;;
    esac
    check "merge $1: output layer" "$LINNET" merge --model "$work/family.gguf" --adapter "$work/adapter-head" \
        --out "$work/merged.gguf" --force -q &&
        check "merge $1: output layer, llama.cpp" $distributions "$LINNET" "$work/merged.gguf" --relative "$2" \
            --model "$work/family.gguf" --ours "$work/adapter-head"
}
# pruned FAMILY BOUND: what is left of the model in family.gguf when a layer, most channels, and half of its heads or more
# went: these stay in OpenELM, and where llama.cpp takes hidden_size for the width of all heads.
pruned() {
    kv="--kv-heads 1"
    case $1 in
    openelm | qwen2 | qwen2-* | phi* | stablelm* | olmo* | qwen2moe) kv= ;;
    esac
    # shellcheck disable=SC2086
    check "prune $1" "$LINNET" prune --model "$work/family.gguf" --data "$corpus" --max-tokens 1024 --max-seq-length 128 \
        --layers 3 --intermediate-size 24 $kv --out "$work/pruned.gguf" --force -q &&
        check "prune $1: llama.cpp" $distributions "$LINNET" "$work/pruned.gguf" --relative "$2"
}
# refused WORDS COMMAND...: fails, and says so
refused() {
    words=$1
    shift
    "$@" 2>"$work/refusal" && return 1
    grep "$words" "$work/refusal"
}

# The server under OpenAI's client, 64 clients at once and a browser; built with AddressSanitizer, which
# looks for leaks when it ends.
serving() {
    model=$1 asan=build/asan
    printf '%s' '{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ "\n" }}{% endfor %}<assistant>' >"$work/template.jinja"
    $asan/linnet serve --model "$model" --port 0 --chat-template "$work/template.jinja" --context 512 --slots 8 \
        --queue 40 --max-body 100k 2>"$work/server.log" &
    server=$!
    for attempt in $(seq 60); do
        url=$(sed -n 's/^serving .* at //p' "$work/server.log")
        [ -n "$url" ] && break
        sleep 1
    done
    check "serve: OpenAI's client" timeout 300 node "$out/serve.mjs" api "$url"
    check "serve: 64 clients" timeout 600 node "$out/serve.mjs" crowd "$url"
    browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
    if [ -n "$browser" ]; then
        check "serve: the page in a browser" timeout 120 node "$out/page.mjs" "$browser" "$url"
    else
        skip "no chromium to open the chat page with"
    fi
    kill $server
    check "serve: ends without leaks" ended $server
}
ended() {
    wait "$1"
    status=$?
    cat "$work/server.log"
    [ $status = 0 ]
}

# made_by_llama MODEL.gguf OURS.gguf [IMATRIX | pure]: every type and every bit of OURS is what llama.cpp's own quantiser
# makes of the model
made_by_llama() {
    llama=$(dirname "$(find -L "$out/node_modules/@node-llama-cpp" -name 'libggml-base.so' | head -n 1)")
    LD_LIBRARY_PATH=$llama build/tests/interop/judge_quantize "$llama" "$@"
}

# same_blocks MODEL.gguf TYPE [IMATRIX]: what linnet quantize makes of a model is what llama.cpp's quantiser does
same_blocks() {
    rm -f "$work/quantised.gguf"
    "$LINNET" quantize --model "$1" --type "$2" ${3:+--imatrix "$3"} --out "$work/quantised.gguf" -q &&
        made_by_llama "$1" "$work/quantised.gguf" ${3:+"$3"}
}

# Our quantiser against llama.cpp's, on models wide enough for every type: dense and tied, with experts, with fused
# q, k and v; and the files of one as llama.cpp runs them.
quantised() {
    for family in llama mixtral phi3; do
        wide=$work/wide-$family
        check "quantised $family: make" build/tests/interop/random_model $family "$out/families.json" "$wide.gguf" \
            "$wide-hf" wide || continue
        check "quantised $family: imatrix" "$LINNET" imatrix --model "$wide.gguf" --data "$corpus" --chunks 8 \
            --out "$wide.imatrix" --force || continue
        for type in Q4_0 Q2_K Q3_K_M Q4_K_S Q4_K_M Q5_K_M IQ4_XS MXFP4; do
            check "quantised $family $type: blocks" same_blocks "$wide.gguf" $type
            check "quantised $family $type: weighted" same_blocks "$wide.gguf" $type "$wide.imatrix"
        done
    done
    run=$work/run-wide
    rm -rf "$run"
    check "quantised trained: pretrain" "$LINNET" pretrain -c configs/interop.yaml --data "$corpus" --out "$run" \
        --set model.hidden_size=256 --set model.intermediate_size=256 --set train.iters=100 &&
        check "quantised trained: export" "$LINNET" export --model "$run" --format gguf --dtype f32 \
            --out "$work/wide.gguf" --force || return
    for type in Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K_L Q4_K_M Q5_K_S Q6_K IQ4_NL IQ4_XS; do
        check "quantised trained $type: blocks" same_blocks "$work/wide.gguf" $type &&
            rounded "quantised trained $type" quantised "$work/quantised.gguf"
    done
}

# Quantisation-aware training: what was trained is what llama.cpp runs. A model in f32, then some steps for each type.
qat() { # TYPE...
    base=$work/base held=$work/held.jsonl
    head -n 300 "$corpus" >"$work/further.jsonl"
    check "qat: held-out text" "$LINNET" data synth --out "$held" --count 7 --split held-out --seed 3 &&
        check "qat: pretrain" "$LINNET" pretrain -c configs/interop.yaml --data "$corpus" --out "$base" \
            --set tokenizer.vocab_size=1000 --set model.hidden_size=256 --set model.intermediate_size=512 \
            --set model.num_hidden_layers=2 --set train.iters=80 --set optim.learning_rate=2e-3 || return
    for type in "$@"; do
        trained_for "$type"
    done
}
have_h5py() {
    $python -c "import h5py" 2>/dev/null
}
# tuned_for TYPE RUN FLAGS...: the base, a few steps further, which are evaluated on the held-out text
tuned_for() {
    type=$1 run=$2
    shift 2
    "$LINNET" sft --model "$base" --data "$work/further.jsonl" --validation-data "$held" --qat "$type" --iters 6 \
        --batch-size 1 --max-seq-length 512 --eval-interval 0 --probe none --out "$run" "$@"
}
perplexity="node $out/perplexity.mjs $LINNET"
# trained_for TYPE: all matrices of it where the mix would have none for lack of experts
trained_for() {
    run=$work/run-$1 gguf=$work/$1.gguf widened=$work/widened.gguf pure=
    [ "$1" != MXFP4 ] || pure=pure
    check "qat $1: train" tuned_for "$1" "$run" --method full --learning-rate 2e-4 ${pure:+--qat-pure} || return
    check "qat $1: export" "$LINNET" export --model "$run" --out "$gguf" || return
    check "qat $1: types" same_types "$gguf" "$1" ${pure:+--pure}
    if have_h5py; then
        check "qat $1: blocks" made_of_weights "$run" "$gguf" $pure
        # Rounding to many bits changes less than the bound.
        [ "$1" != Q2_K ] || check "qat $1: the judge misses it" differs $perplexity "$gguf" "$held" --model "$work/weights"
    else
        skip "no h5py to take the f32 weights trained for $1 out of their checkpoint with"
    fi
    check "qat $1: widen" "$LINNET" export --model "$run" --dtype f32 --out "$widened" --force &&
        check "qat $1: perplexity" $perplexity "$gguf" "$held" --model "$run" --trained "$run" --widened "$widened"
    check "qat $1: llama.cpp" $compare "$LINNET" "$gguf" --model "$run" $(tolerance quantised) --texts 1
}
# An adapter: training evaluated the weights that the merged file has.
adapter_trained_for() {
    run=$work/run-lora gguf=$work/lora.gguf widened=$work/widened.gguf
    check "qat lora $1: train" tuned_for "$1" "$run" --method lora --lora-rank 8 --learning-rate 2e-3 || return
    check "qat lora $1: merge" "$LINNET" merge --model "$run" --type "$1" --out "$gguf" || return
    check "qat lora $1: types" same_types "$gguf" "$1"
    check "qat lora $1: merge in f32" "$LINNET" merge --model "$run" --type f32 --out "$work/merged.gguf" --force &&
        check "qat lora $1: blocks" made_by_llama "$work/merged.gguf" "$gguf"
    check "qat lora $1: widen" "$LINNET" export --model "$gguf" --dtype f32 --out "$widened" --force &&
        check "qat lora $1: perplexity" $perplexity "$gguf" "$held" --trained "$run" --widened "$widened"
    check "qat lora $1: llama.cpp" $compare "$LINNET" "$gguf" $(tolerance quantised) --texts 1
}
# same_types FILE.gguf TYPE [--pure]: the types, and the name of the mix, of what linnet quantize makes of the base
same_types() {
    "$LINNET" quantize --model "$base" --type "$2" ${3:+"$3"} --out "$work/quantised.gguf" --force -q || return
    for file in "$1" "$work/quantised.gguf"; do
        "$LINNET" info "$file" | sed -n '/general.file_type/p; /^  tensor /,$p'
    done >"$work/types"
    awk '{ n[$0]++; kinds[$2] += NF >= 4 && $1 ~ /weight/ }
        END { for (line in n) if (n[line] % 2) { print; print line; bad = 1 }
              for (k in kinds) if (kinds[k]) printf "%d %s ", kinds[k] / 2, k
              print ""; exit bad || NR < 10 }' "$work/types"
}
# made_of_weights RUN FILE.gguf [pure]: the file's blocks are those of llama.cpp's quantiser for the f32 weights of the
# run's checkpoint, from which what linnet computed with is taken away
made_of_weights() {
    weights=$work/weights
    rm -rf "$weights"
    mkdir -p "$weights/checkpoints" && cp "$1"/*.yaml "$1"/*.json "$weights" &&
        cp "$1/checkpoints/best.h5" "$weights/checkpoints" &&
        $python -c "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); del f['computed']; f.close()" \
            "$weights/checkpoints/best.h5" &&
        "$LINNET" export --model "$weights" --dtype f32 --out "$weights.gguf" --force || return
    shift
    made_by_llama "$weights.gguf" "$@"
}

# What the groups share: the clients, what is built, a corpus, the tokenizers of published models.
prepare() {
    install_clients || return
    cp tests/interop/*.mjs "$out/"
    check "programs" make --no-print-directory asan-linnet build/tests/interop/random_model \
        build/tests/interop/random_adapter build/tests/interop/judge_quantize build/tests/interop/random_json || return
    check "synthetic corpus" "$LINNET" data synth --out "$corpus" --size 2M --seed 5 || return
    check "tokenizer of random models" "$LINNET" tokenizer train --data "$corpus" --splitter bytes \
        --out "$out/families.json" || return
    stack_corpus=$corpus
    [ -f "$shared/data/wiki2-valid.txt" ] && stack_corpus=$shared/data/wiki2-valid.txt
    head -c 400000 "$stack_corpus" >"$out/stacks.txt"
    rm -rf "$out/stacks"
    check "stacks: make" node "$out/stacks.mjs" make "$out/stacks" 2000 "$out/stacks.txt" "$LINNET" &&
        check "hard strings" node "$out/stacks.mjs" texts "$out"
}

tokenizer() { # SPLITTER
    tokenizer=$work/tokenizer.json
    check "tokenizer $1: train" "$LINNET" tokenizer train --data "$corpus" \
        --vocab-size 2000 --splitter "$1" --out "$tokenizer" || return
    for text in $texts; do
        check "tokenizer $1: ${text##*/}" same_ids "$tokenizer" "$text"
    done
    [ "$1" = bytes ] && return
    check "tokenizer $1: merges" same_merges "$1" "$corpus"
    if [ -f "$shared/data/wiki2-valid.txt" ]; then
        check "tokenizer $1: merges of wiki2-valid" same_merges "$1" "$shared/data/wiki2-valid.txt"
    else
        skip "no $shared/data/wiki2-valid.txt to learn merges from"
    fi
}

# The stacks of published models: Hugging Face's ids of strings that are hard and of whole files; and
# for those that GGUF can hold, llama.cpp's ids of the exported file.
stacks() {
    for stack in "$out"/stacks/*/; do
        name=$(basename "$stack")
        check "stack $name: hard strings" node "$out/stacks.mjs" compare "$LINNET" "$stack/tokenizer.json"
        check "stack $name: text" same_ids "$stack/tokenizer.json" "$out/stacks.txt"
    done
}
long_texts() {
    for name in smollm tekken llama2 metaspace-first unigram; do
        for text in $texts; do
            check "stack $name: ${text##*/}" same_ids "$out/stacks/$name/tokenizer.json" "$text"
        done
    done
    for name in tekken deepseek-llm metaspace-first unigram smollm; do
        check "stack $name: a million characters" node "$out/stacks.mjs" compare "$LINNET" \
            "$out/stacks/$name/tokenizer.json" long
    done
}
vocabularies() {
    for name in gpt2 llama3 qwen2 smollm qwen35 tekken gpt4o deepseek-v3 deepseek-coder pre-default pre-falcon \
        pre-deepseek-llm pre-bailingmoe pre-seed-coder pre-viking pre-poro-chat llama2 gemma metaspace-first; do
        stack=$out/stacks/$name
        check "stack $name: tiny model" node "$out/vocab.mjs" model "$stack" &&
            check "stack $name: export" "$LINNET" export --model "$stack" --format gguf --out "$stack/model.gguf" &&
            check "stack $name: llama.cpp" node "$out/vocab.mjs" compare "$LINNET" "$stack/model.gguf" "$out/stacks.txt"
    done
}

python=python3 # Debian's, whose packages we need, where there are two
[ -x /usr/bin/python3 ] && python=/usr/bin/python3
sentencepiece() {
    if $python -c "import sentencepiece" 2>/dev/null; then
        check "tokenizer.model: SentencePiece" $python tests/interop/sentencepiece.py "$LINNET" "$work/sp" \
            "$out/texts.json" "$out/stacks.txt"
    else
        skip "no python3-sentencepiece to read tokenizer.model with"
    fi
}

# The chat fixtures again: what @huggingface/jinja makes of them is what the committed files say.
chat_templates() {
    rm -rf "$work/chat"
    cp -r tests/fixtures/chat "$work/chat" || return
    node tests/fixtures/make_chat.mjs "$out/node_modules/@huggingface/jinja/dist/index.js" "$work/chat" || return
    cmp "$work/chat/conversations.json" tests/fixtures/chat/conversations.json &&
        cmp "$work/chat/features.json" tests/fixtures/chat/features.json
}

# Random texts of the grammars made of schemas: Ajv says whether they satisfy them. And that it can say no.
schemas() {
    build/tests/interop/random_json tests/fixtures/json_schemas.json 100 >"$work/texts.jsonl" || return
    sed 's/"maximum": 1205/"maximum": 100/' tests/fixtures/json_schemas.json >"$work/other_schemas.json"
    node "$out/schemas.mjs" "$work/other_schemas.json" "$work/texts.jsonl" >/dev/null && return 1
    node "$out/schemas.mjs" tests/fixtures/json_schemas.json "$work/texts.jsonl"
}

tied() {
    trained_model tied gpt2
    serving "$work/tied-f32.gguf"
    try_the_judge "$work/tied-f32.gguf"
    # The same parts, made by a script of ours, for llama.cpp and for linnet.
    if command -v python3 >/dev/null 2>&1; then
        rm -f "$work"/parts-*.gguf
        check "tied f32 in parts: split" python3 tests/fixtures/split_gguf.py "$work/tied-f32.gguf" \
            "$work/parts" 3 &&
            check "tied f32 in parts: llama.cpp" $compare "$LINNET" "$work/parts-00001-of-00003.gguf"
    else
        skip "no python3 to split a model with"
    fi
}

# The groups that take longest come first.
groups="families quantised qat-32 qat-256 tied long_texts vocabularies stacks untied bytes golden sentencepiece formats"
groups="$groups tokenizer-gpt2 tokenizer-llama3 tokenizer-qwen2 tokenizer-smollm tokenizer-bytes"
run_group() {
    case $1 in
    tokenizer-*) tokenizer "${1#tokenizer-}" ;;
    qat-32) # columns in blocks of 32
        qat Q4_0 Q4_1 Q5_0 Q8_0 IQ4_NL MXFP4
        check "qat: another model" differs $perplexity "$work/Q4_0.gguf" "$held" --model "$base"
        adapter_trained_for Q4_0
        ;;
    qat-256) qat Q4_K_M Q5_K_M Q6_K Q3_K_M Q2_K ;;
    formats)
        check "chat templates: @huggingface/jinja" chat_templates
        check "JSON schemas: Ajv" schemas
        ;;
    untied)
        trained_model untied llama3 --set model.tie_word_embeddings=false \
            --set model.num_key_value_heads=1 --set model.head_dim=24
        ;;
    bytes) trained_model bytes bytes ;;
    golden)
        if [ -d "$shared/golden" ]; then
            golden "$shared/golden"
        else
            skip "no golden models in $shared/golden"
        fi
        ;;
    *) "$1" ;;
    esac
}

tab=$(printf '\t')
if [ -d "$shared/data" ]; then
    texts=$(ls "$shared"/data/*.txt "$shared"/data/*.jsonl)
else
    texts=$corpus
fi
# As one of the workers: the group's lines, each after its name.
if [ "${1:-}" = --group ]; then
    work=$out/groups/$2
    mkdir -p "$work"
    {
        begin=$(date +%s)
        run_group "$2"
        echo "  $2: $(($(date +%s) - begin)) s"
        echo end
    } 2>&1 | sed -u "s/^/$2$tab/"
    exit 0
fi

show_lines() {
    [ ! -e "$out/groups/$1.lines" ] || cat "$out/groups/$1.lines"
}
# What the workers say, in the order of the groups: at once for the first that has not ended, the others' later.
collect() {
    passed=0 failed=0 skipped=0
    while IFS=$tab read -r group line; do
        case $line in
        '  ok '*) passed=$((passed + 1)) ;;
        '  FAIL '*) failed=$((failed + 1)) ;;
        '  skipped: '*) skipped=$((skipped + 1)) ;;
        esac
        if [ "$line" = end ]; then
            : >"$out/groups/$group.ended"
        elif [ "$group" = "${1:-}" ]; then
            printf '%s\n' "$line"
        else
            printf '%s\n' "$line" >>"$out/groups/$group.lines"
        fi
        while [ -e "$out/groups/${1:-}.ended" ]; do
            shift
            show_lines "${1:-}"
        done
    done
    first=${1:-}
    for group in "$@"; do
        [ "$group" = "$first" ] || show_lines "$group"
    done
    for group in "$@"; do
        [ -e "$out/groups/$group.ended" ] && continue
        failed=$((failed + 1))
        echo "  FAIL  $group: did not come to its end"
        [ "$group" = prepare ] && break
    done
    echo "interop: $passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
}

for group in "$@"; do
    case " $groups " in
    *" $group "*) ;;
    *) echo "interop: no group $group; there are $groups" >&2; exit 2 ;;
    esac
done
[ $# = 0 ] || groups=$*
rm -rf "$out/groups"
work=$out/groups/prepare
mkdir -p "$work"
# shellcheck disable=SC2086
{
    { prepare 2>&1 && : >"$work/done" && echo end; } | sed -u "s/^/prepare$tab/"
    [ -e "$work/done" ] && printf '%s\n' $groups | xargs -P "${INTEROP_JOBS:-2}" -n 1 "$0" --group
} | collect prepare $groups
