// The official client of OpenAI against `pianola serve`.
// usage: node openai_client_test.mjs TOOL SOURCE EXECUTOR
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { metric, serve, until } from "../support/serve_process.mjs";

const [tool, source, executor] = process.argv.slice(2);
let OpenAI;
try {
  ({ default: OpenAI } = await import("openai"));
} catch (error) {
  console.error(`tests/node_modules has no openai (tests/setup_oracles.sh installs it): ${error.message}`);
  process.exit(process.env.PIANOLA_REQUIRE_ORACLES === "1" ? 1 : 77);
}
// The RTL plays a tenth of a million cycles a second and more; the same tests ask for less of it.
const long = executor === "emulator";
const tokens = long ? 24 : 4;

const start = (...options) => serve(tool, `${source}/models/nursery-llama`, "--executor", executor, "--api-key", "sesame", ...options);

let server, client;
before(async () => {
  server = await start("--context", "128", "--slots", "4");
  client = new OpenAI({ baseURL: server.url + "/v1", apiKey: "sesame", maxRetries: 0 });
});
after(async () => {
  const ended = new Promise((done) => server.child.on("exit", (code) => done(code)));
  server.child.kill("SIGTERM");
  assert.equal(await ended, 0);
});

const model = "nursery-llama";
const prompt = "Once upon a time";
const chat = (extra) => client.chat.completions.create({
  model, messages: [{ role: "user", content: prompt }], max_tokens: tokens, temperature: 0, ...extra,
});
const complete = (extra) => client.completions.create({
  model, prompt, max_tokens: tokens, temperature: 0, ...extra,
});
async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test("lists its model", async () => {
  const list = await client.models.list();
  assert.deepEqual(list.data.map((one) => one.id), [model]);
  assert.equal((await client.models.retrieve(model)).object, "model");
  await assert.rejects(client.models.retrieve("another"), OpenAI.NotFoundError);
});

test("chats", async () => {
  const answer = await chat();
  assert.equal(answer.object, "chat.completion");
  assert.match(answer.id, /^chatcmpl-[0-9a-f]{16}$/);
  const choice = answer.choices[0];
  assert.equal(choice.message.role, "assistant");
  assert.ok(choice.message.content.length > 0);
  assert.equal(choice.finish_reason, "length");
  assert.equal(answer.usage.completion_tokens, tokens);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + tokens);
});

test("streams what it answers at once", async () => {
  const whole = (await chat()).choices[0].message.content;
  const chunks = await collect(await chat({ stream: true, stream_options: { include_usage: true } }));
  const ids = new Set(chunks.map((chunk) => chunk.id));
  assert.equal(ids.size, 1);
  const withChoices = chunks.filter((chunk) => chunk.choices.length > 0);
  assert.deepEqual(withChoices.map((chunk) => chunk.choices[0].delta.role).filter(Boolean), ["assistant"]);
  assert.equal(withChoices[0].choices[0].delta.role, "assistant");
  assert.equal(withChoices.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), whole);
  assert.deepEqual(withChoices.map((chunk) => chunk.choices[0].finish_reason),
    [...Array(withChoices.length - 1).fill(null), "length"]);
  const last = chunks.at(-1);
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.completion_tokens, tokens);
  assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
  const plain = await collect(await chat({ stream: true }));
  assert.ok(plain.every((chunk) => chunk.usage === undefined));
});

test("the client's own stream helper understands the stream", async () => {
  const stream = client.chat.completions.stream({
    model, messages: [{ role: "user", content: prompt }], max_tokens: tokens, temperature: 0,
  });
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].message.content, (await chat()).choices[0].message.content);
});

test("completes texts, several at once, with the prompt before them", async () => {
  const answer = await complete({ prompt: [prompt, "The"], echo: true });
  assert.equal(answer.object, "text_completion");
  assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1]);
  assert.ok(answer.choices[0].text.startsWith(prompt));
  assert.ok(answer.choices[1].text.startsWith("The"));
  const streamed = await collect(await complete({ stream: true }));
  assert.equal(streamed.map((chunk) => chunk.choices[0]?.text ?? "").join(""),
    answer.choices[0].text.slice(prompt.length));
});

