// linnet serve as OpenAI's own client sees it.
//
//     node serve.mjs api URL       every endpoint, streams, errors, a stream broken off
//     node serve.mjs crowd URL     64 clients at once: whole answers, streams, streams broken off, connections
//                                  dropped, bodies that are no JSON or too large
import assert from "node:assert/strict";
import net from "node:net";
import OpenAI from "openai";

const [what, url] = process.argv.slice(2);
const client = new OpenAI({baseURL: url + "/v1", apiKey: "none", maxRetries: 0, timeout: 120000});
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const messages = [{role: "user", content: "Hello"}];

async function metric(name) {
    const text = await (await fetch(url + "/metrics")).text();
    return Number(text.match(new RegExp(`^linnet_${name} (.*)$`, "m"))[1]);
}
async function untilIdle() {
    for (let i = 0; i < 200; i++) {
        if (await metric("slots_busy") + await metric("queue_length") === 0) return;
        await pause(50);
    }
    assert.fail("slots stay busy");
}
async function collect(stream) {
    const out = {text: "", reason: null, usage: null, chunks: 0, roles: []};
    for await (const chunk of stream) {
        out.chunks++;
        if (chunk.usage) out.usage = chunk.usage;
        const choice = chunk.choices[0];
        if (!choice) continue;
        if (choice.delta?.role) out.roles.push([out.chunks, choice.delta.role]);
        out.text += choice.delta ? choice.delta.content ?? "" : choice.text;
        out.reason = choice.finish_reason ?? out.reason;
    }
    return out;
}

async function wholeAndStream() {
    const options = {model: "any", max_tokens: 20, temperature: 0};
    const whole = await client.completions.create({...options, prompt: "Once upon a time"});
    const usage = {include_usage: true};
    let s = await collect(await client.completions.create({...options, prompt: "Once upon a time", stream: true,
        stream_options: usage}));
    assert.equal(s.text, whole.choices[0].text);
    assert.equal(s.reason, whole.choices[0].finish_reason);
    assert.equal(s.usage.completion_tokens, whole.usage.completion_tokens);
    assert.equal(s.usage.total_tokens, s.usage.prompt_tokens + s.usage.completion_tokens);
    assert.ok(s.usage.prompt_tokens_details.cached_tokens > 0);
    const chat = await client.chat.completions.create({...options, messages});
    assert.equal(chat.choices[0].message.role, "assistant");
    s = await collect(await client.chat.completions.create({...options, messages, stream: true, stream_options: usage}));
    assert.equal(s.text, chat.choices[0].message.content);
    assert.deepEqual(s.roles, [[1, "assistant"]]);
    assert.equal(s.usage.prompt_tokens, chat.usage.prompt_tokens);
}

async function seedsAndChoices() {
    const options = {model: "any", prompt: "The", max_tokens: 16, temperature: 1.2, seed: 11, n: 3, logprobs: 3};
    const [a, b] = [await client.completions.create(options), await client.completions.create(options)];
    assert.equal(a.choices.length, 3);
    assert.deepEqual(a.choices.map((c) => c.text), b.choices.map((c) => c.text));
    assert.notEqual(a.choices[0].text, a.choices[1].text);
    const {tokens, token_logprobs: values, top_logprobs: tops} = a.choices[0].logprobs;
    assert.ok(tokens.length <= 16 && values.length === tokens.length && values.every((v) => v <= 0));
    assert.ok(tops.every((t) => Object.keys(t).length >= 1 && Object.keys(t).length <= 3));
    const stop = a.choices[0].text.slice(3, 5);
    const cut = await client.completions.create({...options, n: 1, stop: [stop]});
    assert.equal(cut.choices[0].text, a.choices[0].text.slice(0, a.choices[0].text.indexOf(stop)));
    assert.equal(cut.choices[0].finish_reason, "stop");
    const chat = await client.chat.completions.create({model: "any", messages, max_tokens: 4, logprobs: true,
        top_logprobs: 2});
    for (const t of chat.choices[0].logprobs.content) {
        assert.equal(Buffer.from(t.bytes).toString(), t.token);
        assert.equal(t.top_logprobs.length, 2);
    }
}

