// Applies chat templates with npm's @huggingface/jinja: requests and answers as template_cli's.
import readline from "node:readline";
import { Template } from "@huggingface/jinja";

const templates = new Map();

// Its strftime_now takes the clock's word; this clock stands where the request says, in UTC.
process.env.TZ = "UTC";
let seconds = 0;
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [seconds * 1000]));
  }
};

function apply(request) {
  let template = templates.get(request.source);
  if (!template) templates.set(request.source, (template = new Template(request.source)));
  seconds = request.seconds;
  const { messages, tools, add_generation_prompt, bos_token, eos_token, variables } = request;
  return template.render({ messages, tools, add_generation_prompt, bos_token, eos_token, ...variables });
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { text: apply(JSON.parse(line)) };
  } catch (error) {
    answer = { error: String(error.message) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
