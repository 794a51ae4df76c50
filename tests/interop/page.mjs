// The chat page in a real browser: types a message, waits for the answer, stops one, and looks for what a hostile
// model could do.
//
//     node page.mjs CHROMIUM URL
import assert from "node:assert/strict";
import puppeteer from "puppeteer-core";

const [executablePath, url] = process.argv.slice(2);
const browser = await puppeteer.launch({executablePath, headless: true, args: ["--no-sandbox", "--disable-gpu"]});
const page = await browser.newPage();
const wrong = [];
page.on("pageerror", (e) => wrong.push(String(e)));
page.on("console", (m) => m.type() === "error" && wrong.push(m.text()));
page.on("request", (r) => !r.url().startsWith(url) && !r.url().startsWith("data:") && wrong.push("asks for " + r.url()));
const texts = (role) => page.$$eval(`.message.${role} span:last-child`, (all) => all.map((e) => e.textContent));
const idle = () => page.waitForFunction(() => !document.getElementById("send").hidden, {timeout: 30000});

try {
    await page.goto(url + "/");
    await page.waitForFunction(() => document.title !== "linnet");
    // the field has the focus, Enter sends; answers are text, whatever they look like
    await page.$eval("#max_tokens", (e) => { e.value = "30"; });
    await page.keyboard.type("Hello <img src=x onerror=alert(1)>");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".message.assistant");
    await idle();
    assert.deepEqual(await texts("user"), ["Hello <img src=x onerror=alert(1)>"]);
    const [first] = await texts("assistant");
    assert.ok(first.length > 0, "no answer");
    assert.equal(await page.$$eval("main img", (all) => all.length), 0);
    assert.match(await page.$eval("#state", (e) => e.textContent), /^\d+ tokens in /);
    // a second turn, stopped with Escape
    await page.$eval("#max_tokens", (e) => { e.value = "400"; });
    await page.$eval("#system", (e) => { e.value = "Be long."; });
    await page.keyboard.type("And more");
    await page.keyboard.down("Shift");
    await page.keyboard.press("Enter");
    await page.keyboard.up("Shift");
    await page.keyboard.type("please");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelectorAll(".message.assistant span:last-child")[1]?.textContent);
    await page.keyboard.press("Escape");
    await idle();
    assert.equal((await texts("user"))[1], "And more\nplease");
    // what the server refuses is said, and the message comes back
    await page.$eval("#temperature", (e) => { e.value = "-1"; });
    await page.type("#text", "again");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".message.error");
    await idle();
    assert.match((await texts("error"))[0], /"temperature" must be/);
    assert.equal(await page.$eval("#text", (e) => e.value), "again");
    await page.click("#clear");
    assert.equal((await texts("user")).length, 0);
    // nothing but its own script may run
    await page.evaluate(() => {
        const s = document.createElement("script");
        s.textContent = "window.foreign = 1";
        document.body.append(s);
    });
    assert.equal(await page.evaluate(() => window.foreign), undefined);
    const unexpected = wrong.filter((w) => !/Content Security Policy|400 \(Bad Request\)|favicon/.test(w));
    assert.deepEqual(unexpected, []);
    console.log(`an answer of ${first.length} characters, one stopped, one refused`);
} finally {
    await browser.close();
}