test("gives the same for the same seed and other things for others", async () => {
  const draw = async (seed) => (await chat({ temperature: 1.5, seed, top_p: 0.95 })).choices[0].message.content;
  const [first, again, other] = await Promise.all([draw(1), draw(1), draw(2)]);
  assert.equal(first, again);
  assert.notEqual(first, other);
  const several = await chat({ n: 2, temperature: 1.5, seed: 1, top_p: 0.95 });
  assert.deepEqual(several.choices.map((choice) => choice.message.content), [first, other]);
});

test("has log probabilities", async () => {
  const answer = await chat({ logprobs: true, top_logprobs: 3 });
  const content = answer.choices[0].logprobs.content;
  assert.equal(content.length, tokens);
  for (const token of content) {
    assert.equal(token.top_logprobs.length, 3);
    assert.equal(token.top_logprobs[0].token, token.token);  // greedy
    assert.ok(token.logprob <= 0 && token.logprob >= token.top_logprobs[1].logprob);
    assert.deepEqual([...Buffer.from(token.token)], token.bytes);
  }
  assert.equal(content.map((token) => token.token).join(""), answer.choices[0].message.content);
  const streamed = await collect(await chat({ logprobs: true, top_logprobs: 3, stream: true }));
  assert.deepEqual(streamed.flatMap((chunk) => chunk.choices[0]?.logprobs?.content ?? []), content);
  const text = await complete({ logprobs: 2, echo: true, max_tokens: 2 });
  const scored = text.choices[0].logprobs;
  assert.equal(scored.tokens.length, text.usage.prompt_tokens + 2);
  assert.equal(scored.token_logprobs[0], null);
  assert.ok(scored.token_logprobs.slice(1).every((logprob) => logprob < 0));
});

test("stops at strings, wherever tokens end", async () => {
  const whole = (await chat()).choices[0].message.content;
  const stop = whole.slice(4, 8);
  const answer = await chat({ stop: [stop, "never said"] });
  assert.equal(answer.choices[0].message.content, whole.slice(0, whole.indexOf(stop)));
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.pianola.stop_string, stop);
  const streamed = await collect(await chat({ stop, stream: true }));
  assert.equal(streamed.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""),
    answer.choices[0].message.content);
});

test("obeys a bias", async () => {
  const free = (await chat({ logprobs: true })).choices[0].logprobs.content[0].token;
  const { tokens: [id] } = await (await fetch(server.url + "/tokenize", {
    method: "POST", headers: { authorization: "Bearer sesame" },
    body: JSON.stringify({ content: free }),
  })).json();
  const without = await chat({ logprobs: true, logit_bias: { [id]: -100 } });
  assert.notEqual(without.choices[0].logprobs.content[0].token, free);
});

test("keeps to JSON, schemas and grammars", async () => {
  const schema = { type: "object", properties: { name: { type: "string", maxLength: 12 }, age: { type: "integer", minimum: 0, maximum: 99 },
    kind: { enum: ["cat", "dog"] } }, required: ["name", "age", "kind"], additionalProperties: false };
  for (const seed of long ? [1, 2, 3] : [1]) {
    const answer = await chat({ temperature: 1, seed, max_tokens: 100,
      response_format: { type: "json_schema", json_schema: { name: "animal", schema, strict: true } } });
    assert.equal(answer.choices[0].finish_reason, "stop");
    const animal = JSON.parse(answer.choices[0].message.content);
    assert.deepEqual(Object.keys(animal), ["name", "age", "kind"]);
    assert.ok(Number.isInteger(animal.age) && animal.age < 100 && ["cat", "dog"].includes(animal.kind));
  }
  const yes = await chat({ temperature: 2, seed: 5, grammar: 'root ::= ("yes" | "no") "!"' });
  assert.match(yes.choices[0].message.content, /^(yes|no)!$/);
  const streamed = await collect(await chat({ temperature: 2, seed: 5, grammar: 'root ::= ("yes" | "no") "!"', stream: true }));
  assert.equal(streamed.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), yes.choices[0].message.content);
  const object = await chat({ response_format: { type: "json_object" }, max_tokens: 60 });
  assert.match(object.choices[0].message.content, /^\{/);
  if (object.choices[0].finish_reason === "stop") JSON.parse(object.choices[0].message.content);
  for (const wrong of [{ grammar: "root ::= (" }, { response_format: { type: "xml" } }, { response_format: { type: "text", strict: true } },
    { grammar: 'root ::= "a"', response_format: { type: "json_object" } }, { grammar: 'root ::= "a"', ignore_eos: true },
    { response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "object", not: {} } } } }]) {
    await assert.rejects(chat(wrong), OpenAI.BadRequestError);
  }
});

