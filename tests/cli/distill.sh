# distill: a student from a dump and from a model, new and given; that a dump is a dump whoever wrote it; how a run goes on;
# and what is refused.
. tests/cli/lib.inc

root=$PWD
cat >"$tmp/tiny.yaml" <<'YAML'
model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128}
tokenizer: {vocab_size: 400, special_tokens: ["<|endoftext|>"]}
optim: {warmup_iters: 2}
train: {iters: 30, batch_size: 4, max_seq_length: 64}
YAML
cat >"$tmp/student.yaml" <<'YAML'
model: {hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1, max_position_embeddings: 128}
optim: {warmup_iters: 2, learning_rate: 5e-3}
train: {iters: 20, batch_size: 4, eval_interval: 10, checkpoint_interval: 10}
YAML
run "$LINNET" data synth --out "$tmp/corpus.jsonl" --size 60k --seed 3 -q
status 0
run "$LINNET" pretrain -c "$tmp/tiny.yaml" --data "$tmp/corpus.jsonl" --out "$tmp/teacher" -q
status 0
run "$LINNET" teacher --model "$tmp/teacher" --data "$tmp/corpus.jsonl" --k 16 --max-seq-length 64 --out "$tmp/dump" -q
status 0
case $LINNET in /*) ;; *) LINNET=$PWD/$LINNET ;; esac
cd "$tmp" || exit 1

distill() { run "$LINNET" distill -c student.yaml "$@"; }
# losses of a run, without what the time of day decides
losses() { sed 's/, "tokens_per_s.*//' "$1/metrics.jsonl"; }
final() { sed -n 's/.*"final_validation_loss": \([0-9.]*\).*/\1/p' "$1/metrics.jsonl" | tail -n 1; }
same_losses() {
    losses "$1" >"$1.losses"
    losses "$2" >"$2.losses"
    cmp -s "$1.losses" "$2.losses" || fail "$1 and $2 differ: $(diff "$1.losses" "$2.losses" | head -n 4)"
}

# ---- a new student from a dump ----

distill --teacher dump --out run
status 0
out ''
grep -q '^teacher teacher: the likeliest 16 of 400 tokens at ' stderr || fail "says nothing of the teacher"
err_has "loss    0.8 of the teacher's (forward_kl, temperature 1), 0.2 of the text's"
err_has "the best weights: run/checkpoints/best.h5; try them: linnet generate --model run"
grep -q '"validation_forward_kl": .*"validation_cross_entropy": .*"validation_agreement": ' run/metrics.jsonl || fail "measures"
cmp -s run/tokenizer.json teacher/tokenizer.json || fail "another tokenizer"
awk -v a="$(final run)" 'BEGIN {exit !(a > 0 && a < 3)}' || fail "has not learned"
run "$LINNET" generate --model run --prompt "Once" --max-tokens 4 -q
status 0

# ---- the same dump, in parts and from Python ----

run "$LINNET" teacher --model teacher --data corpus.jsonl --k 16 --max-seq-length 64 --positions-per-part 2000 --out parts -q
status 0
[ "$(find parts -name '*.h5' | wc -l)" -gt 3 ] || fail "expected several parts"
distill --teacher parts --out from-parts -q
status 0
same_losses run from-parts
python=""
for candidate in python3 /usr/bin/python3; do
    "$candidate" -c 'import h5py, numpy' 2>/dev/null && python=$candidate && break
done
if [ -n "$python" ]; then
    cat >rewrite.py <<PY
import sys
sys.path.insert(0, "$root/distill")
import dump
import numpy as np
with dump.Writer("python.h5", vocab_size=400, k=16, teacher="rewritten", tokenizer_json="teacher/tokenizer.json") as w:
    for p in dump.parts("parts"):
        begins = np.cumsum(np.concatenate([[0], [int(p.supervised[a:b].sum()) for a, b in zip(p.sequences, p.sequences[1:])]]))
        for i, (a, b) in enumerate(zip(p.sequences, p.sequences[1:])):
            begin, ids, log_probs, log_tail = p.read(int(begins[i]), int(begins[i + 1] - begins[i]))
            w.add(p.tokens[a:b], p.supervised[a:b], ids=ids.reshape(-1, 16), log_probs=log_probs.reshape(-1, 16), log_tail=log_tail)
