// The machine beside the chat: its numbers, its floorplan, and the entries of its roll.

const byId = (id) => document.getElementById(id);
const whole = (number) => Math.round(number).toLocaleString("en");
const speed = (number) => number.toLocaleString("en", { maximumSignificantDigits: 4 });

export class MachineView {
  #machine;
  #cells = []; // by queue: the bar of its use

  constructor(machine, onEntry) {
    this.#machine = machine;
    machine.kinds = []; // by queue: the kind of its unit
    for (const unit of machine.units) for (const queue of unit.queues) machine.kinds[queue] = unit.kind;
    byId("model").textContent = machine.model;
    byId("target").textContent = `${machine.target} at ${machine.clock_mhz} MHz`;
    byId("executor").textContent = machine.executor;
    byId("facts").textContent =
      `${machine.lanes} lanes, ${machine.streams} streams each way; ${machine.layers} layers of ${machine.hidden}, context ${machine.context}`;
    this.#drawFloorplan();
    this.#listEntries(onEntry);
  }

  #drawFloorplan() {
    const seen = {};
    const boxes = this.#machine.units.map((unit) => {
      const box = document.createElement("div");
      box.className = `unit ${unit.kind}`;
      box.setAttribute("role", "listitem");
      const number = (seen[unit.kind] = (seen[unit.kind] ?? -1) + 1);
      const name = document.createElement("b");
      name.textContent = unit.kind === "PORT" || unit.kind === "VXM" ? unit.kind : `${unit.kind} ${number}`;
      const cells = document.createElement("div");
      cells.className = "cells";
      for (const queue of unit.queues) {
        const cell = document.createElement("div");
        cell.className = "cell";
        cell.append(document.createElement("i"));
        this.#cells[queue] = cell;
        cells.append(cell);
      }
      box.append(name, cells);
      return box;
    });
    byId("floorplan").replaceChildren(...boxes);
  }

  #listEntries(onEntry) {
    const select = byId("entry");
    for (const entry of this.#machine.entries) {
      select.append(new Option(`${entry.name} (${whole(entry.cycles)} cycles)`, entry.name));
      const row = byId("entries").insertRow();
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = entry.name;
      row.insertCell().append(button);
      const cells = [entry.tokens, entry.context, whole(entry.cycles), entry.tokens_per_second ? speed(entry.tokens_per_second) : "–"];
      for (const text of cells) row.insertCell().textContent = text;
      row.addEventListener("click", () => {
        select.value = entry.name;
        select.dispatchEvent(new Event("change"));
      });
    }
    select.addEventListener("change", () => {
      const index = this.#machine.entries.findIndex((entry) => entry.name === select.value);
      [...byId("entries").rows].forEach((row, i) => row.classList.toggle("chosen", i === index));
      onEntry(this.#machine.entries[index]);
    });
    const first = this.#machine.entries.find((entry) => entry.kind === "decode") ?? this.#machine.entries[0];
    if (!first) return;
    select.value = first.name;
    select.dispatchEvent(new Event("change"));
  }

  // The use of every queue in the window that the timeline shows.
  showWindow(data) {
    const note = byId("window");
    if (data.error) {
      note.textContent = data.error.message;
      return;
    }
    const span = data.to - data.from;
    this.#cells.forEach((cell, queue) => {
      const issues = (data.busy[queue] ?? []).reduce((sum, count) => sum + count, 0);
      const share = issues / span;
      cell.firstChild.style.width = `${Math.min(share, 1) * 100}%`;
      cell.title = `${this.#machine.queues[queue]}: ${(share * 100).toFixed(1)} % busy`;
    });
    const time = (span / this.#machine.clock_mhz).toLocaleString("en", { maximumSignificantDigits: 4 });
    note.textContent = `Cycles ${whole(data.from)} to ${whole(data.to)} of ${whole(data.cycles)}: ${time} µs at ${this.#machine.clock_mhz} MHz`;
    byId("floorplan-note").textContent =
      span === data.cycles ? `west to east; bars: use over the launch of ${data.entry}` : "west to east; bars: use over the window below";
  }

  // Counts of the answer that is being written, or was.
  showAnswer(count) {
    const seconds = (count.last - count.first) / 1000;
    const tokens = count.usage?.completion_tokens ?? count.pieces; // a piece can be several tokens
    const simulated = tokens > 1 && seconds > 0 ? (tokens - 1) / seconds : 0;
    if (simulated) byId("simulation-speed").textContent = speed(simulated);
    byId("simulation-note").textContent = `as they arrive, ${this.#machine.executor}`;
    const report = count.report;
    if (!report) {
      if (count.running) byId("cycles-note").textContent = "being counted…";
      return;
    }
    byId("cycles").textContent = whole(report.cycles);
    byId("cycles-note").textContent = count.usage ? `prompt and ${count.usage.completion_tokens} tokens` : "of the last answer";
    if (report.tokens_per_second) {
      byId("target-speed").textContent = speed(report.tokens_per_second);
      const ratio = simulated ? report.tokens_per_second / simulated : 0;
      const faster = ratio >= 1 ? `${speed(ratio)} × the simulation` : `${speed(1 / ratio)} × slower than simulated`;
      byId("target-note").textContent = ratio ? faster : `at ${report.clock_mhz} MHz`;
    }
    byId("frozen").textContent = whole(report.frozen_cycles ?? 0);
    if (report.launches) byId("launches-note").textContent = `in ${whole(report.launches)} launches`;
  }
}
