// Perplexity over texts: llama.cpp's of a GGUF file against what linnet says of it.
//   node perplexity.mjs LINNET MODEL.gguf TEXTS.jsonl [--model RUN] [--bound 0.002]
//     [--trained RUN]: the run whose last evaluation was of these texts, each with the token that ends it
//     [--widened F32.gguf]: MODEL.gguf in f32, which llama.cpp runs without rounding activations, against linnet with
//     --exact, and the same numbers to within 1e-5
// linnet's perplexities: `linnet eval ppl` of the file, of RUN, and what training itself wrote. Every text is a window
// of its own, from its first token on, and all of its tokens are predicted but the first (where no BOS comes before it).
// Each may be off by the bound, as a share of llama.cpp's.
// Exit 0: they agree; 1: they differ; 2: the comparison could not be made.
import {spawnSync} from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import {parseArgs} from "node:util";
import {openModel} from "./llama.mjs";

const {values, positionals: [linnet, gguf, data]} = parseArgs({
    allowPositionals: true,
    options: {
        model: {type: "string"},
        trained: {type: "string"},
        widened: {type: "string"},
        bound: {type: "string", default: "0.002"}
    }
});

const lines = (file) => fs.readFileSync(file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

function evaluated(model, window, exact) {
    const run = spawnSync(linnet, ["eval", "ppl", "--model", model, "--data", data, "--max-seq-length", `${window}`, "--json",
        "-q", ...(exact ? ["--exact"] : [])], {encoding: "utf8"});
    if (run.status !== 0) throw new Error(`exit ${run.status ?? run.signal}: ${run.stderr.trimEnd()}`);
    return JSON.parse(run.stdout);
}

// How far linnet's perplexities are off llama.cpp's of the file.
async function compare(file, exact) {
    const llama = await openModel(file);
    const texts = lines(data).map((row) => llama.tokenize(row.text));
    if (texts.some((tokens) => tokens.length >= llama.trainedLength)) throw new Error("a text is longer than the context");
    const sum = {nats: 0, n: 0, ends: 0};
    for (const tokens of texts) {
        const losses = await llama.losses([...tokens, llama.end]);
        sum.ends += losses.pop();
        sum.nats += losses.reduce((a, b) => a + b, 0);
        sum.n += losses.length;
    }
    const theirs = Math.exp(sum.nats / sum.n), off = {};
    for (const [name, model] of [["file", file], ["run", values.model]]) {
        if (!model) continue;
        const ours = evaluated(model, llama.trainedLength, exact);
        if (ours.tokens !== sum.n) throw new Error(`linnet predicted ${ours.tokens} tokens, llama.cpp ${sum.n}`);
        off[name] = ours.perplexity / theirs - 1;
    }
    if (values.trained) {
        const last = lines(path.join(values.trained, "metrics.jsonl")).at(-1);
        off.training = Math.exp(last.final_validation_loss - (sum.nats + sum.ends) / (sum.n + texts.length)) - 1;
    }
    await llama.close();
    return {n: sum.n, theirs, off};
}

async function main() {
    const {n, theirs, off} = await compare(gguf, false);
    const percent = (x) => `${(100 * x).toFixed(3)}%`;
    let good = Object.values(off).every((x) => Math.abs(x) <= Number(values.bound)), widened = ""; // NaN differs
    if (values.widened) {
        const worst = Math.max(...Object.values((await compare(values.widened, true)).off).map(Math.abs));
        good &&= worst <= 1e-5;
        widened = `; in f32 ${worst.toExponential(1)}`;
    }
    console.log(`${n} tokens, perplexity ${theirs.toFixed(3)}, off by ` +
        Object.entries(off).map(([name, x]) => `${name} ${percent(x)}`).join(", ") + widened);
    return good ? 0 : 1;
}

main().then(process.exit, (e) => {
    console.log(e.message);
    process.exit(2);
});
