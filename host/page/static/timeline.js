// The schedule of one launch: a row per queue, time to the right, zoomed by wheel, drag and keys.

import { getJson } from "./server.js";

const ROW = 13, LEFT = 92, TOP = 20;

export class Timeline {
  #canvas;
  #machine;
  #entry = "";
  #total = 1; // cycles of the launch
  #from = 0;
  #to = 1;
  #data = null;
  #wanted = 0; // number of the last request: late answers are dropped
  #timer = 0;
  #cursor = null; // {x, y} of the pointer
  #drag = null;
  #onWindow;

  // `onWindow` gets the data of every window that is shown, and the queue under the pointer.
  constructor(canvas, machine, onWindow) {
    this.#canvas = canvas;
    this.#machine = machine;
    this.#onWindow = onWindow;
    new ResizeObserver(() => this.#request()).observe(canvas.parentElement);
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      this.#drag = { x: event.offsetX, from: this.#from, to: this.#to };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointerup", () => (this.#drag = null));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerleave", () => {
      this.#cursor = null;
      this.draw();
    });
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  show(entry) {
    this.#entry = entry.name;
    this.#total = entry.cycles;
    this.#from = 0;
    this.#to = entry.cycles;
    this.#request();
  }

  // Keeps the cycle at `share` of the width where it is.
  zoom(factor, share = 0.5) {
    const span = Math.min(this.#total, Math.max(16, Math.round((this.#to - this.#from) * factor)));
    const fixed = this.#from + share * (this.#to - this.#from);
    this.#set(fixed - share * span, span);
  }

  all() {
    this.#set(0, this.#total);
  }

  pan(share) {
    const span = this.#to - this.#from;
    this.#set(this.#from + share * span, span);
  }

  #set(from, span) {
    this.#from = Math.round(Math.min(Math.max(from, 0), this.#total - span));
    this.#to = this.#from + span;
    this.draw();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#request(), 60);
  }

  #wheel(event) {
    event.preventDefault();
    const share = Math.min(Math.max((event.offsetX - LEFT) / this.#width(), 0), 1);
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.pan(event.deltaX / 600);
    else this.zoom(Math.exp(event.deltaY / 300), share);
  }

  #move(event) {
    if (this.#drag) {
      const span = this.#drag.to - this.#drag.from;
      this.#set(this.#drag.from - ((event.offsetX - this.#drag.x) / this.#width()) * span, span);
    }
    this.#cursor = { x: event.offsetX, y: event.offsetY };
    this.draw();
  }

  #key(event) {
    const moves = { ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2), "+": () => this.zoom(0.5), "=": () => this.zoom(0.5),
                    "-": () => this.zoom(2), Home: () => this.all() };
    if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    moves[event.key]();
  }

  #width() {
    return Math.max(this.#canvas.clientWidth - LEFT - 6, 50);
  }

  async #request() {
    if (!this.#entry) return;
    const wanted = ++this.#wanted;
    const bins = Math.min(Math.max(Math.floor(this.#width()), 64), 2048);
    const data = await getJson("/pianola/timeline", { entry: this.#entry, from: this.#from, to: this.#to, bins }).catch((error) => ({ error }));
    if (wanted !== this.#wanted) return;
    this.#data = data.error ? null : data;
    if (!data.error) this.#total = data.cycles;
    this.#onWindow(data, this.#machine);
    this.draw();
  }

  // The rows: every queue that does anything in the window that was loaded.
  #rows() {
    return this.#data ? Object.keys(this.#data.busy).map(Number).sort((a, b) => a - b) : [];
  }

  draw() {
    const canvas = this.#canvas, scale = devicePixelRatio || 1, rows = this.#rows();
    const height = TOP + Math.max(rows.length, 1) * ROW + 6;
    const width = canvas.parentElement.clientWidth;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = "10.5px system-ui, 'DejaVu Sans', sans-serif";
    context.textBaseline = "middle";
    this.#drawAxis(context, height, color);
    rows.forEach((queue, row) => this.#drawRow(context, queue, TOP + row * ROW, color));
    this.#drawCursor(context, rows, height, color);
    const shown = `cycles ${this.#from.toLocaleString("en")} to ${this.#to.toLocaleString("en")}`;
    canvas.setAttribute("aria-label", `Schedule of ${this.#entry}, ${shown}, ${rows.length} busy queues`);
  }

  #drawAxis(context, height, color) {
    const span = this.#to - this.#from, power = 10 ** Math.floor(Math.log10(Math.max(span / 5, 1)));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => span / n <= 6) ?? power * 10;
    context.textAlign = "center";
    for (let cycle = Math.ceil(this.#from / step) * step; cycle <= this.#to; cycle += step) {
      const x = LEFT + ((cycle - this.#from) / span) * this.#width();
      context.fillStyle = color("--line");
      context.fillRect(x, TOP - 5, 1, height);
      context.fillStyle = color("--faint");
      if (x < LEFT + this.#width() - 20) context.fillText(cycle.toLocaleString("en"), Math.max(x, LEFT + 14), 8);
    }
  }

  #drawRow(context, queue, y, color) {
    const data = this.#data, bins = data.busy[queue], span = this.#to - this.#from, width = this.#width();
    context.textAlign = "right";
    context.fillStyle = color("--faint");
    context.fillText(this.#machine.queues[queue], LEFT - 8, y + ROW / 2);
    context.fillStyle = color(`--${this.#machine.kinds[queue].toLowerCase()}`);
    const pixel = (cycle) => LEFT + Math.min(Math.max((cycle - this.#from) / span, 0), 1) * width;
    for (let bin = 0; bin < bins.length; ++bin) {
      if (!bins[bin]) continue;
      const begin = data.from + bin * data.cycles_per_bin, end = Math.min(begin + data.cycles_per_bin, data.to);
      const x = pixel(begin), w = pixel(end) - x;
      if (w <= 0) continue;
      context.globalAlpha = 0.2 + 0.8 * Math.sqrt(Math.min(bins[bin] / (end - begin), 1)); // a single issue is still seen
      context.fillRect(x, y + 1.5, Math.max(w, 0.6), ROW - 3);
    }
    context.globalAlpha = 1;
  }

  #drawCursor(context, rows, height, color) {
    const tip = document.getElementById("tip"), at = this.#cursor;
    const row = at ? Math.floor((at.y - TOP) / ROW) : -1;
    const cycle = at ? Math.floor(this.#from + ((at.x - LEFT) / this.#width()) * (this.#to - this.#from)) : -1;
    tip.hidden = !at || at.x < LEFT || row < 0 || row >= rows.length || cycle >= this.#to || Boolean(this.#drag);
    if (tip.hidden) return;
    context.fillStyle = color("--ink");
    context.fillRect(at.x, TOP - 5, 1, height);
    const data = this.#data, bin = Math.floor((cycle - data.from) / data.cycles_per_bin);
    const issues = data.busy[rows[row]][bin] ?? 0;
    const begin = data.from + bin * data.cycles_per_bin;
    const length = Math.min(data.cycles_per_bin, data.to - begin);
    const what = length === 1 ? (issues ? "issues" : "idle") : `${Math.round((100 * issues) / length)} % of ${length} cycles`;
    tip.textContent = `${this.#machine.queues[rows[row]]}, cycle ${cycle.toLocaleString("en")}: ${what}`;
    tip.style.top = `${Math.max(at.y - 28, 0)}px`;
    tip.style.left = `${Math.min(at.x + 10, this.#canvas.clientWidth - tip.offsetWidth - 6)}px`;
  }
}
