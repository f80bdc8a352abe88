#!/usr/bin/env python3
"""Compares JSON schemas as grammars with the package jsonschema.

    schema_oracle.py --cli build/tests/grammar/grammar_cli

Random schemas are made, and for each of them documents that follow it, in several layouts, and documents that
are then changed. A document that jsonschema calls valid and that was made from the schema must be accepted;
whatever the grammar accepts, and whatever random walks through its masks give, must be valid JSON that
jsonschema calls valid. Without the package the exit code is 77, which ctest reports as skipped, or 1 if
PIANOLA_REQUIRE_ORACLES=1.
"""

import argparse
import importlib.metadata
import json
import os
import random
import string
import subprocess
import sys

try:
    import jsonschema
except ImportError as missing:
    required = os.environ.get("PIANOLA_REQUIRE_ORACLES") == "1"
    print(f"{'FAILED' if required else 'skipped'}: {missing}; run tests/setup_oracles.sh")
    sys.exit(1 if required else 77)

PATTERNS = [(r"^[a-z]{2,4}-\d+$", lambda r: "".join(r.choices(string.ascii_lowercase, k=r.randint(2, 4))) + "-" + str(r.randint(0, 999))),
            (r"^(yes|no)$", lambda r: r.choice(["yes", "no"])),
            (r'^"[^"\\]*"$', lambda r: '"' + r.choice(["", "a b", "é\n"]) + '"'),
            (r"b+", lambda r: "x" * r.randint(0, 2) + "b" * r.randint(1, 3) + "yé"[: r.randint(0, 2)])]
STRINGS = ["", "a", "name", "é😀", 'quote "', "back\\slash", "line\nbreak\ttab", "\u0001", "/", "long " * 5]
ANNOTATIONS = {"title": "T", "description": "D", "default": None, "examples": [1]}


