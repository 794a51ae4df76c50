// linnet's whole next-token distributions against llama.cpp's, at every position of a text.
//   node distributions.mjs LINNET MODEL.gguf [--positions 160] [--relative 1e-3] [--adapter A.gguf] [--scale 1]
//     [--ours PATH]: what linnet takes for the adapter, where it is not A.gguf; "" for none
//     [--model PATH]: what linnet takes for the model, where it is not MODEL.gguf
// Compared: the probability of every token that llama.cpp holds for likelier than 1e-4, relatively.
// Exit 0: they agree; 1: they differ; 2: the comparison could not be made.
import {spawnSync} from "node:child_process";
import {parseArgs} from "node:util";
import {openModel} from "./llama.mjs";
import {texts} from "./texts.mjs";

const {values, positionals: [linnet, gguf]} = parseArgs({
    allowPositionals: true,
    options: {
        positions: {type: "string", default: "160"},
        relative: {type: "string", default: "1e-3"},
        adapter: {type: "string"},
        scale: {type: "string", default: "1"},
        ours: {type: "string"},
        model: {type: "string"}
    }
});

const ours = values.ours ?? values.adapter;

function ask(text) {
    const adapter = ours ? ["--adapter", `${ours}=${values.scale}`] : [];
    const run = spawnSync(linnet, ["eval", "logits", "--model", values.model ?? gguf, "--text", text, "--top", "1000000",
        "--json", ...adapter], {encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28});
    if (run.status !== 0) throw new Error(`exit ${run.status ?? run.signal}: ${run.stderr.trimEnd()}`);
    return JSON.parse(run.stdout);
}

async function main() {
    const llama = await openModel(gguf, {adapter: values.adapter, scale: Number(values.scale)});
    const text = texts[0].slice(0, Number(values.positions)); // one byte a token, or more
    const tokens = llama.tokenize(text);
    const answer = ask(text);
    if (answer.tokens.join() !== tokens.join()) throw new Error("the tokens differ");
    const worst = (await llama.distributions(tokens)).map((distribution, position) => {
        const mine = new Map(answer.positions[position]);
        return Math.max(...distribution.filter(([, p]) => p > 1e-4)
            .map(([id, p]) => Math.abs(p - mine.get(id)) / p));
    });
    const most = Math.max(...worst);
    const median = worst.toSorted((a, b) => a - b)[worst.length >> 1];
    console.log(`${tokens.length} positions, relatively within ${most.toExponential(1)}, ` +
        `median ${median.toExponential(1)}`);
    return most <= Number(values.relative) ? 0 : 1; // NaN differs
}

main().then(process.exit, (e) => {
    console.log(e.message);
    process.exit(2);
});
