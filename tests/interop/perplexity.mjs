// Perplexity over texts: llama.cpp's of a GGUF file against what linnet says of it.
//   node perplexity.mjs LINNET MODEL.gguf TEXTS.jsonl [--model RUN] [--bound 0.005]
//     [--trained RUN]: the run whose last evaluation was of these texts, each with the token that ends it
//     [--exact]: linnet does not round activations
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
        exact: {type: "boolean"},
        bound: {type: "string", default: "0.005"}
    }
});

const lines = (file) => fs.readFileSync(file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

function evaluated(model, window) {
    const run = spawnSync(linnet, ["eval", "ppl", "--model", model, "--data", data, "--max-seq-length", `${window}`, "--json",
        "-q", ...(values.exact ? ["--exact"] : [])], {encoding: "utf8"});
    if (run.status !== 0) throw new Error(`exit ${run.status ?? run.signal}: ${run.stderr.trimEnd()}`);
    return JSON.parse(run.stdout);
}

async function main() {
    const llama = await openModel(gguf);
    const texts = lines(data).map((row) => llama.tokenize(row.text));
    if (texts.some((tokens) => tokens.length >= llama.trainedLength)) throw new Error("a text is longer than the context");
    const sum = {nats: 0, n: 0, ends: 0};
    for (const tokens of texts) {
        const losses = await llama.losses([...tokens, llama.end]);
        sum.ends += losses.pop();
        sum.nats += losses.reduce((a, b) => a + b, 0);
        sum.n += losses.length;
    }
    const theirs = Math.exp(sum.nats / sum.n), theirsEnded = Math.exp((sum.nats + sum.ends) / (sum.n + texts.length));
    const off = {};
    for (const [name, model] of [["file", gguf], ["run", values.model]]) {
        if (!model) continue;
        const ours = evaluated(model, llama.trainedLength);
        if (ours.tokens !== sum.n) throw new Error(`linnet predicted ${ours.tokens} tokens, llama.cpp ${sum.n}`);
        off[name] = ours.perplexity / theirs - 1;
    }
    if (values.trained) {
        const last = lines(path.join(values.trained, "metrics.jsonl")).at(-1);
        off.training = Math.exp(last.final_validation_loss) / theirsEnded - 1;
    }
    console.log(`${sum.n} tokens, llama.cpp's perplexity ${theirs.toFixed(4)}; linnet's off by ` +
        Object.entries(off).map(([name, x]) => `${(100 * x).toFixed(4)}% (${name})`).join(", "));
    return Object.values(off).every((x) => Math.abs(x) <= Number(values.bound)) ? 0 : 1; // NaN differs
}

main().then(process.exit, (e) => {
    console.log(e.message);
    process.exit(2);
});