test("refuses what is wrong before a stream begins", async () => {
  const refused = async (extra, param, code) => {
    for (const stream of [false, true]) {
      await assert.rejects(chat({ ...extra, stream }), (error) => {
        assert.ok(error instanceof OpenAI.BadRequestError, String(error));
        assert.equal(error.param, param);
        assert.equal(error.code, code);
        assert.equal(error.type, "invalid_request_error");
        return true;
      });
    }
  };
  await refused({ temperature: -1 }, "temperature", "invalid_value");
  await refused({ temperature: "hot" }, "temperature", "invalid_type");
  await refused({ surprise: 1 }, "surprise", "unknown_parameter");
  await refused({ max_tokens: 4000 }, "messages", "context_length_exceeded");
  await refused({ messages: [] }, "messages", "invalid_value");
  await refused({ logit_bias: { 99999: 1 } }, "logit_bias", null);
  await assert.rejects(chat({ model: "another" }), OpenAI.NotFoundError);
  const other = new OpenAI({ baseURL: server.url + "/v1", apiKey: "wrong", maxRetries: 0 });
  await assert.rejects(other.chat.completions.create({ model, messages: [] }), OpenAI.AuthenticationError);
});

test("lists what has no effect", async () => {
  const answer = await chat({ user: "me", store: false });
  assert.deepEqual(answer.pianola.ignored_parameters, ["user", "store"]);
});

test("is cancelled when the client aborts", async () => {
  const controller = new AbortController();
  const stream = await client.chat.completions.create(
    { model, messages: [{ role: "user", content: prompt }], ignore_eos: true, stream: true },
    { signal: controller.signal });
  let seen = 0;
  try {
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content && ++seen === 2) controller.abort();
    }
  } catch (error) {
    assert.ok(error instanceof OpenAI.APIUserAbortError, String(error));
  }
  await until(async () => await metric(server.url, "pianola_requests_running", "sesame") === 0, "nothing runs");
  assert.equal(await metric(server.url, "pianola_requests_cancelled_total", "sesame"), 1);
});

test("says the machine's time beforehand, and keeps deadlines", async () => {
  const body = { model, messages: [{ role: "user", content: "The quiet fox" }], max_tokens: tokens, ignore_eos: true,
    cache_prompt: false };
  const quote = await client.post("/quote", { body });
  assert.equal(quote.choices[0].completion_tokens, tokens);
  const answer = await client.chat.completions.create(body);
  assert.equal(answer.pianola.cycles, quote.cycles);
  const needed = quote.cycles / (quote.clock_mhz * 1000);
  const met = await client.chat.completions.create({ ...body, deadline_ms: needed * 1.001 });
  assert.equal(met.pianola.deadline.needed_cycles, quote.cycles);
  await assert.rejects(client.chat.completions.create({ ...body, deadline_ms: needed * 0.999 }), (error) => {
    assert.ok(error instanceof OpenAI.UnprocessableEntityError, String(error));
    assert.equal(error.code, "deadline_cannot_be_met");
    return true;
  });
});

test("is retried when its queue is full", async () => {
  const small = await start("--context", "128", "--slots", "1", "--queue", "256");
  const options = { baseURL: small.url + "/v1", apiKey: "sesame" };
  const hasty = new OpenAI({ ...options, maxRetries: 0 });
  const statuses = [];
  const patient = new OpenAI({ ...options, maxRetries: 60, fetch: async (...request) => {
    const response = await fetch(...request);
    statuses.push(response.status);
    return response;
  } });
  // Each request needs 64 places; four fill the queue, of which the machine frees one after the other.
  const ask = (who, extra, signal) => who.completions.create({ model, prompt, n: 64, max_tokens: 1, ...extra }, { signal });
  const holders = new AbortController();
  try {
    const held = [1, 2, 3, 4].map(() =>
      ask(hasty, { max_tokens: 120, ignore_eos: true }, holders.signal).catch((error) => error));
    await until(async () => await metric(small.url, "pianola_requests_waiting", "sesame") > 220, "the queue is full");
    await assert.rejects(ask(hasty), (error) => {
      assert.ok(error instanceof OpenAI.RateLimitError, String(error));
      assert.equal(error.headers.get("retry-after"), "1");
      assert.equal(error.code, "queue_full");
      return true;
    });
    const answer = ask(patient);
    await until(() => statuses.length > 0, "the client was refused");
    holders.abort();
    assert.equal((await answer).usage.completion_tokens, 64);
    assert.deepEqual([new Set(statuses.slice(0, -1)), statuses.at(-1)], [new Set([429]), 200]);
    for (const error of await Promise.all(held)) assert.ok(error instanceof OpenAI.APIUserAbortError, String(error));
  } finally {
    small.child.kill("SIGKILL");
  }
});