class Maker:
    """Schemas, and documents that follow them."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def scalar(self):
        return self.random.choice([None, True, False, 0, -7, 123456, 0.5, -1e-7, *STRINGS])

    def schema(self, depth=0):
        schema = self.bare_schema(depth)
        if isinstance(schema, dict) and self.random.random() < 0.2:
            key = self.random.choice(list(ANNOTATIONS))
            schema[key] = ANNOTATIONS[key]
        return schema

    def bare_schema(self, depth):
        r = self.random
        kinds = ["string", "integer", "number", "boolean", "null", "enum", "const", "pattern", "length", "range", "types"]
        if depth < 3:
            kinds += ["object", "object", "object", "array", "array", "tuple", "anyOf", "oneOf", "allOf", "ref", "any", "map"]
        kind = r.choice(kinds)
        if kind in ("string", "integer", "number", "boolean", "null"):
            return {"type": kind}
        if kind == "enum":
            return {"enum": [self.scalar() for _ in range(r.randint(1, 4))] + ([{"a": [1, "x"], "b": {}}] if r.random() < 0.3 else [])}
        if kind == "const":
            return {"const": self.scalar()}
        if kind == "pattern":
            return {"type": "string", "pattern": r.choice(PATTERNS)[0]}
        if kind == "length":
            low = r.randint(0, 4)
            return {"type": "string", "minLength": low, **({"maxLength": low + r.randint(0, 5)} if r.random() < 0.7 else {})}
        if kind == "range":
            low = r.choice([-1000, -99, -10, -1, 0, 1, 7, 95, 10**6]) + r.randint(-3, 3)
            high = low + r.choice([0, 1, 5, 20, 130, 99999])
            bounds = r.choice([{"minimum": low, "maximum": high}, {"exclusiveMinimum": low - 1, "exclusiveMaximum": high + 1},
                               {"minimum": low}, {"maximum": high}, {"minimum": low - 0.5, "maximum": high + 0.5}])
            return {"type": "integer", **bounds}
        if kind == "types":
            return {"type": r.sample(["string", "integer", "boolean", "null"], r.randint(1, 3))}
        if kind == "any":
            return r.choice([True, {}])
        if kind == "object":
            names = r.sample(["name", "age", "id", "a", "ab", "abc", "é", 'q"'], r.randint(0, 5))
            schema = {"type": "object", "properties": {name: self.schema(depth + 1) for name in names}}
            if r.random() < 0.8:
                schema["required"] = [name for name in names if r.random() < 0.6]
            if r.random() < 0.5:
                schema["additionalProperties"] = r.choice([False, False, True, {"type": "integer"}])
            return schema
        if kind == "map":
            return {"type": "object", "additionalProperties": self.schema(depth + 1)}
        if kind == "array":
            low = r.choice([0, 0, 1, 3])
            return {"type": "array", "items": self.schema(depth + 1), "minItems": low, **({"maxItems": low + r.randint(0, 3)} if r.random() < 0.5 else {})}
        if kind == "tuple":
            count = r.randint(1, 3)
            schema = {"type": "array", "prefixItems": [self.schema(depth + 1) for _ in range(count)], "items": r.choice([False, {"type": "integer"}])}
            if r.random() < 0.6:
                schema["minItems"] = r.randint(0, count)
            return schema
        if kind == "anyOf":
            return {"anyOf": [self.schema(depth + 1) for _ in range(r.randint(1, 3))]}
        if kind == "oneOf":
            if r.random() < 0.5:
                return {"oneOf": r.sample([{"type": "string"}, {"type": "integer"}, {"type": "null"}, {"type": "array", "items": True}], 2)}
            return {"oneOf": [{"type": "object", "properties": {"kind": {"const": kind}, "value": self.schema(depth + 1)}, "required": ["kind"]}
                              for kind in ("a", "b", "c")]}
        if kind == "allOf":
            return {"allOf": [{"type": "object", "properties": {"x": self.schema(depth + 1)}, "required": ["x"]},
                              {"type": "object", "properties": {"y": self.schema(depth + 1)}}]}
        return {"$ref": "#/$defs/tree"}

    TREE = {"type": "object", "properties": {"value": {"type": "integer"}, "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
            "required": ["value"], "additionalProperties": False}

    def document(self, schema, depth=0):
        """A value that follows a schema of this maker, properties in its order."""
        r = self.random
        if schema is True or not set(schema) - {*ANNOTATIONS, "$defs"}:
            return r.choice([self.scalar(), [self.scalar()], {"k": self.scalar()}])
        if "$ref" in schema:
            tree = {"value": r.randint(-5, 5)}
            if depth < 4 and r.random() < 0.6:
                tree["left"] = r.choice([None, self.document(schema, depth + 1)])
            return tree
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.document(r.choice(schema[key]), depth)
        if "allOf" in schema:
            document = {}
            for part in schema["allOf"]:
                document.update(self.document(part, depth))
            return document
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return r.choice(schema["enum"])
        kind = r.choice(schema["type"]) if isinstance(schema["type"], list) else schema["type"]
        if kind == "null":
            return None
        if kind == "boolean":
            return r.random() < 0.5
        if kind == "integer":
            low = schema.get("minimum", schema.get("exclusiveMinimum", -10**17))
            high = schema.get("maximum", schema.get("exclusiveMaximum", 10**17))
            low, high = -(-low // 1), high // 1
            low += "exclusiveMinimum" in schema
            high -= "exclusiveMaximum" in schema
            return r.choice([int(low), int(high), r.randint(int(low), int(high))])
        if kind == "number":
            return r.choice([0, -1, 3.25, 1e20, -2.5e-9, 123456789])
        if kind == "string":
            if "pattern" in schema:
                return next(make for pattern, make in PATTERNS if pattern == schema["pattern"])(r)
            low, high = schema.get("minLength", 0), schema.get("maxLength", 12)
            if "minLength" in schema:
                return "".join(r.choice(["a", "é", "😀", '"', "\\", "\n"]) for _ in range(r.randint(low, max(low, high))))
            return r.choice(STRINGS)
        if kind == "array":
            items = [self.document(item, depth + 1) for item in schema.get("prefixItems", [])]
            low = max(schema.get("minItems", 0) - len(items), 0)
            if schema.get("items", True) is not False:
                high = schema["maxItems"] - len(items) if "maxItems" in schema else low + 2
                items += [self.document(schema.get("items", True), depth + 1) for _ in range(r.randint(low, max(low, high)))]
            return items
        document = {}
        for name, value in schema.get("properties", {}).items():
            if name in schema.get("required", []) or r.random() < 0.5:
                document[name] = self.document(value, depth + 1)
        additional = schema.get("additionalProperties", False)
        if additional is not False:
            for name in r.sample(["extra", "abcd", "nam", "z"], r.randint(0, 2)):
                document[name] = self.document(additional, depth + 1)
        return document

    def layout(self, document):
        return self.random.choice([lambda d: json.dumps(d, ensure_ascii=False), lambda d: json.dumps(d, indent=2, ensure_ascii=False),
                                   lambda d: json.dumps(d, separators=(",", ":"), ensure_ascii=False)])(document)

    def change(self, text):
        at = self.random.randrange(len(text) + 1)
        return self.random.choice([lambda: text[:at] + text[at + 1:], lambda: text[:at] + self.random.choice('"{}[],:01-.etnu\\ax ') + text[at:],
                                   lambda: text[:at] + text[at:at + 5] + text[at:], lambda: text + text])()


def parse(text):
    def refuse(constant):
        raise ValueError(constant)
    return json.loads(text, parse_constant=refuse)


def is_valid(validator, text):
    try:
        return validator.is_valid(parse(text))
    except ValueError:
        return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli", required=True)
    parser.add_argument("--schemas", type=int, default=400)
    arguments = parser.parse_args()
    requests, made = [], []
    for seed in range(arguments.schemas):
        maker = Maker(seed)
        schema = maker.schema()
        if schema is not True:
            schema = {**schema, "$defs": {"tree": Maker.TREE}}
        documents = [maker.layout(maker.document(schema)) for _ in range(8)]
        changed = [maker.change(text) for text in documents for _ in range(4)]
        requests.append({"schema": schema, "documents": documents + changed, "walks": 12, "seed": seed})
        made.append(len(documents))
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run([arguments.cli], input=lines.encode(), stdout=subprocess.PIPE, check=True, timeout=500)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = accepted = refused = walked = unfinished = 0

    def report(message, request, text):
        nonlocal wrong
        wrong += 1
        if wrong <= 10:
            print(f"{message}: {text!r}\n  {json.dumps(request['schema'], ensure_ascii=False)}")

    for request, answer, count in zip(requests, answers, made):
        if "error" in answer:
            refused += 1
            report("refused", request, answer["error"])
            continue
        validator = jsonschema.Draft202012Validator(request["schema"])
        for index, (text, matched) in enumerate(zip(request["documents"], answer["accepted"])):
            valid = is_valid(validator, text)
            if index < count and not valid:
                raise AssertionError(f"the maker made an invalid document: {text} of {request['schema']}")
            if matched and not valid:
                report("accepted, but not valid", request, text)
            if index < count and not matched:
                report("valid, but not accepted", request, text)
            accepted += matched
        for text in answer["walks"]:
            walked += 1
            if not is_valid(validator, text):
                report("a walk gave", request, text)
        unfinished += answer["unfinished"]
    print(f"{len(requests)} schemas: {accepted} documents accepted, {walked} walks ended and {unfinished} did not, {wrong} mistakes "
          f"(jsonschema {importlib.metadata.version('jsonschema')})")
    return 1 if wrong or len(answers) != len(requests) or walked < 6 * len(requests) else 0


if __name__ == "__main__":
    sys.exit(main())
