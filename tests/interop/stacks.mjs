// The tokenizer stacks of published models, around small vocabularies made here.
//
//   node stacks.mjs make OUT SIZE CORPUS.txt LINNET   writes OUT/NAME/tokenizer.json for every stack
//   node stacks.mjs fixture OUT.json SIZE CORPUS.txt LINNET      what tests/tokenizer/test_stacks.c reads
//   node stacks.mjs texts OUT                          writes the nasty strings: OUT/texts.json
//   node stacks.mjs ids TOKENIZER.json TEXTS.json      prints Hugging Face's ids of each text, as JSON
//   node stacks.mjs compare LINNET TOKENIZER.json      the nasty strings and very long ones, ids against theirs
//
// Exit status 1 and the first differences when there are some.
import {execFileSync} from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {Tokenizer} from "tokenizers";
import {nasty} from "./nasty.mjs";

const SPACE = "\u2581";
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const edge = "[^\\r\\n\\p{L}\\p{N}]?", rest = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const nordic = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+";
const patterns = {
    gpt2: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    llama3: `${contractions}|${edge}\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${rest}`,
    qwen2: `${contractions}|${edge}\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${rest}`,
    qwen35: `${contractions}|${edge}[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${rest}`,
    tekken: `${edge}${upper}*${lower}+|${edge}${upper}+${lower}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${rest}`,
    gpt4o: `${edge}${upper}*${lower}+${contractions}?|${edge}${upper}+${lower}*${contractions}?|\\p{N}{1,3}` +
        `| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${rest}`,
    tiktoken: "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$" +
        "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"
};

const split = (pattern, behavior = "Isolated", invert = false) =>
    ({type: "Split", pattern: typeof pattern === "string" ? {Regex: pattern} : pattern, behavior, invert});
const byteLevel = (more) => ({type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false, ...more});
const sequence = (list, steps) => ({type: "Sequence", [list]: steps});
const pre = (...steps) => sequence("pretokenizers", steps);
const norm = (...steps) => sequence("normalizers", steps);
const replace = (pattern, content) => ({type: "Replace", pattern, content});
const escape = replace({String: " "}, SPACE), prepend = {type: "Prepend", prepend: SPACE};
const metaspace = (prepend_scheme, split = true) =>
    ({type: "Metaspace", replacement: SPACE, prepend_scheme, split});
const spDecoder = (prefix) => sequence("decoders", [replace({String: SPACE}, " "), {type: "ByteFallback"}, {type: "Fuse"},
    ...(prefix ? [{type: "Strip", content: " ", start: 1, stop: 0}] : [])]);
// The letters that have a case, as DeepSeek-LLM's file lists them.
const cased = "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377" +
    "\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-" +
    "\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18" +
    "-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-" +
    "\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115" +
    "\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-" +
    "\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-" +
    "\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}" +
    "\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}";
const cjk = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";