test("calls tools", async () => {
  const tools = [
    { type: "function", function: { name: "look", parameters: { type: "object", properties: { at: { enum: ["sky", "sea"] } }, required: ["at"] } } },
    { type: "function", function: { name: "go_on" } },
  ];
  const template = long ? "template/templates/qwen25.jinja" : "server/short_tools.jinja";
  const other = await start("--context", long ? "512" : "256", "--chat-template", `${source}/tests/${template}`);
  const caller = new OpenAI({ baseURL: other.url + "/v1", apiKey: "sesame", maxRetries: 0 });
  const messages = [{ role: "user", content: "Look!" }];
  const ask = (extra) => caller.chat.completions.create({ model, messages, tools, temperature: 1, seed: 3, ...extra });
  const check = (calls) => {
    for (const { id, type, function: { name, arguments: text } } of calls) {
      assert.match(id, /^[0-9A-Za-z]{9}$/);
      assert.equal(type, "function");
      if (name === "look") assert.ok(["sky", "sea"].includes(JSON.parse(text).at));
      else assert.deepEqual([name, JSON.parse(text)], ["go_on", {}]);
    }
  };
  try {
    const required = { tool_choice: "required", parallel_tool_calls: false, max_tokens: 120 };
    const first = (await ask(required)).choices[0];
    assert.equal(first.finish_reason, "tool_calls");
    assert.equal(first.message.content, null);
    assert.equal(first.message.tool_calls.length, 1);
    check(first.message.tool_calls);
    const named = (await ask({ tool_choice: { type: "function", function: { name: "look" } }, max_tokens: 120, seed: 4 })).choices[0];
    assert.deepEqual(named.message.tool_calls.map((call) => call.function.name), ["look"]);
    check(named.message.tool_calls);
    // The call and its result become part of the prompt.
    const result = { role: "tool", tool_call_id: first.message.tool_calls[0].id, content: "blue" };
    const next = await ask({ messages: [...messages, first.message, result], max_tokens: 2 });
    assert.ok(next.usage.prompt_tokens > first.message.tool_calls[0].function.arguments.length);
    const free = await ask({ tool_choice: "none", max_tokens: 2 });
    assert.ok(free.usage.prompt_tokens < next.usage.prompt_tokens);
    if (long) {
      const chunks = await collect(await ask({ ...required, stream: true }));
      assert.deepEqual(chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? []).map((call) => call.function),
        first.message.tool_calls.map((call) => call.function));
      assert.equal(chunks.at(-1).choices[0].finish_reason, "tool_calls");
      assert.ok(chunks.every((chunk) => !chunk.choices[0]?.delta.content));
      const all = (await ask({ tool_choice: "required", max_tokens: 140 })).choices[0];
      check(all.message.tool_calls ?? []);
      const final = await caller.chat.completions.stream({ model, messages, tools, ...required }).finalChatCompletion();
      check(final.choices[0].message.tool_calls);
    }
    for (const wrong of [{ tool_choice: { type: "function", function: { name: "other" } } }, { tool_choice: "sometimes" },
      { tool_choice: "required", response_format: { type: "json_object" } }, { tool_choice: "required", tools: undefined }]) {
      await assert.rejects(ask(wrong), OpenAI.BadRequestError);
    }
    await assert.rejects(chat({ tools, tool_choice: "required" }), OpenAI.BadRequestError);  // no template that knows tools
  } finally {
    other.child.kill("SIGKILL");
  }
});
