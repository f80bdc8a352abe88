// The page of `pianola serve` in headless Chromium: page_test.mjs PIANOLA SOURCE OUTPUT. Leaves screenshots in OUTPUT.
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { metric, serve, until } from "../support/serve_process.mjs";

const [pianola, source, output] = process.argv.slice(2);
const browser_path = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
const playwright = await import("playwright-core").catch(() => null);
if (!playwright || !browser_path) {
  const required = process.env.PIANOLA_REQUIRE_ORACLES === "1";
  console.log(`${required ? "FAILED" : "skipped"}: needs playwright-core (tests/setup_oracles.sh) and Debian's chromium`);
  process.exit(required ? 1 : 77);
}

mkdirSync(output, { recursive: true });
const model = path.join(source, "models/nursery-llama");
const KEY = "sesame";
const WIDE = { viewport: { width: 1360, height: 860 } };
const problems = [];
const servers = [];
let browser;

async function start(...options) {
  const server = await serve(pianola, model, ...options);
  servers.push(server.child);
  return server.url;
}

async function open(address, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => request.url().startsWith(address) || problems.push(`asks ${request.url()}`));
  await page.goto(address);
  return page;
}

async function untilReady(page) {
  await page.waitForFunction(() => document.getElementById("status").textContent === "ready");
  await page.waitForFunction(() => document.getElementById("window").textContent.startsWith("Cycles 0 to"));
}

const screenshot = (page, name) => page.screenshot({ path: path.join(output, `${name}.png`), fullPage: true });
const text = (page, selector) => page.locator(selector).textContent();
const number = async (page, selector) => Number((await text(page, selector)).replaceAll(",", ""));
const notes = (page) => page.locator(".message.assistant small").count();
// How many pixels of the schedule are neither empty nor text: those right of the labels, in the rows.
const inked = (page) =>
  page.evaluate(() => {
    const canvas = document.getElementById("timeline"), left = 95 * devicePixelRatio;
    const { data } = canvas.getContext("2d").getImageData(left, 25, canvas.width - left, canvas.height - 25);
    let count = 0;
    for (let i = 3; i < data.length; i += 4) count += data[i] > 40;
    return count;
  });

async function showsTheMachine(page, address) {
  const machine = await (await fetch(`${address}/pianola/machine`)).json();
  assert.equal(await text(page, "#model"), "nursery-llama");
  assert.equal(await text(page, "#target"), `${machine.target} at ${machine.clock_mhz} MHz`);
  assert.equal(await text(page, "#executor"), "emulator");
  assert.equal(await page.locator(".unit").count(), machine.units.length);
  assert.equal(await page.locator(".cell").count(), machine.queues.length);
  assert.equal(await page.locator("#entries tr").count(), machine.entries.length);
  const decode = machine.entries.find((entry) => entry.kind === "decode");
  assert.equal(await page.locator("#entry").inputValue(), decode.name);
  assert.ok((await text(page, "#window")).includes(`of ${decode.cycles.toLocaleString("en")}`));
  assert.ok((await inked(page)) > 2000, "the schedule is drawn");
  const whole = await (await fetch(`${address}/pianola/timeline?entry=${encodeURIComponent(decode.name)}&bins=1`)).json();
  assert.equal(whole.cycles, decode.cycles);
  const [queue, [issues]] = Object.entries(whole.busy)[0];
  const title = await page.locator(".cell").evaluateAll((cells) => cells.map((cell) => cell.title));
  const label = `${machine.queues[queue]}: ${((100 * issues) / decode.cycles).toFixed(1)} % busy`;
  assert.ok(title.includes(label), `${label} in ${title}`);
}