// Byte-level: the name, the pre-tokenizer, the rest.
const byteStacks = {
    gpt2: {pre_tokenizer: byteLevel({use_regex: true})},
    "prefix-space": {pre_tokenizer: byteLevel({use_regex: true, add_prefix_space: true})},
    llama3: {pre_tokenizer: pre(split(patterns.llama3), byteLevel()), model: {ignore_merges: true}},
    qwen2: {normalizer: {type: "NFC"}, pre_tokenizer: pre(split(patterns.qwen2), byteLevel())},
    smollm: {pre_tokenizer: pre({type: "Digits", individual_digits: true}, byteLevel({use_regex: true}))},
    qwen35: {normalizer: {type: "NFC"}, pre_tokenizer: pre(split(patterns.qwen35), byteLevel())},
    tekken: {pre_tokenizer: pre(split(patterns.tekken), byteLevel()), model: {ignore_merges: true}},
    gpt4o: {pre_tokenizer: pre(split(patterns.gpt4o), byteLevel())},
    tiktoken: {pre_tokenizer: pre(split(patterns.tiktoken), byteLevel())},
    "removed-inverted": {pre_tokenizer: pre(split(patterns.gpt4o, "Removed", true), byteLevel())},
    "deepseek-v3": {pre_tokenizer: pre(split("\\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
        split("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" +
              `| ?[\\p{P}\\p{S}]+[\\r\\n]*|${rest}`), byteLevel())},
    "deepseek-coder": {pre_tokenizer: pre(split("[\r\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), split(cjk),
        {type: "Digits", individual_digits: true}, byteLevel())},
    "deepseek-llm": {pre_tokenizer: pre(split("[\r\n]"), split("\\s?[A-Za-z\u00b5\u00c0-\u024f\u0370-\u052f]+"),
        split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split("\\s+$"), split(cjk),
        {type: "Digits", individual_digits: true}, byteLevel())},
    "pre-default": {pre_tokenizer: pre(split("[\\p{P}\\$\\+<=>\\^~\\|]+"), split(patterns.gpt2), split("\\p{N}+"),
        split("[0-9][0-9][0-9]"), byteLevel())},
    "pre-falcon": {pre_tokenizer: pre(split("[\\p{P}\\$\\+<=>\\^~\\|`]+"), split(patterns.gpt2), split("[0-9][0-9][0-9]"),
        byteLevel())},
    "pre-deepseek-llm": {pre_tokenizer: pre(split("[\\r\\n]"), split(`\\s?[${cased}]+`),
        split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split("\\s+$"), split(cjk),
        split("\\p{N}+"), byteLevel())},
    "pre-bailingmoe": {pre_tokenizer: pre(split("'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}" +
        "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"), byteLevel())},
    "pre-seed-coder": {pre_tokenizer: pre(split(`${contractions}|${edge}\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${rest}`),
        byteLevel())},
    "pre-viking": {pre_tokenizer: pre(split(nordic), split("\\p{N}"), byteLevel())},
    "pre-poro-chat": {pre_tokenizer: pre(split(nordic), byteLevel())},
    normalizers: {normalizer: norm({type: "NFKC"}, {type: "Lowercase"}, {type: "Strip", strip_left: true, strip_right: false},
        replace({Regex: " {2,}"}, " "), replace({String: "-"}, "~")), pre_tokenizer: byteLevel({use_regex: true})},
    decomposed: {normalizer: norm({type: "NFD"}, {type: "NFKD"}), pre_tokenizer: byteLevel({use_regex: true})},
    punctuation: {pre_tokenizer: pre({type: "Punctuation", behavior: "Contiguous"}, {type: "Digits", individual_digits: false},
        split("[0-9][0-9][0-9]"), split({String: " "}, "MergedWithNext"), byteLevel())},
    "merged-with-previous": {pre_tokenizer: pre(split("\\p{P}", "MergedWithPrevious"), split("\\s", "Contiguous"),
        split("[aeiou]+", "MergedWithNext"), byteLevel())},
    "zero-width": {pre_tokenizer: pre(split("(?=[A-Z])"), split("(?<=\\d)(?=\\D)", "MergedWithPrevious"), byteLevel())},
    whitespace: {pre_tokenizer: pre({type: "Whitespace"}, byteLevel())},
    "whitespace-split": {pre_tokenizer: pre({type: "WhitespaceSplit"}, byteLevel({add_prefix_space: true}))}
};

const bpe = {dropout: null, unk_token: "<unk>", fuse_unk: true, byte_fallback: true, ignore_merges: false,
    continuing_subword_prefix: null, end_of_word_suffix: null};
const charStacks = {
    llama2: {normalizer: norm(prepend, escape), pre_tokenizer: null, decoder: spDecoder(true)},
    gemma: {normalizer: escape, pre_tokenizer: split({String: " "}, "MergedWithPrevious"), decoder: spDecoder(false)},
    "metaspace-first": {normalizer: null, pre_tokenizer: metaspace("first", false), decoder: spDecoder(true)},
    "metaspace-always": {normalizer: null, pre_tokenizer: metaspace("always"), decoder: metaspace("always")},
    "metaspace-never": {normalizer: {type: "NFKC"}, pre_tokenizer: metaspace("never"), decoder: metaspace("never")},
    "metaspace-old": {normalizer: null, pre_tokenizer: {type: "Metaspace", replacement: SPACE, add_prefix_space: true},
        decoder: {type: "Metaspace", replacement: SPACE, add_prefix_space: true}},
    "no-fallback": {normalizer: norm(prepend, escape), pre_tokenizer: null, decoder: spDecoder(true),
        model: {byte_fallback: false, fuse_unk: false}},
    "fused-unknown": {normalizer: norm(prepend, escape), pre_tokenizer: null, decoder: spDecoder(true),
        model: {byte_fallback: false}},
    "digits-metaspace": {normalizer: null, pre_tokenizer: pre({type: "Digits", individual_digits: true},
        {type: "Punctuation"}, metaspace("always")), decoder: metaspace("always")}
};
const unigramStacks = {
    unigram: {normalizer: null, pre_tokenizer: metaspace("always"), decoder: metaspace("always")},
    "unigram-whole": {normalizer: norm({type: "NFKC"}, replace({Regex: " {2,}"}, " ")), pre_tokenizer: metaspace("first", false),
        decoder: metaspace("first")},
    "unigram-bytes": {normalizer: null, pre_tokenizer: metaspace("always"), decoder: spDecoder(true), model: {byte_fallback: true}}
};

function added(first) {
    const token = (content, flags = {}) => ({content, single_word: false, lstrip: false, rstrip: false, normalized: false,
        special: true, ...flags});
    return [token("<|endoftext|>"), token("<|sep|>", {special: false}), token("TOOL", {special: false, single_word: true}),
        token("<|lr|>", {lstrip: true, rstrip: true}), token("<NoRm>", {special: false, normalized: true}),
        token("<|im_start|>", {rstrip: true}), token("<|im_end|>", {lstrip: true})]
        .map((t, i) => ({id: first + i, ...t}));
}

const whole = (parts, model) => ({version: "1.0", truncation: null, padding: null, normalizer: null, post_processor: null,
    ...parts, model: {...model, ...parts.model}});

function byteLevelStack(name, base) {
    const n = Object.keys(base.model.vocab).length;
    return whole({decoder: byteLevel(), ...byteStacks[name], added_tokens: added(n),
        model: {...byteStacks[name].model}},
        {...bpe, type: "BPE", unk_token: null, fuse_unk: false, byte_fallback: false, vocab: base.model.vocab,
            merges: base.model.merges});
}

function trained(parts, model, corpus, size) {
    const t = Tokenizer.fromString(JSON.stringify(whole({added_tokens: [], decoder: null, ...parts, model: {}}, model)));
    t.train([corpus]);
    const saved = path.join(os.tmpdir(), `stacks-${process.pid}.json`);
    t.save(saved);
    const out = JSON.parse(fs.readFileSync(saved, "utf8")).model;
    fs.unlinkSync(saved);
    return out;
}

// As converters of SentencePiece's files do: every pair of pieces that makes a third is a merge, in the
// order of the third's score, which is its place here.
function allMerges(vocab) {
    const merges = [];
    for (const [piece, id] of Object.entries(vocab)) {
        const chars = [...piece];
        for (let i = 1; i < chars.length; i++) {
            const left = chars.slice(0, i).join(""), right = chars.slice(i).join("");
            if (left in vocab && right in vocab) merges.push([id, vocab[left], vocab[right], left, right]);
        }
    }
    merges.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
    return merges.map((m) => [m[3], m[4]]);
}

function charLevelBase(corpus, size) {
    const model = trained({pre_tokenizer: metaspace("always")},
        {...bpe, type: "BPE", unk_token: null, fuse_unk: false, byte_fallback: false, vocab: {}, merges: []}, corpus);
    const pieces = Object.entries(model.vocab).sort((a, b) => a[1] - b[1]).map(([p]) => p);
    const letters = pieces.filter((p) => [...p].length === 1).slice(0, size / 3 | 0);
    if (!letters.includes(SPACE)) letters.push(SPACE);
    const words = pieces.filter((p) => [...p].length > 1 && [...p].every((c) => letters.includes(c)));
    const runs = [2, 3, 4, 8].map((n) => SPACE.repeat(n));
    const bytes = Array.from({length: 256}, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);
    const vocab = {};
    for (const p of ["<unk>", "<s>", "</s>", ...bytes, ...runs, ...words.slice(0, size), ...letters]) vocab[p] ??= Object.keys(vocab).length;
    return {vocab, merges: allMerges(vocab)};
}

function charLevelStack(name, base) {
    const n = Object.keys(base.vocab).length;
    const special = ["<unk>", "<s>", "</s>"].map((content, id) =>
        ({id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true}));
    // With a space of its own put before it, a normalized token is never found: theirs warns of nothing.
    return whole({...charStacks[name], added_tokens: [...special, ...added(n)], model: {...charStacks[name].model}},
        {...bpe, type: "BPE", ...base});
}

function unigramStack(name, base) {
    const bytes = Array.from({length: 256}, (_, b) => [`<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`, 0]);
    const vocab = unigramStacks[name].model?.byte_fallback ? [...base.vocab, ...bytes] : base.vocab;
    return whole({...unigramStacks[name], added_tokens: added(vocab.length), model: {...unigramStacks[name].model}},
        {type: "Unigram", unk_id: base.unk_id, vocab, byte_fallback: false});
}

function stacks(size, corpus, linnet) {
    const all = {};
    const save = (name, root) => { all[name] = root; };
    const base = path.join(os.tmpdir(), `stacks-base-${process.pid}.json`);
    execFileSync(linnet, ["tokenizer", "train", "--quiet", "--data", corpus, "--vocab-size", `${+size + 256}`, "--splitter",
        "llama3", "--special-token", "<s>", "--out", base]);
    const bytes = JSON.parse(fs.readFileSync(base, "utf8"));
    fs.unlinkSync(base);
    for (const name of Object.keys(byteStacks)) save(name, byteLevelStack(name, bytes));
    const chars = charLevelBase(corpus, +size);
    for (const name of Object.keys(charStacks)) save(name, charLevelStack(name, chars));
    const unigram = trained({pre_tokenizer: metaspace("always")}, {type: "Unigram", unk_id: 0, vocab: [["<unk>", 0]]}, corpus);
    let vocab = unigram.vocab;
    if (unigram.unk_id === null || unigram.unk_id === undefined) vocab = [["<unk>", 0], ...vocab];
    vocab = vocab.slice(0, 2 * +size);
    for (const name of Object.keys(unigramStacks)) save(name, unigramStack(name, {vocab, unk_id: unigram.unk_id ?? 0}));
    return all;
}

function make(out, size, corpus, linnet) {
    for (const [name, root] of Object.entries(stacks(size, corpus, linnet))) {
        fs.mkdirSync(path.join(out, name), {recursive: true});
        fs.writeFileSync(path.join(out, name, "tokenizer.json"), JSON.stringify(root));
    }
}

// FNV-1a over whole ids.
const digest = (ids) => ids.reduce((h, id) => Math.imul(h ^ id, 16777619) >>> 0, 2166136261);

// All stacks, what several of them share written once, with the number and the digest of Hugging Face's ids
// of every nasty string; for tests/tokenizer/test_stacks.c.
async function fixture(out, size, corpus, linnet) {
    const shared = {}, places = new Map();
    const share = (value) => {
        const text = JSON.stringify(value);
        if (!places.has(text)) {
            places.set(text, `part${places.size}`);
            shared[places.get(text)] = value;
        }
        return places.get(text);
    };
    const list = {};
    for (const [name, root] of Object.entries(stacks(size, corpus, linnet))) {
        const ids = await idsOf(Tokenizer.fromString(JSON.stringify(root)), nasty);
        const model = {...root.model, vocab: share(root.model.vocab)};
        if (model.merges) model.merges = share(model.merges);
        list[name] = {root: {...root, added_tokens: share(root.added_tokens), model},
            ids: ids.map((l) => [l.length, digest(l)])};
    }
    const lines = ["{", `"texts": ${JSON.stringify(nasty)},`, '"shared": {',
        Object.entries(shared).map(([k, v]) => `${JSON.stringify(k)}: ${JSON.stringify(v)}`).join(",\n"), "},", '"stacks": {',
        Object.entries(list).map(([k, v]) => `${JSON.stringify(k)}: ${JSON.stringify(v)}`).join(",\n"), "}", "}"];
    fs.writeFileSync(out, lines.join("\n") + "\n");
}

async function idsOf(tokenizer, texts) {
    const all = [];
    for (const text of texts) all.push([...(await tokenizer.encode(text, null, {addSpecialTokens: false})).getIds()]);
    return all;
}

function ours(linnet, tokenizer, text, file) {
    fs.writeFileSync(file, text);
    const line = execFileSync(linnet, ["tokenizer", "encode", "--quiet", "--tokenizer", tokenizer, "--whole", "--file", file],
        {maxBuffer: 1 << 30}).toString().trim();
    return line ? line.split(" ").map(Number) : [];
}

const long = [" ".repeat(1 << 20), " ".repeat(1 << 20) + "x", "a".repeat(1 << 20), "\n".repeat(1 << 18), "1".repeat(1 << 18),
    "\u00e9".repeat(1 << 18), "ab ".repeat(1 << 18), "-".repeat(1 << 18)];

async function compare(linnet, tokenizer, withLong) {
    const theirs = Tokenizer.fromFile(tokenizer);
    const file = path.join(os.tmpdir(), `stacks-${process.pid}.txt`);
    const texts = [...nasty, ...(withLong ? long : [])];
    const expected = await idsOf(theirs, nasty);
    let bad = 0;
    for (const [i, text] of texts.entries()) {
        const start = performance.now();
        const got = ours(linnet, tokenizer, text, file);
        const seconds = (performance.now() - start) / 1000;
        if (seconds > 10) { console.log(`${JSON.stringify(text.slice(0, 20))} x ${text.length} took ${seconds.toFixed(1)} s`); bad++; }
        const wanted = expected[i] ?? (await idsOf(theirs, [text]))[0];
        if (got.join() === wanted.join()) continue;
        const at = wanted.findIndex((id, k) => id !== got[k]);
        if (bad++ < 4)
            console.log(`${JSON.stringify(text.slice(0, 80))}: id ${at} of ${wanted.length}\n  linnet       ` +
                `${got.slice(Math.max(0, at - 2), at + 10).map((id) => JSON.stringify(theirs.idToToken(id)))}\n  Hugging Face ` +
                `${wanted.slice(Math.max(0, at - 2), at + 10).map((id) => JSON.stringify(theirs.idToToken(id)))}`);
    }
    fs.rmSync(file, {force: true});
    console.log(`${texts.length - bad} of ${texts.length} texts have the same ids`);
    return bad ? 1 : 0;
}

const [, , verb, ...args] = process.argv;
if (verb === "make" && args.length === 4) make(...args);
else if (verb === "fixture" && args.length === 4) await fixture(...args);
else if (verb === "texts" && args.length === 1) fs.writeFileSync(path.join(args[0], "texts.json"), JSON.stringify(nasty));
else if (verb === "ids" && args.length === 2)
    console.log(JSON.stringify(await idsOf(Tokenizer.fromFile(args[0]), JSON.parse(fs.readFileSync(args[1], "utf8")))));
else if (verb === "compare" && args.length >= 2) process.exitCode = await compare(args[0], args[1], args[2] === "long");
else {
    console.log("usage: make OUT SIZE CORPUS.txt LINNET | fixture OUT.json SIZE CORPUS.txt LINNET | texts OUT | ids TOKENIZER.json TEXTS.json | " +
        "compare LINNET TOKENIZER.json [long]");
    process.exitCode = 2;
}
