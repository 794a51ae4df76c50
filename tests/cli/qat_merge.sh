# A run that trained for quantisation, on its way to the file that is deployed: what runs is what was trained.
. tests/cli/lib.inc

wide_base base --warmup-iters 2 --learning-rate 2e-3
cd "$tmp" || exit 1
case $LINNET in /*) ;; *) LINNET=$OLDPWD/$LINNET ;; esac
i=0
while [ $((i += 1)) -le 40 ]; do
    echo "{\"prompt\": \"What is $i plus $i?\", \"completion\": \" It is $((i + i)).\"}" >>qa.jsonl
done
printf 'Once upon a time there was a cat. The cat sat on a mat. What is 3 plus 3? It is 6.\n' >text.txt
run "$LINNET" imatrix --model base --data corpus.jsonl --context 32 --chunks 4 --out im.gguf -q
status 0
run "$LINNET" quantize --model base --type Q4_K_M --out q4.gguf -q
status 0
run "$LINNET" export --model base --format hf --dtype f32 --out hf -q
status 0

tune() { run "$LINNET" sft --data qa.jsonl --max-seq-length 64 --batch-size 4 --learning-rate 5e-3 --iters 4 -q "$@" && status 0; }
ppl() { # MODEL FLAGS...: as a number
    run "$LINNET" eval ppl --data text.txt --json -q --model "$@"
    status 0
    number=$(sed 's/.*"perplexity": \([0-9.]*\).*/\1/' stdout)
}
# same A B: to the rounding of sums; differ A B: not even nearly
same() { awk -v a="$1" -v b="$2" 'BEGIN {d = a / b - 1; exit !(d < 1e-5 && d > -1e-5)}' || fail "$1 is not $2"; }
differ() { awk -v a="$1" -v b="$2" 'BEGIN {d = a / b - 1; exit !(d > 1e-4 || d < -1e-4)}' || fail "$1 is $2"; }
generate() { # MODEL FLAGS...
    run "$LINNET" generate --exact --prompt "Once upon" --max-tokens 16 -q --model "$@"
    status 0
}

# The run, its file, and the two of them compared. Of a base in f32, in blocks, and in the order of another format.
tune --model base --out run --qat Q4_K_M --qat-tensor-type 'blk\.1\.ffn_down=q8_0' --qat-imatrix im.gguf
tune --model q4.gguf --out of_blocks --qat Q4_K_M --target-modules q_proj down_proj
tune --model hf --out of_hf --qat Q4_0
for name in run of_blocks of_hf; do
    run "$LINNET" merge --model $name --out $name.gguf --eval text.txt --json -q
    status 0
    err ''
    grep -q '"merged": {"perplexity": [0-9.]*, "kl_divergence": [0-9.]*\(e-[0-9]*\|\), "same_top": 1.0}' stdout ||
        fail "another model than was trained"
    sed 's/.*"kl_divergence": \([0-9.e-]*\), "same_top": 1.0}}}$/\1/' stdout >kl
    awk '{exit !($1 < 1e-9)}' kl || fail "a divergence of $(cat kl)"
    ppl $name --exact
    trained=$number
    ppl $name.gguf --exact
    same "$trained" "$number"
    ppl $name
    eight_bits=$number
    ppl $name.gguf
    same "$eight_bits" "$number"
    generate $name --temperature 0
    cp stdout greedy
    generate $name.gguf --temperature 0
    cmp -s greedy stdout || fail "another greedy text from $name.gguf"
    generate $name --temperature 1 --seed 5
    cp stdout drawn
    generate $name.gguf --temperature 1 --seed 5
    cmp -s drawn stdout || fail "another text from $name.gguf"
done
run "$LINNET" info run.gguf
out_has '  21 tensors, 919k elements, 579 kB: 13 q4_k, 5 f32, 2 q6_k, 1 q8_0'
run "$LINNET" merge --model run --out named.gguf --type q4_k --name run -q
status 0
err ''
cmp -s run.gguf named.gguf || fail "the mix by its name is another file"

# The adapter as such beside the base is not what was trained, and so it is said; rounding moves the perplexity.
ppl base --adapter run --exact
differ "$number" "$(ppl run --exact && echo "$number")"
run "$LINNET" generate --model base --adapter run --prompt a --max-tokens 1
err_has 'linnet: warning: --adapter run: was trained with --qat Q4_K_M, and what was trained are the rounded weights of base '\
'and adapter together: --model run has them'
run "$LINNET" merge --model base --adapter run --out plain.gguf -q
status 0
grep -q '^linnet: warning: --adapter run: was trained with --qat Q4_K_M, ' stderr || fail "no warning"

