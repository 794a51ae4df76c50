// The real llama.cpp, through node-llama-cpp's prebuilt library: tokens, whole next-token
// distributions, greedy continuations.
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const WHOLE = {temperature: 1, topK: 0, topP: 1, minP: 0};
let library;

// Keys and values are cached in f32 and flash attention is off: with its default f16 cache
// llama.cpp's probabilities are off by 5e-4 on a trained 260K model, this way by 2e-6 (against f64).
export async function openModel(modelPath, {adapter, scale = 1} = {}) {
    library ??= await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error});
    const model = await library.loadModel({modelPath});
    const context = await model.createContext({
        contextSize: Math.min(512, model.trainContextSize), batchSize: 512, threads: 1,
        flashAttention: false,
        experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
        lora: adapter ? {adapters: [{filePath: adapter, scale}]} : undefined
    });
    const sequence = context.getSequence();

    // With BOS in front when the file asks for it; special tokens written in the text stay text.
    function tokenize(text) {
        const tokens = [...model.tokenize(text, false)];
        if (model.tokens.shouldPrependBosToken) tokens.unshift(model.tokens.bos);
        return tokens;
    }
    async function probabilities(tokens) {
        await sequence.clearHistory();
        const ask = {generateNext: {probabilities: true, options: WHOLE}};
        return (await sequence.controlledEvaluate(tokens.map((t) => [t, ask]))).map((r) => r.next.probabilities);
    }
    // For each position, [id, probability] of the whole vocabulary, likeliest first.
    async function distributions(tokens) {
        return (await probabilities(tokens)).map((p) => [...p.entries()].sort((a, b) => b[1] - a[1]));
    }
    // -ln of the probability of each token but the first, given those before it.
    async function losses(tokens) {
        const all = await probabilities(tokens.slice(0, -1));
        return all.map((p, i) => -Math.log(p.get(tokens[i + 1])));
    }
    // Up to n ids, each the likeliest; ends before an end-of-generation token.
    async function greedy(tokens, n) {
        await sequence.clearHistory();
        const out = [];
        for await (const t of sequence.evaluate(tokens, {temperature: 0})) {
            out.push(t);
            if (out.length >= n) break;
        }
        return out;
    }
    return {
        tokenize, distributions, losses, greedy,
        detokenize: (tokens) => model.detokenize(tokens),
        isEnd: (t) => model.isEogToken(t),
        end: model.tokens.eos,
        length: context.contextSize, // a multiple of 256, so maybe more than the model was made for
        trainedLength: model.trainContextSize,
        close: () => model.dispose()
    };
}
