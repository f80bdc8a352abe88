// `pianola serve` as a process on a free port.
import { spawn } from "node:child_process";
import readline from "node:readline";

export async function serve(tool, ...options) {
  const child = spawn(tool, ["serve", ...options, "--port", "0"]);
  child.stderr.resume();
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const found = line.match(/^listening on (http:\S+)$/);
    if (found) return { child, url: found[1] };
  }
  throw new Error("the server did not start");
}

// A number of GET /metrics.
export async function metric(url, name, key = "") {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  const text = await (await fetch(url + "/metrics", { headers })).text();
  return Number(text.match(new RegExp(`^${name} (\\S+)$`, "m"))[1]);
}

// Waits until a condition holds; it may be asynchronous.
export async function until(condition, what) {
  for (let i = 0; i < 600; ++i) {
    if (await condition()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`it did not happen: ${what}`);
}