async function errors() {
    const refused = (kind, status, param, promise) => assert.rejects(promise, (e) => {
        assert.ok(e instanceof kind, String(e));
        assert.equal(e.status, status);
        assert.equal(e.param ?? null, param);
        return true;
    });
    const create = (o) => client.chat.completions.create({model: "any", messages, ...o});
    await refused(OpenAI.BadRequestError, 400, "temperature", create({temperature: "x"}));
    await refused(OpenAI.BadRequestError, 400, "messages", create({messages: []}));
    await refused(OpenAI.BadRequestError, 400, "messages", create({messages: [{role: "user", content: "x ".repeat(9000)}]}));
    await refused(OpenAI.InternalServerError, 501, null, client.embeddings.create({model: "any", input: "x"}));
    await refused(OpenAI.NotFoundError, 404, null, client.images.generate({prompt: "x"}));
}

async function brokenOff() {
    const before = await metric("generated_tokens_total");
    const stream = await client.chat.completions.create({model: "any", messages, stream: true, max_tokens: 400,
        extra: 0, ignore_eos: true});
    let n = 0;
    for await (const chunk of stream) if (chunk.choices[0].delta.content && ++n === 5) break;
    stream.controller.abort();
    await untilIdle();
    assert.ok(await metric("generated_tokens_total") - before < 400, "it went on");
    // one that waits for a whole answer
    const abort = new AbortController();
    const whole = client.completions.create({model: "any", prompt: "x", max_tokens: 450, ignore_eos: true},
        {signal: abort.signal}).catch(() => 0);
    await pause(20);
    abort.abort();
    await whole;
    await untilIdle();
}

async function api() {
    const models = await client.models.list();
    assert.equal(models.data.length, 1);
    await wholeAndStream();
    await seedsAndChoices();
    await errors();
    await brokenOff();
    console.log("models, completions, conversations, streams, errors, a stream broken off");
}

// Sends what it likes and leaves in the middle.
function raw(text, ms) {
    return new Promise((resolve) => {
        const {hostname, port} = new URL(url);
        const socket = net.connect(Number(port), hostname, () => socket.write(text));
        socket.on("error", () => 0).on("close", resolve).on("data", () => 0);
        setTimeout(() => socket.destroy(), ms);
    });
}

const counts = {};
async function answered(name, promise) {
    try {
        await promise;
        counts[name] = (counts[name] ?? 0) + 1;
    } catch (e) {
        if (e.status !== 429) throw e;
        counts.refused = (counts.refused ?? 0) + 1;
        await pause(100);
    }
}

async function one(client_number, expected) {
    const options = {model: "any", prompt: "Once upon a time", max_tokens: 24, temperature: 0};
    for (let round = 0; round < 6; round++) {
        const kind = (client_number + round) % 6;
        if (kind === 0)
            await answered("whole", client.completions.create(options).then((r) =>
                assert.equal(r.choices[0].text, expected)));
        if (kind === 1)
            await answered("streams", client.completions.create({...options, stream: true}).then(collect).then((s) =>
                assert.equal(s.text, expected)));
        if (kind === 2)
            await answered("broken off", client.chat.completions.create({model: "any", messages, stream: true,
                max_tokens: 300, ignore_eos: true}).then(async (s) => {
                let n = 0;
                for await (const chunk of s) if (chunk && ++n === 1 + client_number % 7) break;
                s.controller.abort();
            }));
        if (kind === 3) {
            const body = JSON.stringify({prompt: "x", max_tokens: 200, stream: round % 2 === 0});
            await raw(`POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n` +
                body.slice(0, client_number % 3 ? body.length : 9), client_number * 3);
            counts.dropped = (counts.dropped ?? 0) + 1;
        }
        if (kind === 4) {
            const r = await fetch(url + "/v1/completions", {method: "POST", body: '{"prompt": [[['});
            assert.equal(r.status, 400);
            assert.equal((await r.json()).error.code, "invalid_json");
            counts.malformed = (counts.malformed ?? 0) + 1;
        }
        if (kind === 5) {
            const r = await fetch(url + "/v1/completions", {method: "POST", body: "x".repeat(200000)});
            assert.equal(r.status, 413);
            await r.json();
            counts["too large"] = (counts["too large"] ?? 0) + 1;
        }
    }
}

async function crowd() {
    const {choices} = await client.completions.create({model: "any", prompt: "Once upon a time", max_tokens: 24,
        temperature: 0});
    await Promise.all(Array.from({length: 64}, (_, i) => one(i, choices[0].text)));
    await untilIdle();
    assert.equal((await fetch(url + "/health")).status, 200);
    for (const kind of ["whole", "streams", "broken off", "dropped", "malformed", "too large"])
        assert.ok(counts[kind] > 0, "none of: " + kind);
    console.log(Object.entries(counts).map(([k, n]) => n + " " + k).join(", "));
}

await {api, crowd}[what]();
