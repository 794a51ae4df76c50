#!/usr/bin/env node
// llama.cpp behind linnet's command line, to try compare.mjs on: compared with itself it must pass,
// and with a fault asked for (POSING_FAULT=tokens|probability|greedy) it must fail.
import {parseArgs} from "node:util";
import {openModel} from "./llama.mjs";

const {values, positionals} = parseArgs({
    allowPositionals: true,
    options: {
        model: {type: "string"}, text: {type: "string"}, prompt: {type: "string"},
        top: {type: "string"}, temperature: {type: "string"}, "max-tokens": {type: "string"},
        json: {type: "boolean"}
    }
});
const fault = process.env.POSING_FAULT;
const llama = await openModel(values.model);
let out;
if (positionals[0] === "eval") {
    const tokens = llama.tokenize(values.text);
    const all = await llama.distributions(tokens.slice(0, llama.trainedLength));
    const positions = all.map((d) => d.slice(0, +values.top));
    if (fault === "tokens") tokens[tokens.length - 1]++;
    if (fault === "probability") positions.at(-1)[3][1] += 1e-3;
    out = {tokens, positions};
} else {
    const tokens = llama.tokenize(values.prompt);
    const continuation = await llama.greedy(tokens, +values["max-tokens"]);
    if (fault === "greedy") continuation[Math.min(5, continuation.length)] += 7;
    out = {tokens, continuation, text: llama.detokenize(continuation)};
}
console.log(JSON.stringify(out));
process.exit(0);