async function zoomsByKeysAndPointer(page) {
  const whole = await text(page, "#window");
  const shows = async (change) => {
    const before = await text(page, "#window");
    await change();
    await page.waitForFunction((old) => document.getElementById("window").textContent !== old, before);
  };
  await page.locator("#timeline").focus();
  await shows(() => page.keyboard.press("+"));
  await shows(() => page.keyboard.press("ArrowRight"));
  await shows(() => page.keyboard.press("-"));
  await shows(() => page.locator("#zoom-in").click());
  await page.locator("#timeline").scrollIntoViewIfNeeded();
  const box = await page.locator("#timeline").boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + 40);
  await shows(() => page.mouse.wheel(0, -900));
  assert.match(await text(page, "#tip"), /cycle [\d,]+: /);
  await screenshot(page, "zoomed");
  await shows(async () => {
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2 - 150, box.y + 40, { steps: 4 });
    await page.mouse.up();
  });
  await page.locator("#timeline").focus();
  await page.keyboard.press("Home");
  await page.waitForFunction((old) => document.getElementById("window").textContent === old, whole);
  const entries = page.locator("#entries button");
  await shows(() => entries.last().click());
  assert.equal(await page.locator("#entry").inputValue(), await entries.last().textContent());
}

// Sends a prompt and waits for the answer's end; what the page asked for and got.
async function say(page, prompt, send) {
  const before = await notes(page);
  const asked = page.waitForRequest("**/v1/chat/completions");
  await page.locator("#prompt").fill(prompt);
  await send();
  const request = await asked;
  await page.waitForFunction((count) => document.querySelectorAll(".message.assistant small").length > count, before);
  const events = (await (await request.response()).text()).split("\n\n").filter((event) => event.startsWith("data: {"));
  return { body: request.postDataJSON(), chunks: events.map((event) => JSON.parse(event.slice(6))) };
}

const shownAnswer = (page) => page.locator(".message.assistant").last().evaluate((bubble) => bubble.firstChild.data);

async function streamsAnAnswer(page, address, headers = {}) {
  const first = await say(page, "Tell me a story", () => page.keyboard.press("Enter"));
  const { messages, temperature, max_tokens, seed, stream, stream_options } = first.body;
  assert.deepEqual(messages, [{ role: "user", content: "Tell me a story" }]);
  assert.deepEqual([temperature, seed, stream, stream_options], [0.8, undefined, true, { include_usage: true }]);
  // The same request elsewhere, whole: the same text and cycles, as nothing of either was in a slot.
  const { stream: a, stream_options: b, ...same } = first.body;
  const whole = await (await fetch(`${address}/v1/chat/completions`, {
    method: "POST", headers, body: JSON.stringify({ ...same, cache_prompt: false }),
  })).json();
  assert.ok(whole.choices[0].message.content.length > 20);
  assert.equal(await shownAnswer(page), whole.choices[0].message.content);
  assert.ok(whole.usage.completion_tokens <= max_tokens);
  assert.ok(first.chunks.filter((chunk) => chunk.choices[0]?.delta.content).length > 5, "it came in pieces");
  const report = first.chunks.at(-1).pianola;
  assert.deepEqual([report.cached_tokens, report.cycles], [0, whole.pianola.cycles]);
  assert.equal(await number(page, "#cycles"), report.cycles);
  assert.equal(await number(page, "#target-speed"), Number(report.tokens_per_second.toPrecision(4)));
  assert.equal(await number(page, "#frozen"), report.frozen_cycles);
  assert.ok((await number(page, "#simulation-speed")) > 1);
  assert.match(await text(page, "#simulation-note"), new RegExp(report.executor));
  assert.match(await text(page, "#target-note"), /× /);
  assert.match(await text(page, "#launches-note"), new RegExp(`in ${report.launches} launches`));
  const second = await say(page, "And then?\nGo on.", () => page.locator("#send").click());
  assert.deepEqual(second.body.messages.map((message) => message.role), ["user", "assistant", "user"]);
  assert.equal(second.body.messages[1].content, whole.choices[0].message.content);
}

async function saysWhatIsWrong(page) {
  await page.locator("summary", { hasText: "Settings" }).click();
  const before = await page.locator("#max-tokens").inputValue();
  await page.locator("#max-tokens").fill("100000");
  await page.locator("#prompt").fill("<b>Tell</b> me more");
  await page.keyboard.press("Enter");
  await page.locator(".message.error").waitFor();
  assert.match(await text(page, ".message.error"), /100000 are asked for; the context is/);
  assert.equal(await page.locator(".message b").count(), 0); // text, never markup
  assert.ok(problems.every((problem) => problem.includes("400")), problems.join("\n"));
  problems.length = 0;
  await page.locator("#max-tokens").fill(before);
  assert.ok(await page.locator("#send").isEnabled());
}

