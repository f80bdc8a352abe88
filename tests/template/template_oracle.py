#!/usr/bin/env python3
"""Compares chat templates with the engines that models are published for.

    template_oracle.py --cli build/tests/template/template_cli

Conversations are made here and put through templates in the formats of Llama 3, Qwen2.5, Mistral, DeepSeek
and SmolLM2 (templates/), through npm's @huggingface/jinja, and through Python's Jinja2 set up as Hugging Face
does. A package that is not installed is left out; with PIANOLA_REQUIRE_ORACLES=1 that is a failure, and
without any the exit code is 77, which ctest reports as skipped.
"""

import argparse
import datetime
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

TEXTS = ["Hello", " leading and trailing ", "two\nlines\n", "", "“quotes” 'and' \"more\"", "日本語 😀 é", "<|im_end|> [INST]",
         "{{ not a tag }} {% nor this %}", "tab\tand \\ backslash", "a" * 200, "<think>\nhm\n</think>\n\nThe answer", "\n\nx", "42", "İ ß Ǆ"]
ARGUMENTS = [{}, {"city": "Paris"}, {"city": "Köln \"x\"", "days": 3, "exact": True, "ratio": 0.5, "none": None},
             {"nested": {"list": [1, 2.5, "three", [], {}], "empty": {}}}, {"text": "line\nbreak & <tag>'"}]
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather of a city.", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "Its \"name\""}, "days": {"type": "integer"}},
        "required": ["city"]}}},
    {"type": "function", "function": {"name": "add", "description": "Adds & <subtracts>", "parameters": {
        "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number", "enum": [1, 2.5]}}, "required": []},
        "return": {"type": "number"}}},
    {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}},
]


class Maker:
    """Conversations of random shape, some of which templates must refuse."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self):
        return self.random.choice(TEXTS)

    def calls(self):
        count = self.random.choice([1, 1, 1, 2, 3])
        return [{"id": "".join(self.random.choice("abcXYZ019") for _ in range(self.random.choice([9, 9, 9, 9, 5]))), "type": "function",
                 "function": {"name": self.random.choice(TOOLS)["function"]["name"], "arguments": self.random.choice(ARGUMENTS)}}
                for _ in range(count)]

    def conversation(self):
        messages = []
        if self.random.random() < 0.5:
            messages.append({"role": "system", "content": self.text()})
        for turn in range(self.random.randint(1, 4)):  # named, for JavaScript finds no two objects equal
            messages.append({"role": "user", "content": self.text(), "turn": turn})
            if self.random.random() < 0.35:
                calls = self.calls()
                messages.append({"role": "assistant", "content": self.random.choice(["", self.text()]), "tool_calls": calls})
                messages += [{"role": "tool", "tool_call_id": call["id"], "content": self.text()} for call in calls]
            if self.random.random() < 0.85:
                messages.append({"role": "assistant", "content": self.text()})
        if self.random.random() < 0.05:
            messages.append({"role": "critic", "content": "hm"})
        return messages

    def request(self, source):
        variables = {}
        if self.random.random() < 0.2:
            variables["date_string"] = "26 Jul 2024"
        if self.random.random() < 0.2:
            variables["tools_in_user_message"] = False
        if self.random.random() < 0.15:
            variables["builtin_tools"] = ["code_interpreter", "brave_search", "add"]
        tools = self.random.sample(TOOLS, self.random.randint(1, 3)) if self.random.random() < 0.4 else None
        return {"source": source, "messages": self.conversation(), "tools": tools,
                "add_generation_prompt": self.random.random() < 0.7, "bos_token": "<s>", "eos_token": "</s>",
                "seconds": 1_700_000_000 + self.random.randrange(10**8), "variables": variables}


def make_requests(folder, count):
    requests = []
    for path in sorted(folder.glob("*.jinja")):
        maker = Maker(path.name)
        requests += [(path.stem, maker.request(path.read_text(encoding="utf-8"))) for _ in range(count)]
    return requests


def ask(command, requests):
    lines = "".join(json.dumps(request) + "\n" for _, request in requests)
    done = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, check=True, timeout=300)
    return [json.loads(line) for line in done.stdout.splitlines()]


def ask_jinja2(requests):
    """None if the package is missing."""
    try:
        import jinja2
        import jinja2.ext
        import jinja2.sandbox
    except ImportError:
        return None

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    answers = []
    for _, request in requests:
        now = datetime.datetime.fromtimestamp(request["seconds"], datetime.timezone.utc)
        environment.globals["strftime_now"] = now.strftime
        values = {key: request[key] for key in ("messages", "tools", "add_generation_prompt", "bos_token", "eos_token")}
        try:
            answers.append({"text": environment.from_string(request["source"]).render(**values, **request["variables"])})
        except (jinja2.exceptions.TemplateError, TypeError) as error:
            answers.append({"error": str(error)})
    return answers


def compare(name, requests, ours, theirs, known):
    different = refused = lacking = 0
    for (template, request), mine, other in zip(requests, ours, theirs):
        if template in known or other.get("error", "").startswith("Unknown "):  # a filter that it lacks
            lacking += 1
            continue
        refused += "error" in mine
        if "error" in mine and "error" in other:
            same = "refuses" not in mine["error"] or other["error"] in mine["error"]
        else:
            same = mine == other
        if not same:
            different += 1
            if different <= 5:
                print(f"{template}: {json.dumps(request['messages'], ensure_ascii=False)}\n  {name}:\n{other}\n  ours:\n{mine}")
    print(f"{name}: {len(requests)} conversations, {different} differences; refused alike: {refused}, beyond it: {lacking}")
    return different


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli", required=True)
    parser.add_argument("--count", type=int, default=100, help="conversations a template")
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parent
    requests = make_requests(here / "templates", arguments.count)
    ours = ask([arguments.cli], requests)
    oracles = {}
    if shutil.which("node") and (here.parent / "node_modules" / "@huggingface" / "jinja").exists():
        oracles["@huggingface/jinja"] = ask(["node", str(here / "huggingface_jinja.mjs")], requests)
    jinja2_answers = ask_jinja2(requests)
    if jinja2_answers is not None:
        oracles["Jinja2"] = jinja2_answers
    # operations.jinja has texts that @huggingface/jinja writes in JavaScript's way (2.0 as 2, None as null).
    different = sum(compare(name, requests, ours, theirs, {"operations"} if name.startswith("@") else set()) for name, theirs in oracles.items())
    missing = {"@huggingface/jinja", "Jinja2"} - oracles.keys()
    if missing:
        print("not installed: " + ", ".join(sorted(missing)) + "; run tests/setup_oracles.sh")
        if os.environ.get("PIANOLA_REQUIRE_ORACLES") == "1":
            return 1
    if different:
        return 1
    return 0 if oracles else 77


if __name__ == "__main__":
    sys.exit(main())
