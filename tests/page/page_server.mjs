// Serves the page as it is embedded, and the data of a real roll; stands in for the chat alone, so that the test
// decides what is streamed and when.
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import readline from "node:readline";

const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:";

export const ANSWER = ["Once", " upon", " a time", " <b>there</b>", " was\n", "a piano", "."];

export class PageServer {
  chats = []; // bodies of the requests for completions
  gone = 0; // clients that left a stream
  #queue = Promise.resolve();

  async start(cli, roll, folder) {
    this.folder = folder;
    this.child = spawn(cli, [roll, folder], { stdio: ["pipe", "pipe", "inherit"] });
    this.lines = readline.createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    await this.#ask("machine"); // the files are there
    this.server = http.createServer((request, response) => this.#handle(request, response));
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  stop() {
    this.server?.closeAllConnections();
    this.server?.close();
    this.child?.stdin.end();
  }

  // One question at a time.
  #ask(line) {
    const answer = this.#queue.then(async () => {
      this.child.stdin.write(line + "\n");
      return (await this.lines.next()).value;
    });
    this.#queue = answer;
    return answer;
  }

  async #handle(request, response) {
    const url = new URL(request.url, "http://localhost");
    if (url.pathname.startsWith("/pianola/")) {
      const answer = await this.#ask(url.pathname === "/pianola/machine" ? "machine" : url.search.slice(1));
      response.writeHead(answer.startsWith('{"error"') ? 400 : 200, { "Content-Type": "application/json" });
      response.end(answer);
    } else if (url.pathname === "/v1/chat/completions") {
      await this.#chat(request, response);
    } else {
      const name = url.pathname === "/" ? "/index.html" : url.pathname;
      const body = await readFile(path.join(this.folder, name)).catch(() => null);
      response.writeHead(body ? 200 : 404, { "Content-Type": TYPES[path.extname(name)] ?? "text/plain", "Content-Security-Policy": POLICY });
      response.end(body ?? "");
    }
  }

  async #chat(request, response) {
    let text = "";
    for await (const piece of request) text += piece;
    const body = JSON.parse(text);
    this.chats.push(body);
    const prompt = body.messages.at(-1).content;
    if (prompt === "refuse") {
      response.writeHead(400, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ error: { message: "max_tokens: does not fit the context", type: "invalid_request_error" } }));
      return;
    }
    let open = true;
    response.on("close", () => {
      if (!response.writableEnded) this.gone += 1;
      open = false;
    });
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const send = (chunk) => response.write(`data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", ...chunk })}\n\n`);
    response.write(": ping\n\n");
    send({ choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] });
    for (let i = 0; open && (prompt === "forever" || i < ANSWER.length); ++i) {
      send({ choices: [{ index: 0, delta: { content: ANSWER[i % ANSWER.length] }, finish_reason: null }] });
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    if (!open) return;
    const report = { executor: "emulator", target: "sim16", clock_mhz: 100, cycles: 215726, frozen_cycles: 0, launches: 7, seconds: 0.00215726, tokens_per_second: 3244.9 };
    send({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }], pianola: report });
    send({ choices: [], usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 }, pianola: report });
    response.end("data: [DONE]\n\n");
  }
}
