// Speed of llama.cpp (node-llama-cpp's prebuilt library): a prompt of P tokens, then G tokens one by one.
//   node llama_infer.mjs MODEL.gguf THREADS P G REPEAT     prints "prefill decode" in tokens per second, the fastest
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [modelPath, ...numbers] = process.argv.slice(2);
const [threads, p, g, repeat] = numbers.map(Number);
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: threads});
const model = await llama.loadModel({modelPath});
const context = await model.createContext({contextSize: p + g + 8, batchSize: p, threads: {ideal: threads, min: threads}});
const sequence = context.getSequence();
const prompt = Array.from({length: p}, (_, i) => (i * 7919) % 32000);
let prefill = 0, decode = 0;
for (let i = 0; i < repeat; i++) {
    await sequence.clearHistory();
    const begin = performance.now();
    await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, -1));
    const fed = performance.now();
    prefill = Math.max(prefill, (p - 1) / (fed - begin) * 1e3);
    let n = 0, last = fed;
    for await (const token of sequence.evaluate(prompt.slice(-1), {temperature: 0, yieldEogToken: true})) {
        void token;
        if (++n === 1) last = performance.now(); // the first came with the prompt's last token
        if (n > g) break;
    }
    decode = Math.max(decode, g / (performance.now() - last) * 1e3);
}
console.log(prefill.toFixed(2), decode.toFixed(2));
process.exit(0);
