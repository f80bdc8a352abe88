// Requests to the server that this page came from.

let key = sessionStorage.getItem("pianola-key") ?? "";

export function setKey(text) {
  key = text.trim();
  sessionStorage.setItem("pianola-key", key);
}

export function getKey() {
  return key;
}

function fields() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function failure(response) {
  let message = `${response.status} ${response.statusText}`;
  try {
    const { error } = await response.json();
    if (error?.message) message = error.message;
  } catch {
    // no JSON: the status must do
  }
  if (response.status === 401) message += " (the API key goes into Settings)";
  return new Error(message);
}

export async function getJson(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  const response = await fetch(query ? `${path}?${query}` : path, { headers: fields() });
  if (!response.ok) throw await failure(response);
  return response.json();
}

// Calls `receive` with each chunk of a streamed completion. `signal` cancels it.
export async function streamChat(body, signal, receive) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...fields() },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok) throw await failure(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  while (true) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the server closed the stream before its end");
    pending += value;
    const events = pending.split(/\r?\n\r?\n/);
    pending = events.pop();
    for (const event of events) {
      const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      const data = lines.map((line) => line.slice(5).trimStart()).join("\n");
      if (data === "[DONE]") return;
      if (!data) continue; // a comment
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message ?? "the generation failed");
      receive(chunk);
    }
  }
}