# Other types
run "$LINNET" merge --model run --out other.gguf --type q8_0 -q
status 0
err 'linnet: warning: run was trained with --qat Q4_K_M, and what is written is not the model that was trained; leave --type out'
run "$LINNET" merge --model run --out merged-hf -q
status 0
err 'linnet: warning: run was trained with --qat Q4_K_M, and what is written is not the model that was trained; no directory '\
'holds its blocks: name a .gguf file for --out'

# Other adapters are added to what is rounded, as beside the file; not where they replace it.
tune --model base --out whole --train-in-full lm_head
tune --model base --out style
ppl run --adapter style --exact
both=$number
ppl run.gguf --adapter style --exact
same "$both" "$number"
run "$LINNET" merge --model run --adapter style --out both.gguf -q
status 0
err 'linnet: warning: run was trained with --qat Q4_K_M, but its own adapter alone: with others merged into them the blocks '\
'are not those that were trained'
run "$LINNET" generate --model run --adapter whole --prompt a
usage_error 'generate ' '--adapter whole: holds lm_head.weight in full, which a run that trained with --qat cannot take beside '\
'its rounded weights; merge the run first (linnet merge)'

# Strengths change while it runs: without the adapter it is the base in these types, and it comes back.
echo '{% for m in messages %}{{ m.content }} {% endfor %}' >template
run "$LINNET" quantize --model base --type Q4_K_M --tensor-type 'blk\.1\.ffn_down=q8_0' --imatrix im.gguf --out base.gguf -q
status 0
answer() { # MODEL
    run "$LINNET" chat --model "$1" --chat-template template --prompt 'Once' --temperature 0 --max-tokens 8 -q
    status 0
}
answer run.gguf
cp stdout with
answer base.gguf
cp stdout without
cat with without with >wanted
printf 'Once\n/clear\n/adapter none\nOnce\n/clear\n/adapter run\nOnce\n' >lines
"$LINNET" chat --model run --chat-template template --temperature 0 --max-tokens 8 -q <lines >stdout 2>stderr ||
    fail "the chat failed"
exactly stdout "$(cat wanted)"

# What is no longer there, or was changed
mv im.gguf gone.gguf
run "$LINNET" generate --model run --prompt a
failure "run, trained with --qat Q4_K_M: $(pwd -P)/im.gguf: No such file or directory"
mv gone.gguf im.gguf
cp run/config.yaml kept
sed -i 's/type: Q4_K_M/type: Q4_K_X/' run/config.yaml
run "$LINNET" generate --model run --prompt a
usage_error 'generate ' 'run, trained with --qat Q4_K_X: --qat: there is no type "Q4_K_X"; did you mean Q4_K_S?'
cp kept run/config.yaml

# A run that trained all weights has the blocks itself.
tune --model base --out full --method full --qat Q4_K_M
run "$LINNET" export --model full --out full.gguf -q
status 0
run "$LINNET" quantize --model full --type Q4_K_M --out again.gguf --name full -q
status 0
err ''
cmp -s full.gguf again.gguf || fail "quantize and export give the same blocks another file"
run "$LINNET" quantize --model full --type Q8_0 --out x.gguf -q
usage_error 'quantize ' 'model.embed_tokens.weight is q4_k already, and would be q8_0; linnet export writes the model as it is; '\
'for other types quantise the model it was made from, or allow what is lost twice with --requantize'
ppl full --exact
trained=$number
ppl full.gguf --exact
same "$trained" "$number"
run "$LINNET" export --model full --format hf --dtype f32 --out full-hf
status 0
err_has 'the weights were in blocks, and are now what these stand for; a GGUF file with --dtype keep has the blocks'
ppl full-hf --exact
same "$trained" "$number"
run "$LINNET" info full
out_has '  trained_for           Q4_K_M'
out_has '  matrices              13 q4_k, 3 q6_k'
run "$LINNET" info run
out_has '  trained_for           Q4_K_M, blk\.1\.ffn_down=q8_0, importance im.gguf'
tune --model full --out on --iters 1
for model in full full/checkpoints/last.h5; do
    rm -rf on_full
    tune --model $model --out on_full --method full --iters 1
    grep -q "^linnet: warning: .*/$model was trained with --qat Q4_K_M, and this goes on without: the weights behind its blocks "\
'train, and nothing keeps them good to round$' stderr || fail "no warning"
done
run "$LINNET" prune --model full --data text.txt --layers 1 --out pruned -q
status 0
run "$LINNET" distill --teacher run --model base --data qa.jsonl --max-seq-length 64 --batch-size 4 --iters 1 --out student -q
status 0
