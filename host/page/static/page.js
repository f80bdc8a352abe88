// Brings the parts of the page together.

import { Chat } from "./chat.js";
import { MachineView } from "./machine.js";
import { getJson, getKey, setKey } from "./server.js";
import { Timeline } from "./timeline.js";

const byId = (id) => document.getElementById(id);

let view = null, timeline = null;

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  timeline?.draw();
}

function chooseTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  setTheme(localStorage.getItem("pianola-theme") ?? (system.matches ? "dark" : "light"));
  system.addEventListener("change", () => {
    if (!localStorage.getItem("pianola-theme")) setTheme(system.matches ? "dark" : "light");
  });
  byId("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("pianola-theme", theme);
    setTheme(theme);
  });
}

function makeBody(messages) {
  const system = byId("system").value.trim();
  const number = (id) => (byId(id).value === "" ? undefined : Number(byId(id).value));
  return {
    model: byId("model").textContent,
    messages: system ? [{ role: "system", content: system }, ...messages] : messages,
    temperature: number("temperature"),
    max_tokens: number("max-tokens"),
    seed: number("seed"),
  };
}

async function connect() {
  const status = byId("status");
  try {
    const machine = await getJson("/pianola/machine");
    const show = (data) => view?.showWindow(data);
    timeline = new Timeline(byId("timeline"), machine, show);
    view = new MachineView(machine, (entry) => timeline.show(entry));
    status.textContent = "ready";
    status.classList.remove("bad");
  } catch (error) {
    status.textContent = error.message;
    status.classList.add("bad");
  }
}

chooseTheme();
byId("key").value = getKey();
byId("key").addEventListener("change", () => {
  setKey(byId("key").value);
  if (!view) connect();
});
byId("zoom-in").addEventListener("click", () => timeline?.zoom(0.5));
byId("zoom-out").addEventListener("click", () => timeline?.zoom(2));
byId("zoom-all").addEventListener("click", () => timeline?.all());
new Chat(makeBody, (count) => view?.showAnswer(count));
connect();