PY
    run env PYTHONDONTWRITEBYTECODE=1 "$python" rewrite.py
    status 0
    distill --teacher python.h5 --out from-python -q
    status 0
    same_losses run from-python
else
    echo "skipped: a dump from Python, which needs h5py"
fi

# ---- how a run goes on ----

distill --teacher dump --out stopped --iters 20 --set train.checkpoint_interval=5 -q &
sleep 0.1
pid=$!
while [ ! -e stopped/checkpoints/last.h5 ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
pkill -9 -P $pid 2>/dev/null
wait $pid 2>/dev/null
distill --teacher dump --out stopped --resume -q
status 0
[ "$(final stopped)" = "$(final run)" ] || fail "a resumed run ends elsewhere: $(final stopped), $(final run)"

# ---- a student that is there ----

distill --teacher dump --model run --out further --method full --iters 4 -q
status 0
distill --teacher dump --model run --out adapter --iters 4 --lora-rank 4 --divergence jensen_shannon --alpha 0.5 -q
status 0
[ -e adapter/adapter/adapter_config.json ] || fail "no adapter"

# ---- a teacher that is a model ----

online="--data corpus.jsonl --max-seq-length 64 --iters 4 -q"
# shellcheck disable=SC2086
for more in "" "--divergence reverse_kl --temperature 2" "--hidden-weight 1 --hidden-layers 2" "--on-policy 1 --max-new-tokens 8"; do
    rm -rf online
    distill --teacher teacher --out online $online $more
    status 0
done
grep -q '"on_policy": 1' online/metrics.jsonl || fail "nothing was written by the student"

# ---- plan ----

distill --teacher dump --plan
status 0
grep -q '^memory ' stdout || fail "no plan"
distill --teacher teacher --data corpus.jsonl --max-seq-length 64 --plan
status 0
grep -q '^  the teacher ' stdout || fail "the plan leaves the teacher out"

# ---- what is refused ----

distill --out x
status 2
grep -q '^linnet: error: missing --teacher PATH: whom to learn from' stderr || fail "no teacher"
distill --teacher dump --out x --method lora
usage_error "distill " "--method lora trains beside the weights of a student: --model PATH; without one the student is new, and all of it trains"
distill --teacher dump --out x --tail zero --divergence reverse_kl
usage_error "distill " "--tail zero with --divergence reverse_kl is infinite: whatever the student holds possible beyond the known tokens the teacher would not; take --tail bucket"
distill --teacher dump --out x --divergence jensen_shannon --beta 1
usage_error "distill " "--beta 1: jensen_shannon needs one between 0 and 1; at the ends it is forward_kl and reverse_kl"
distill --teacher dump --out x --temperature 2
usage_error "distill " "dump was made at temperature 1; how likely all other tokens are at 2 cannot be known from it: take that --temperature, or --tail renormalize"
distill --teacher dump --out x --hidden-weight 1
usage_error "distill " "--hidden-weight needs a teacher that is a model; dump is a dump"
distill --teacher dump --out x --on-policy 0.5
usage_error "distill " "--on-policy needs a teacher that is a model; dump is a dump"
distill --teacher dump --out x --max-seq-length 32
usage_error "distill " "--max-seq-length 32: the dump's longest sequence is 64 tokens, and none is cut"
distill --teacher nowhere --out x
status 1
head -n 12 corpus.jsonl >other.jsonl
distill --teacher dump --out x --data other.jsonl
status 2
grep -q 'it was made from another text, or with other settings' stderr || fail "another text"
sed 's/vocab_size: 400/vocab_size: 380/' tiny.yaml >other.yaml
run "$LINNET" pretrain -c other.yaml --data corpus.jsonl --iters 1 --out other -q
status 0
distill --teacher dump --model other --out x
status 2
grep -q "but the student's tokenizer ends with 379" stderr || fail "a shorter tokenizer"
run "$LINNET" data synth --out other.jsonl --size 60k --seed 4 -q
status 0
run "$LINNET" pretrain -c tiny.yaml --data other.jsonl --iters 1 --out other2 -q
status 0
distill --teacher dump --model other2 --out x
status 2
grep -q "the teacher's tokenizer is not the student's: 400 tokens against 400, [0-9]* of them other strings; the first is" stderr || fail "another tokenizer"

# ---- another tokenizer ----

distill --teacher dump --model other2 --align text --validation-teacher parts --method full --iters 10 --out aligned
status 0
grep -q "^aligned [0-9.]*k of the student's [0-9.]*k tokens ([0-9]*%) begin where one of the teacher's does, [0-9]*% of them the same" stderr ||
    fail "says nothing of the alignment"
grep -q "^        of the teacher's probability .*% falls on tokens of the same bytes, .*% on beginnings, .*% on the tail" stderr ||
    fail "says nothing of the vocabularies"
cmp -s aligned/tokenizer.json other2/tokenizer.json || fail "another tokenizer"
losses aligned | awk -F'"validation_forward_kl": ' 'NF > 1 {n++; v = $2 + 0; if (n == 1) first = v; last = v} END {exit !(n > 1 && last < first)}' ||
    fail "has not learned"
distill --teacher dump --align text --out x
usage_error "distill " "--align text is for a student that has a tokenizer already, --model PATH; a new one gets the teacher's"
distill --teacher teacher --model other2 --data corpus.jsonl --align text --out x
usage_error "distill " "--align text needs a dump, and teacher is none: make one first, linnet teacher --model teacher --data PATH --out DUMP"
distill --teacher dump --model other2 --data corpus.jsonl --align text --out x
usage_error "distill " "--align text goes without --data: the dump brings its texts with it, in the tokens of its teacher"
distill --teacher dump --model other2 --tokenizer other2/tokenizer.json --align text --out x
usage_error "distill " "other2/tokenizer.json is not the tokenizer of dump"
run "$LINNET" teacher --model teacher --data corpus.jsonl --k 4 --samples 8 --limit 500 --max-seq-length 64 --out samples -q
status 0
distill --teacher samples --model other2 --align text --out x
usage_error "distill " "--align text needs a dump of the likeliest tokens: this one holds samples, whose weights cannot be moved to other tokens"
[ ! -e x ] || fail "something was left behind"

# a damaged dump is refused before anything is trained
cp -r parts damaged
size=$(wc -c <damaged/part-00001.h5)
head -c $((size - 200)) damaged/part-00001.h5 >cut.h5
mv cut.h5 damaged/part-00001.h5
distill --teacher damaged --out x
status 1
grep -q 'damaged/part-00001.h5' stderr || fail "the damaged part is not named"
[ ! -e x ] || fail "something was left behind"

# what a resumed run may not change, and what is settled without being asked for
rm -rf online
distill --teacher teacher --data corpus.jsonl --iters 2 --out online -q
status 0
grep -q '^  max_seq_length: 128$' online/config.yaml || fail "longer rows than the teacher was made for"
distill --teacher teacher --out online --resume --iters 3 -q
status 0
distill --teacher dump --data corpus.jsonl --iters 2 --out compared -q
status 0
grep -q '^  max_seq_length: 64$' compared/config.yaml || fail "longer rows than the dump's"
distill --teacher dump --out run --resume --iters 22 --validation-fraction 0.4
status 1
grep -q 'was trained on other data' stderr || fail "another split"
distill --teacher dump --out run --resume --iters 22 --alpha 0.1
status 2
grep -q "a resumed run keeps its distill.alpha" stderr || fail "another loss"
distill --teacher dump --tokenizer other2/tokenizer.json --out x
usage_error "distill " "other2/tokenizer.json is not the tokenizer of dump"
distill --teacher teacher --tokenizer other2/tokenizer.json --data corpus.jsonl --out x
usage_error "distill " "--tokenizer goes with a dump; teacher has its own"
distill --teacher dump --validation-data corpus.jsonl --out x
usage_error "distill " "--validation-data goes with a teacher that is a model; to evaluate with a dump give another one, --validation-teacher"
distill --teacher dump --temperature 1.0000005 --out x
status 2
distill --teacher dump --iters 1 --max-new-tokens 3 --out warned
status 0
err_has "linnet: warning: distill.max_new_tokens has no effect: --on-policy is 0"
distill --teacher teacher --data corpus.jsonl --max-seq-length 64 --tail zero --plan
status 0
err_has "linnet: warning: distill.tail has no effect: teacher knows every token"
[ ! -e x ] || fail "something was left behind"
