// Holds linnet's reading of a model against llama.cpp's reading of its GGUF file.
//   node compare.mjs LINNET MODEL.gguf [--model RUN] [--absolute 2e-5] [--relative 2e-4] [--quick] [--texts N] [--exact]
// LINNET may be several words. --model: what linnet reads instead of the GGUF file itself. --quick:
// one text and one prompt. --texts: so many texts. --exact: linnet does not round activations either.
// Compared: token ids of every text; at every position llama.cpp's 20 likeliest tokens, their
// probabilities to within --absolute, and --relative where they are above 1e-3; the greedy
// continuation of each prompt, 64 tokens, which may part only where llama.cpp itself holds the two
// choices for equal to within the tolerance.
// Exit 0: they agree; 1: they differ; 2: the comparison could not be made.
import {spawnSync} from "node:child_process";
import {parseArgs} from "node:util";
import {openModel} from "./llama.mjs";
import {prompts, texts} from "./texts.mjs";

const TOP = 20, GREEDY = 64;
const {values, positionals: [linnet, gguf]} = parseArgs({
    allowPositionals: true,
    options: {
        model: {type: "string"},
        quick: {type: "boolean"},
        texts: {type: "string", default: `${texts.length}`},
        exact: {type: "boolean"},
        absolute: {type: "string", default: "2e-5"},
        relative: {type: "string", default: "2e-4"}
    }
});
const absolute = Number(values.absolute), relative = Number(values.relative);
const failures = [];
const fail = (line) => failures.push(line);

function ask(...args) {
    const [command, ...first] = linnet.split(" ");
    const exact = values.exact && ["eval", "generate"].includes(args[0]) ? ["--exact"] : [];
    const run = spawnSync(command, [...first, ...args, ...exact],
        {encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28});
    if (run.error) throw run.error;
    if (run.status !== 0)
        throw new Error(`${linnet} ${args.map(shown).join(" ")}\n` +
            `exit ${run.status ?? run.signal}: ${run.stderr.trimEnd()}`);
    return JSON.parse(run.stdout);
}

const shown = (text) => JSON.stringify(text.length > 40 ? text.slice(0, 40) + "..." : text);

// Both id lists from a little before their first difference.
function parting(ours, theirs) {
    let i = 0;
    while (ours[i] === theirs[i]) i++;
    const part = (ids) => ids.slice(Math.max(0, i - 3), i + 5).join(" ");
    return `tokens differ at ${i}: ...${part(ours)}..., llama.cpp ...${part(theirs)}...`;
}

// Largest absolute and relative difference over the positions of one text.
function differences(ours, theirs) {
    let most = {absolute: 0, relative: 0};
    theirs.forEach((distribution, position) => {
        const mine = new Map(ours[position]);
        const least = Math.min(...mine.values());
        for (const [id, p] of distribution.slice(0, TOP)) {
            // One that is not among our 20 is at most as likely as the least of them.
            const q = mine.has(id) ? mine.get(id) : Math.min(p, least);
            const d = Math.abs(p - q);
            if (!(d <= 1)) throw new Error(`position ${position}: not a probability: ${q}`);
            most.absolute = Math.max(most.absolute, d);
            if (p > 1e-3) most.relative = Math.max(most.relative, d / p);
        }
    });
    return most;
}

async function compareText(llama, model, text, total) {
    const theirs = llama.tokenize(text);
    const ours = ask("eval", "logits", "--model", model, "--text", text, "--top", `${TOP}`, "--json");
    if (ours.tokens.join() !== theirs.join())
        return fail(`${shown(text)}: ${parting(ours.tokens, theirs)}`);
    if (ours.positions.length !== theirs.length)
        return fail(`${shown(text)}: ${ours.positions.length} positions for ${theirs.length} tokens`);
    const n = Math.min(theirs.length, llama.trainedLength);
    const d = differences(ours.positions, await llama.distributions(theirs.slice(0, n)));
    if (d.absolute > absolute || d.relative > relative)
        fail(`${shown(text)}: probabilities differ by ${d.absolute.toExponential(2)}, ` +
            `relatively ${d.relative.toExponential(2)}`);
    total.positions += n;
    total.absolute = Math.max(total.absolute, d.absolute);
    total.relative = Math.max(total.relative, d.relative);
}

async function comparePrompt(llama, model, prompt, total) {
    const tokens = llama.tokenize(prompt);
    const ours = ask("generate", "--model", model, "--prompt", prompt, "--temperature", "0",
        "--max-tokens", `${GREEDY}`, "--json");
    if (ours.tokens.join() !== tokens.join())
        return fail(`${shown(prompt)}: prompt's ${parting(ours.tokens, tokens)}`);
    const wanted = Math.min(GREEDY, llama.trainedLength - tokens.length);
    const theirs = await llama.greedy(tokens, wanted);
    const continuation = ours.continuation.slice(0, wanted);
    while (continuation.length && llama.isEnd(continuation.at(-1))) continuation.pop();
    let same = 0;
    while (same < theirs.length && theirs[same] === continuation[same]) same++;
    if (same === theirs.length && same === continuation.length) {
        total.greedy += same;
        return;
    }
    const choices = [continuation[same], theirs[same]].map((t) => t === undefined ? "end" : t);
    const [distribution] = (await llama.distributions([...tokens, ...theirs.slice(0, same)])).slice(-1);
    const p = choices.map((t) => distribution.find(([id]) => t === "end" ? llama.isEnd(id) : id === t)?.[1]);
    if (Math.abs(p[0] - p[1]) <= 2 * absolute) {
        total.greedy += same;
        total.ties++;
        return;
    }
    fail(`${shown(prompt)}: greedy parts after ${same} tokens: ${choices[0]}, llama.cpp ` +
        `${choices[1]} (its probabilities ${p.map((x) => x?.toExponential(3)).join(" and ")})`);
}

async function main() {
    const model = values.model ?? gguf;
    const total = {positions: 0, absolute: 0, relative: 0, greedy: 0, ties: 0};
    const some = (list) => values.quick ? list.slice(0, 1) : list;
    const llama = await openModel(gguf);
    for (const text of some(texts).slice(0, Number(values.texts))) await compareText(llama, model, text, total);
    for (const prompt of some(prompts)) await comparePrompt(llama, model, prompt, total);
    for (const line of failures) console.log(line);
    console.log(`${total.positions} positions, probabilities within ${total.absolute.toExponential(1)}, ` +
        `relatively ${total.relative.toExponential(1)}; ${total.greedy} greedy tokens` +
        (total.ties ? `, ${total.ties} near ties` : ""));
    return failures.length ? 1 : 0;
}

main().then(process.exit, (e) => {
    console.log(e.message);
    process.exit(2);
});
