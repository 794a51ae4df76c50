// Holds a tokenizer.json that linnet wrote against Hugging Face's own tokenizers library.
//
//   node tokenizer.mjs speed TOKENIZER.json CORPUS...
//       prints how long their trainer and their encoder take and the trainer's peak memory, as JSON
//   node tokenizer.mjs memory
//       prints the peak memory of node with their library loaded and nothing done, as JSON
//   node tokenizer.mjs train TOKENIZER.json CORPUS...
//       trains with their trainer on the corpus files, with the same pre-tokenizer, and compares the
//       merges one by one. Their JavaScript binding trains with fixed settings (30,000 tokens,
//       min_frequency 0, no special tokens, only the bytes that occur, each line a text of its
//       own), so ours must come from the same lines and have as many merges; the message says
//       which vocab_size that takes.
//   node tokenizer.mjs encode TOKENIZER.json IDS TEXT
//       compares the ids of every line of TEXT with those in IDS: one line of ids, separated by
//       blanks, for each line of TEXT; lines end at \n alone.
//   node tokenizer.mjs decode TOKENIZER.json TEXT
//       checks that their decoder gives back every line of TEXT.
//
// Exit status 1 and the first difference when there is one.
import {Tokenizer} from "tokenizers";
import fs from "node:fs";

function fail(message) {
    console.error(`tokenizer: ${message}`);
    process.exit(1);
}

function lines(path) {
    const all = fs.readFileSync(path, "utf8").split("\n");
    if (all.at(-1) === "") all.pop();
    return all;
}

/* The system counts in KiB. node's own share of it is what `memory` prints. */
const peak_mb = () => process.resourceUsage().maxRSS * 1024 / 1e6;

const key = (merge) => (Array.isArray(merge) ? merge.join(" ") : merge);

function train(path, corpus) {
    const ours = JSON.parse(fs.readFileSync(path, "utf8"));
    const empty = {...ours, added_tokens: [], model: {...ours.model, vocab: {}, merges: []}};
    const theirs = Tokenizer.fromString(JSON.stringify(empty));
    const start = performance.now();
    theirs.train(corpus);
    const seconds = (performance.now() - start) / 1000;
    const saved = `${path}.theirs`;
    theirs.save(saved);
    const model = JSON.parse(fs.readFileSync(saved, "utf8")).model;
    fs.unlinkSync(saved);
    const alphabet = Object.keys(model.vocab).filter((token) => [...token].length === 1).length;
    const made = Object.keys(model.vocab).length - alphabet;
    const fixed = 256 + ours.added_tokens.length;
    const made_here = Object.keys(ours.model.vocab).length - fixed;
    if (made !== made_here)
        fail(`${path} has ${made_here} merged tokens, theirs ${made}: train with vocab_size ${fixed + made}` +
             " and min_frequency 0");
    for (let i = 0; i < Math.max(model.merges.length, ours.model.merges.length); i++) {
        const a = ours.model.merges[i], b = model.merges[i];
        if (!a || !b || key(a) !== key(b))
            fail(`${path}: merge ${i} is ${JSON.stringify(a)}, Hugging Face has ${JSON.stringify(b)}`);
    }
    console.log(`${model.merges.length} merges are the same (their trainer took ${seconds.toFixed(2)} s, ` +
                `${peak_mb().toFixed(0)} MB)`);
}

async function encode(path, ids, text) {
    const theirs = Tokenizer.fromFile(path);
    const expected = lines(ids), texts = lines(text);
    if (expected.length !== texts.length)
        fail(`${ids} has ${expected.length} lines, ${text} has ${texts.length}`);
    for (let at = 0; at < texts.length; at += 1000) {
        const batch = await theirs.encodeBatch(texts.slice(at, at + 1000), {addSpecialTokens: false});
        for (const [i, encoding] of batch.entries()) {
            const got = encoding.getIds().join(" ");
            if (got !== expected[at + i])
                fail(`${text}, line ${at + i + 1}: ${JSON.stringify(texts[at + i].slice(0, 200))}\n` +
                     `  linnet       ${expected[at + i].slice(0, 400)}\n  Hugging Face ${got.slice(0, 400)}`);
        }
    }
    console.log(`${texts.length} lines of ${text} have the same ids`);
}

async function decode(path, text) {
    const theirs = Tokenizer.fromFile(path);
    const texts = lines(text);
    for (const [i, line] of texts.entries()) {
        const ids = (await theirs.encode(line, null, {addSpecialTokens: false})).getIds();
        if (ids.length && (await theirs.decode(ids, false)) !== line)
            fail(`${text}, line ${i + 1}: does not come back: ${JSON.stringify(line.slice(0, 200))}`);
    }
    console.log(`${texts.length} lines of ${text} come back`);
}

/* Their speed, for comparison with `linnet bench tokenizer`: training with their fixed settings, then
 * all lines encoded in batches (their threads share a batch). */
async function speed(path, corpus) {
    const empty = JSON.parse(fs.readFileSync(path, "utf8"));
    const theirs = Tokenizer.fromString(
        JSON.stringify({...empty, added_tokens: [], model: {...empty.model, vocab: {}, merges: []}}));
    let start = performance.now();
    theirs.train(corpus);
    const train_s = (performance.now() - start) / 1000;
    const peak_rss_mb = peak_mb();
    let bytes = 0, seconds = 0;
    for (const file of corpus) {
        const texts = lines(file);
        for (let at = 0; at < texts.length; at += 10000) {
            const batch = texts.slice(at, at + 10000);
            start = performance.now();
            await theirs.encodeBatch(batch, {addSpecialTokens: false});
            seconds += (performance.now() - start) / 1000;
            bytes += batch.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0);
        }
    }
    console.log(JSON.stringify({train_s, encode_mb_per_s: bytes / 1e6 / seconds, peak_rss_mb}));
}

const [, , verb, ...args] = process.argv;
if (verb === "train" && args.length >= 2) train(args[0], args.slice(1));
else if (verb === "encode" && args.length === 3) await encode(...args);
else if (verb === "speed" && args.length >= 2) await speed(args[0], args.slice(1));
else if (verb === "memory" && args.length === 0) console.log(JSON.stringify({peak_rss_mb: peak_mb()}));
else if (verb === "decode" && args.length === 2) await decode(...args);
else fail("usage: train TOKENIZER.json CORPUS... | encode TOKENIZER.json IDS TEXT | speed TOKENIZER.json CORPUS... | memory | " +
          "decode TOKENIZER.json TEXT");
