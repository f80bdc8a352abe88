// The conversation: what was said, what is being said, and how fast.

import { streamChat } from "./server.js";

const byId = (id) => document.getElementById(id);

export class Chat {
  #messages = [];
  #running = null; // the AbortController of the answer that is being written
  #onReport;
  #maker;

  // `makeBody` adds what the settings say; `onReport` gets the counts after every chunk.
  constructor(makeBody, onReport) {
    this.#maker = makeBody;
    this.#onReport = onReport;
    byId("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    byId("prompt").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.stop();
    });
    byId("stop").addEventListener("click", () => this.stop());
    byId("clear").addEventListener("click", () => this.clear());
  }

  stop() {
    this.#running?.abort();
  }

  clear() {
    this.stop();
    this.#messages = [];
    byId("log").replaceChildren();
    byId("prompt").focus();
  }

  async send() {
    const prompt = byId("prompt");
    const text = prompt.value.trim();
    if (!text || this.#running) return;
    prompt.value = "";
    this.#add("user", text);
    this.#messages.push({ role: "user", content: text });
    const bubble = this.#add("assistant", "");
    bubble.classList.add("streaming");
    const answer = document.createTextNode("");
    bubble.append(answer);
    await this.#answer(bubble, answer);
  }

  async #answer(bubble, answer) {
    const running = (this.#running = new AbortController());
    const messages = this.#messages;
    byId("send").disabled = true;
    byId("stop").disabled = false;
    const count = { pieces: 0, first: 0, last: 0, report: null, usage: null, running: true };
    try {
      await streamChat(this.#maker(messages), running.signal, (chunk) => {
        const choice = chunk.choices?.[0];
        const piece = choice?.delta?.content;
        if (piece) {
          answer.data += piece;
          count.pieces += 1;
          count.last = performance.now();
          count.first ||= count.last;
          this.#follow();
        }
        count.usage = chunk.usage ?? count.usage;
        count.report = chunk.pianola ?? count.report;
        this.#onReport(count);
      });
      this.#note(bubble, count);
    } catch (error) {
      if (error.name === "AbortError") {
        this.#small(bubble, "stopped");
      } else {
        this.#add("error", error.message).setAttribute("role", "alert");
        if (!answer.data) bubble.remove();
      }
    }
    count.running = false;
    bubble.classList.remove("streaming");
    if (answer.data) messages.push({ role: "assistant", content: answer.data });
    this.#running = null;
    byId("send").disabled = false;
    byId("stop").disabled = true;
    this.#onReport(count);
  }

  #note(bubble, count) {
    const parts = [];
    if (count.usage) parts.push(`${count.usage.completion_tokens} tokens`);
    if (count.report) parts.push(`${count.report.cycles.toLocaleString("en")} cycles`);
    if (count.report?.seconds) parts.push(`${(count.report.seconds * 1e3).toFixed(2)} ms on the machine`);
    if (parts.length) this.#small(bubble, parts.join(" · "));
  }

  #small(bubble, text) {
    const small = document.createElement("small");
    small.textContent = text;
    bubble.append(small);
  }

  #add(kind, text) {
    const log = byId("log");
    log.querySelector(".empty")?.remove();
    const bubble = document.createElement("div");
    bubble.className = `message ${kind}`;
    if (text) bubble.textContent = text;
    log.append(bubble);
    log.scrollTop = log.scrollHeight;
    return bubble;
  }

  // Scrolls along, unless the reader has scrolled up.
  #follow() {
    const log = byId("log");
    if (log.scrollHeight - log.scrollTop - log.clientHeight < 80) log.scrollTop = log.scrollHeight;
  }
}
