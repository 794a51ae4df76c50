// Vocabularies in GGUF files against llama.cpp.
//
//   node vocab.mjs model DIR                 writes config.json and model.safetensors of a tiny model beside
//                                            DIR/tokenizer.json, so that linnet can export it
//   node vocab.mjs compare LINNET FILE.gguf TEXT.txt...
//                                            the nasty strings and every line of the texts: linnet's ids of the
//                                            file against llama.cpp's
//
// Exit status 1 and the first differences when there are some.
import {execFileSync} from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {nasty} from "./nasty.mjs";

function model(dir) {
    const root = JSON.parse(fs.readFileSync(path.join(dir, "tokenizer.json"), "utf8"));
    const ids = [...root.added_tokens.map((t) => t.id),
        ...(Array.isArray(root.model.vocab) ? root.model.vocab.map((_, i) => i) : Object.values(root.model.vocab))];
    const vocab = Math.max(...ids) + 1, hidden = 32, ff = 32;
    const shapes = {"model.embed_tokens.weight": [vocab, hidden], "model.norm.weight": [hidden]};
    for (const n of ["q", "k", "v", "o"]) shapes[`model.layers.0.self_attn.${n}_proj.weight`] = [hidden, hidden];
    for (const n of ["gate", "up", "down"]) shapes[`model.layers.0.mlp.${n}_proj.weight`] = [hidden, ff];
    for (const n of ["input", "post_attention"]) shapes[`model.layers.0.${n}_layernorm.weight`] = [hidden];
    const header = {__metadata__: {format: "pt"}};
    let at = 0;
    for (const [name, shape] of Object.entries(shapes)) {
        const end = at + 4 * shape.reduce((a, b) => a * b, 1);
        header[name] = {dtype: "F32", shape, data_offsets: [at, end]};
        at = end;
    }
    let json = JSON.stringify(header);
    json += " ".repeat((8 - json.length % 8) % 8);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(json.length));
    fs.writeFileSync(path.join(dir, "model.safetensors"), Buffer.concat([size, Buffer.from(json), Buffer.alloc(at)]));
    fs.writeFileSync(path.join(dir, "config.json"), JSON.stringify({architectures: ["LlamaForCausalLM"], model_type: "llama",
        hidden_size: hidden, intermediate_size: ff, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 2,
        vocab_size: vocab, max_position_embeddings: 128, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: true,
        hidden_act: "silu", torch_dtype: "float32"}));
}

async function compare(linnet, gguf, files) {
    const {getLlama, LlamaLogLevel} = await import("node-llama-cpp");
    const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error});
    const theirs = await llama.loadModel({modelPath: gguf, vocabOnly: true});
    const file = path.join(os.tmpdir(), `vocab-${process.pid}.txt`);
    const encode = (name, more) => execFileSync(linnet, ["tokenizer", "encode", "--quiet", "--no-special", "--tokenizer", gguf,
        "--file", name, ...more], {maxBuffer: 1 << 30}).toString();
    let bad = 0, n = 0;
    const check = (text, got) => {
        const wanted = theirs.tokenize(text, false);
        n++;
        if (got.join() === wanted.join()) return;
        const at = wanted.findIndex((id, k) => id !== got[k]);
        const show = (ids) => JSON.stringify(ids.slice(Math.max(0, at - 2), at + 8).map((id) => theirs.detokenize([id], true)));
        if (bad++ < 4) console.log(`${JSON.stringify(text.slice(0, 80))}: id ${at}\n  linnet    ${show(got)}\n  llama.cpp ${show(wanted)}`);
    };
    const ids = (line) => line.trim() ? line.trim().split(" ").map(Number) : [];
    for (const text of nasty) {
        fs.writeFileSync(file, text);
        check(text, ids(encode(file, ["--whole"])));
    }
    for (const name of files) {
        const lines = fs.readFileSync(name, "utf8").split("\n");
        if (lines.at(-1) === "") lines.pop();
        for (const [i, line] of encode(name, []).trimEnd().split("\n").entries()) check(lines[i] ?? "", ids(line));
    }
    fs.rmSync(file, {force: true});
    console.log(`${n - bad} of ${n} texts have llama.cpp's ids`);
    return bad ? 1 : 0;
}

const [, , verb, ...args] = process.argv;
if (verb === "model" && args.length === 1) model(args[0]);
else if (verb === "compare" && args.length >= 2) process.exit(await compare(args[0], args[1], args.slice(2)));
else {
    console.log("usage: model DIR | compare LINNET FILE.gguf TEXT.txt...");
    process.exit(2);
}
