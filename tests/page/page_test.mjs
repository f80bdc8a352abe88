// The page in headless Chromium: page_test.mjs PIANOLA PAGE_DATA_CLI SOURCE OUTPUT. Leaves screenshots in OUTPUT.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { ANSWER, PageServer } from "./page_server.mjs";

const [pianola, cli, source, output] = process.argv.slice(2);
const browser_path = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
const playwright = await import("playwright-core").catch(() => null);
if (!playwright || !browser_path) {
  const required = process.env.PIANOLA_REQUIRE_ORACLES === "1";
  console.log(`${required ? "FAILED" : "skipped"}: needs playwright-core (tests/setup_oracles.sh) and Debian's chromium`);
  process.exit(required ? 1 : 77);
}

mkdirSync(output, { recursive: true });
const roll = path.join(output, "nursery.roll");
if (pianola.endsWith(".roll")) {
  // a roll that is there already
} else {
  execFileSync(pianola, ["compile", path.join(source, "models/nursery-llama"), "-t", "sim16", "-o", roll], { stdio: ["ignore", "ignore", "inherit"] });
}
const server = new PageServer();
const address = await server.start(cli, pianola.endsWith(".roll") ? pianola : roll, path.join(output, "files"));
const browser = await playwright.chromium.launch({ executablePath: browser_path, args: ["--no-sandbox"] });
const problems = [];

async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => request.url().startsWith(address) || problems.push(`asks ${request.url()}`));
  await page.goto(address);
  await page.waitForFunction(() => document.getElementById("status").textContent === "ready");
  await page.waitForFunction(() => document.getElementById("window").textContent.startsWith("Cycles 0 to"));
  return page;
}

const screenshot = (page, name) => page.screenshot({ path: path.join(output, `${name}.png`), fullPage: true });
const text = (page, selector) => page.locator(selector).textContent();
// How many pixels of the schedule are neither empty nor text: those right of the labels, in the rows.
const inked = (page) =>
  page.evaluate(() => {
    const canvas = document.getElementById("timeline"), left = 95 * devicePixelRatio;
    const { data } = canvas.getContext("2d").getImageData(left, 25, canvas.width - left, canvas.height - 25);
    let count = 0;
    for (let i = 3; i < data.length; i += 4) count += data[i] > 40;
    return count;
  });

async function showsTheMachine(page) {
  const machine = await (await fetch(`${address}/pianola/machine`)).json();
  assert.equal(await text(page, "#model"), "nursery-llama");
  assert.equal(await text(page, "#target"), `${machine.target} at ${machine.clock_mhz} MHz`);
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

async function streamsAnAnswer(page) {
  await page.locator("#prompt").fill("Tell me a story");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector(".message.assistant small"));
  const answer = await page.locator(".message.assistant").evaluate((bubble) => bubble.firstChild.data);
  assert.equal(answer, ANSWER.join(""));
  assert.equal(await page.locator(".message.assistant b").count(), 0); // text, never markup
  assert.equal(await text(page, "#cycles"), "215,726");
  assert.equal(await text(page, "#target-speed"), "3,245");
  assert.equal(await text(page, "#frozen"), "0");
  assert.ok(Number(await text(page, "#simulation-speed")) > 10);
  assert.match(await text(page, "#target-note"), /× the simulation/);
  const { messages, temperature, max_tokens, seed, stream, stream_options } = server.chats.at(-1);
  assert.deepEqual(messages, [{ role: "user", content: "Tell me a story" }]);
  assert.deepEqual([temperature, max_tokens, seed, stream, stream_options], [0.8, 128, undefined, true, { include_usage: true }]);
  await page.locator("#prompt").fill("And then?\nGo on.");
  await page.locator("#send").click();
  await page.waitForFunction(() => document.querySelectorAll(".message.assistant small").length === 2);
  assert.deepEqual(server.chats.at(-1).messages.map((message) => message.role), ["user", "assistant", "user"]);
}

async function stopsAndSaysWhatIsWrong(page) {
  await page.locator("#prompt").fill("forever");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector(".streaming")?.textContent.length > 20);
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => [...document.querySelectorAll("small")].at(-1).textContent === "stopped");
  for (let i = 0; i < 100 && server.gone === 0; ++i) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(server.gone, 1);
  await page.locator("#prompt").fill("refuse");
  await page.keyboard.press("Enter");
  await page.locator(".message.error").waitFor();
  assert.equal(await text(page, ".message.error"), "max_tokens: does not fit the context");
  assert.ok(problems.every((problem) => problem.includes("400")), problems.join("\n"));
  problems.length = 0;
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

try {
  const page = await open({ viewport: { width: 1360, height: 860 }, colorScheme: "light" });
  await showsTheMachine(page);
  await streamsAnAnswer(page);
  await screenshot(page, "light");
  await zoomsByKeysAndPointer(page);
  await stopsAndSaysWhatIsWrong(page);
  await isReachedByKeyboard(page);
  await changesItsTheme(page);
  const dark = await open({ viewport: { width: 1360, height: 860 }, colorScheme: "dark" });
  await streamsAnAnswer(dark);
  await screenshot(dark, "dark");
  const narrow = await open({ viewport: { width: 390, height: 800 }, colorScheme: "light", hasTouch: true, isMobile: true });
  const overflow = await narrow.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `the narrow page is ${overflow} pixels too wide`);
  await streamsAnAnswer(narrow);
  await screenshot(narrow, "narrow");
  assert.deepEqual(problems, []);
  console.log("the page works: machine, zoom, chat, stop, errors, keyboard, themes, narrow");
} finally {
  await browser.close();
  server.stop();
}