async function isReachedByKeyboard(page) {
  const reached = new Set();
  await page.locator("#theme").focus();
  for (let i = 0; i < 40; ++i) {
    reached.add(await page.evaluate(() => document.activeElement.id));
    await page.keyboard.press("Tab");
  }
  for (const id of ["theme", "clear", "log", "prompt", "send", "entry", "zoom-out", "zoom-in", "zoom-all", "timeline"]) {
    assert.ok(reached.has(id), `Tab reaches #${id}`);
  }
}

async function changesItsTheme(page) {
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  assert.equal(await theme(), "light");
  await page.locator("#theme").click();
  assert.equal(await theme(), "dark");
  await page.reload();
  assert.equal(await theme(), "dark");
}

// The core in RTL takes its time, so that an answer can be watched and stopped; the server asks for a key.
async function takesAKey(page) {
  await page.waitForFunction(() => document.getElementById("status").classList.contains("bad"));
  assert.match(await text(page, "#status"), /no API key/);
  assert.ok(problems.every((problem) => problem.includes("401")), problems.join("\n"));
  problems.length = 0;
  await page.locator("summary", { hasText: "Settings" }).click();
  await page.locator("#key").fill(KEY);
  await page.locator("#key").press("Tab");
  await untilReady(page);
  assert.equal(await text(page, "#executor"), "rtl");
  await page.locator("#max-tokens").fill("24");
}

async function growsWhileItStreams(page) {
  await page.evaluate(() => {
    window.lengths = new Set();
    new MutationObserver(() => {
      const answer = document.querySelector(".message.streaming")?.firstChild?.data;
      if (answer) window.lengths.add(answer.length);
    }).observe(document.getElementById("log"), { subtree: true, childList: true, characterData: true });
  });
}

async function stops(page, address) {
  await page.locator("#max-tokens").fill("200");
  await page.locator("#prompt").fill("Once upon a time");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector(".streaming")?.textContent.length > 2);
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => [...document.querySelectorAll("small")].at(-1).textContent === "stopped");
  await until(async () => (await metric(address, "pianola_requests_cancelled_total", KEY)) === 1, "the request is cancelled");
  assert.ok(await page.locator("#send").isEnabled());
}

try {
  browser = await playwright.chromium.launch({ executablePath: browser_path, args: ["--no-sandbox"] });
  const address = await start();
  const page = await open(address, { ...WIDE, colorScheme: "light" });
  await untilReady(page);
  await showsTheMachine(page, address);
  await streamsAnAnswer(page, address);
  await screenshot(page, "light");
  await zoomsByKeysAndPointer(page);
  await saysWhatIsWrong(page);
  await isReachedByKeyboard(page);
  await changesItsTheme(page);

  const narrow = await open(address, { viewport: { width: 390, height: 800 }, colorScheme: "light", hasTouch: true, isMobile: true });
  await untilReady(narrow);
  await say(narrow, "Tell me a story", () => narrow.keyboard.press("Enter"));
  const overflow = await narrow.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `the narrow page is ${overflow} pixels too wide`);
  await screenshot(narrow, "narrow");

  const rtl = await start("--executor", "rtl", "--api-key", KEY);
  const dark = await open(rtl, { ...WIDE, colorScheme: "dark" });
  await takesAKey(dark);
  await growsWhileItStreams(dark);
  await streamsAnAnswer(dark, rtl, { authorization: `Bearer ${KEY}` });
  assert.ok((await dark.evaluate(() => window.lengths.size)) > 2, "the answer grows before one's eyes");
  await screenshot(dark, "dark");
  await stops(dark, rtl);
  assert.deepEqual(problems, []);
  console.log("the page works: machine, zoom, chat, stop, errors, key, keyboard, themes, narrow");
} finally {
  await browser?.close();
  for (const server of servers) server.kill("SIGKILL");
}
