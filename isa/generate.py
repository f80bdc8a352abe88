#!/usr/bin/env python3
"""Generates everything that follows from the machine spec.

    python3 isa/generate.py            write the generated files
    python3 isa/generate.py --check    fail if a checked-in file is stale

Reads isa/machine.toml (and isa/isa.md.in); writes

    isa/instructions.h         enums, instruction structs, encoders and decoders, latencies, rules
    isa/instruction_tables.h   the fields of every unit as data, for assembler and disassembler
    rtl/pianola_pkg.sv         field offsets, opcodes, latencies and rule codes for the RTL
    docs/isa.md                the prose with the tables

Standard library only; the output depends on nothing but the two inputs.
"""

import argparse
import dataclasses
import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPEC = ROOT / "isa" / "machine.toml"
PROSE = ROOT / "isa" / "isa.md.in"

# Names of enums whose values several fields share; every other enum is <Unit><Field>.
SHARED_ENUM_NAMES = {
    ("VXM", "x_format"): "VxmFormat",
    ("VXM", "mul1"): "VxmOperand",
    ("VXM", "segment"): "LaneSegment",
    ("SXM", "segment"): "LaneSegment",
}
DIRECTION = {"EAST": 0, "WEST": 1}


@dataclasses.dataclass
class Field:
    name: str
    bits: int
    lsb: int  # in the instruction word
    signed: bool
    values: dict | None
    enum: str | None
    doc: str
    used_by: tuple | None  # (field, negated, values)


@dataclasses.dataclass
class Unit:
    name: str  # MXM_LOAD
    doc: str
    queues: list
    fields: list

    @property
    def camel(self):
        return camel(self.name)

    @property
    def struct(self):
        return self.camel + "Instruction"

    @property
    def used_bits(self):
        last = self.fields[-1]
        return last.lsb + last.bits


def camel(name):
    return "".join(part[:1].upper() + part[1:].lower() for part in re.split(r"[_.]", name))


def fail(message):
    sys.exit(f"isa/machine.toml: {message}")


def parse_used_by(text, fields, where):
    match = re.fullmatch(r"(\w+) (=|!=) (\w+(?: \| \w+)*)", text)
    if not match:
        fail(f'{where}: used_by must read "field = A | B" or "field != A", got "{text}"')
    name, operator, names = match.groups()
    selector = next((f for f in fields if f["name"] == name), None)
    if selector is None:
        fail(f"{where}: used_by names field {name}, which the unit does not have")
    return name, operator == "!=", names.split(" | ")


class Spec:
    def __init__(self):
        with SPEC.open("rb") as file:
            raw = tomllib.load(file)
        self.word_bits = raw["word"]["bits"]
        self.header = self.plain_fields(raw["header"], 0, "Word")
        self.header_bits = sum(f.bits for f in self.header)
        self.nop = self.plain_fields(raw["nop"], self.header_bits, "Nop")
        self.timing = self.plain_fields(raw["timing"], self.header_bits, "Timing")
        self.timing_bits = sum(f.bits for f in self.timing)
        self.payload_start = self.header_bits + self.timing_bits
        self.units = [self.unit(name, value) for name, value in raw["unit"].items()]
        self.latency = raw["latency"]
        self.rules = raw["rules"]
        codes = [rule["code"] for rule in self.rules.values()]
        if len(set(codes)) != len(codes):
            fail("two rules have one code")
        self.enums = {}
        self.enums["WordKind"] = self.header[0].values
        for unit in self.units:
            for field in unit.fields:
                if field.enum:
                    known = self.enums.setdefault(field.enum, field.values)
                    if known != field.values:
                        fail(f"enum {field.enum} has two sets of values")

    @staticmethod
    def plain_fields(raw_fields, lsb, prefix):
        fields = []
        for raw in raw_fields:
            enum = prefix + camel(raw["name"]) if "values" in raw else None
            fields.append(Field(raw["name"], raw["bits"], lsb, raw.get("signed", False),
                                raw.get("values"), enum, raw.get("doc", ""), None))
            lsb += raw["bits"]
        return fields

    def unit(self, name, raw_unit):
        raw_fields = raw_unit["field"]
        lsb = self.payload_start
        fields = []
        for raw in raw_fields:
            where = f"unit {name}, field {raw['name']}"
            unknown = set(raw) - {"name", "bits", "signed", "values", "values_of", "used_by", "doc"}
            if unknown:
                fail(f"{where}: unknown keys {sorted(unknown)}")
            values, enum = raw.get("values"), None
            if "values_of" in raw:
                source = next(f for f in fields if f.name == raw["values_of"])
                values, enum = source.values, source.enum
            elif values == DIRECTION:
                enum = "Direction"
            elif values is not None:
                enum = SHARED_ENUM_NAMES.get((name, raw["name"]), camel(name) + camel(raw["name"]))
            if values is not None and max(values.values()) >= 1 << raw["bits"]:
                fail(f"{where}: a value does not fit {raw['bits']} bits")
            used_by = None
            if "used_by" in raw:
                used_by = parse_used_by(raw["used_by"], raw_fields, where)
            fields.append(Field(raw["name"], raw["bits"], lsb, raw.get("signed", False), values,
                                enum, raw.get("doc", ""), used_by))
            lsb += raw["bits"]
        if lsb > self.word_bits:
            fail(f"unit {name}: {lsb} bits do not fit a word of {self.word_bits}")
        for field in fields:
            if field.used_by:
                selector = next(f for f in fields if f.name == field.used_by[0])
                for value in field.used_by[2]:
                    if value not in (selector.values or {}):
                        fail(f"unit {name}, field {field.name}: {selector.name} has no value {value}")
        return Unit(name, raw_unit["doc"], raw_unit["queues"], fields)


def comment(text, indent=""):
    """Sentences wrapped to 100 columns."""
    lines, line = [], indent + "//"
    for word in text.split():
        if len(line) + 1 + len(word) > 100:
            lines.append(line)
            line = indent + "//"
        line += " " + word
    lines.append(line)
    return "\n".join(lines)


# ---------------------------------------------------------------------------- C++


def cpp_type(field):
    return field.enum or ("int32_t" if field.signed else "uint32_t")


def cpp_unused(unit, field):
    """The condition under which a field must be zero."""
    name, negated, values = field.used_by
    selector = next(f for f in unit.fields if f.name == name)
    tests = [f"x.{name} {'==' if negated else '!='} {selector.enum}::{camel(v)}" for v in values]
    return (" || " if negated else " && ").join(tests)


def cpp_expression(expr):
    return re.sub(r"\bL\b", "lanes", re.sub(r"\bclog2\b", "ceil_log2", expr))


def cpp_unit(spec, unit):
    out = [comment(f"{unit.name}: {unit.doc}."), f"struct {unit.struct} {{", "  Timing timing;"]
    for field in unit.fields:
        out.append(f"  {cpp_type(field)} {field.name}{{}};")
    out += [f"  bool operator==(const {unit.struct}&) const = default;", "};", ""]
    conditional = [f for f in unit.fields if f.used_by]
    out.append("// False if a field that the opcode does not use is not zero.")
    argument = "x" if conditional else ""
    out.append(f"inline bool unused_fields_are_zero(const {unit.struct}& {argument}) {{".replace(
        "& )", "&)"))
    for field in conditional:
        line = f"  if (({cpp_unused(unit, field)}) && x.{field.name} != {cpp_type(field)}{{}}) return false;"
        if len(line) > 100:
            line = (f"  if (({cpp_unused(unit, field)}) &&\n"
                    f"      x.{field.name} != {cpp_type(field)}{{}})\n    return false;")
            line = wrap_condition(line)
        out.append(line)
    out += ["  return true;", "}", ""]
    out.append(f"inline Word encode_push(int queue, uint32_t mask, const {unit.struct}& x) {{")
    out.append("  CHECK(unused_fields_are_zero(x));")
    out.append("  Word word = detail::push_header(queue, mask);")
    out.append("  detail::put_timing(word, x.timing);")
    for field in unit.fields:
        put = "put_signed" if field.signed else "put"
        value = f"static_cast<uint32_t>(x.{field.name})" if field.enum else f"x.{field.name}"
        out.append(f"  detail::{put}(word, {field.lsb}, {field.bits}, {value});")
    out += ["  return word;", "}", ""]
    out.append(f"inline bool decode(const Word& word, {unit.struct}& x) {{")
    out.append("  x.timing = detail::get_timing(word);")
    for field in unit.fields:
        if field.enum:
            out.append(f"  x.{field.name} = static_cast<{field.enum}>"
                       f"(detail::get(word, {field.lsb}, {field.bits}));")
        else:
            get = "get_signed" if field.signed else "get"
            out.append(f"  x.{field.name} = detail::{get}(word, {field.lsb}, {field.bits});")
    tests = []
    for field in unit.fields:
        if field.enum and len(field.values) < 1 << field.bits:
            tests.append(f"is_valid(x.{field.name})")
    tests += [f"detail::is_zero_from(word, {unit.used_bits})", "unused_fields_are_zero(x)"]
    out.append("  return " + " &&\n         ".join(tests) + ";")
    out += ["}", ""]
    return out


def wrap_condition(text):
    """Breaks the lines of a condition at && and || so that they stay within 100 columns."""
    result = []
    for line in text.split("\n"):
        while len(line) > 100:
            cut = max(line.rfind(" && ", 0, 96), line.rfind(" || ", 0, 96))
            result.append(line[:cut + 3])
            line = "       " + line[cut + 4:]
        result.append(line)
    return "\n".join(result)


CPP_DETAIL = """
namespace detail {

// A field may straddle two elements of the word, never more.
inline void put(Word& word, int lsb, int bits, uint64_t value) {
  CHECK(value < uint64_t{1} << bits);
  word[lsb / 64] |= value << (lsb % 64);
  if (lsb % 64 + bits > 64) word[lsb / 64 + 1] |= value >> (64 - lsb % 64);
}
inline void put_signed(Word& word, int lsb, int bits, int64_t value) {
  CHECK(value >= -(int64_t{1} << (bits - 1)) && value < int64_t{1} << (bits - 1));
  put(word, lsb, bits, static_cast<uint64_t>(value) & ((uint64_t{1} << bits) - 1));
}
inline uint32_t get(const Word& word, int lsb, int bits) {
  uint64_t value = word[lsb / 64] >> (lsb % 64);
  if (lsb % 64 + bits > 64) value |= word[lsb / 64 + 1] << (64 - lsb % 64);
  return static_cast<uint32_t>(value & ((uint64_t{1} << bits) - 1));
}
inline int32_t get_signed(const Word& word, int lsb, int bits) {
  return static_cast<int32_t>(get(word, lsb, bits) << (32 - bits)) >> (32 - bits);
}
inline bool is_zero_from(const Word& word, int lsb) {
  if (lsb % 64 != 0 && word[lsb / 64] >> (lsb % 64) != 0) return false;
  for (int i = (lsb + 63) / 64; i < 4; ++i) {
    if (word[i] != 0) return false;
  }
  return true;
}
"""


def cpp_header(spec):
    out = ["// Generated by isa/generate.py from isa/machine.toml. Do not edit.",
           "// The instruction set: one struct per unit with its encoder and decoder, the latencies and",
           "// the rules. The meaning of every field is in docs/isa.md.",
           "// clang-format off",
           "#pragma once", "", "#include <cstdint>", "#include <string_view>", "",
           '#include "isa/result.h"', '#include "isa/word.h"', "", "namespace pianola {", ""]
    out.append(f"constexpr int kWordBits = {spec.word_bits};")
    out.append(f"constexpr int kHeaderBits = {spec.header_bits};")
    out.append(f"constexpr int kTimingStart = {spec.header_bits};")
    out.append(f"constexpr int kPayloadStart = {spec.payload_start};  // first bit after the timing")
    for unit in spec.units:
        out.append(f"constexpr int kPayloadBits{unit.camel} = {unit.used_bits - spec.payload_start};")
    out += ["", "// The range of every field that holds a number."]
    for prefix, fields in [("Header", spec.header), ("Nop", spec.nop), ("Timing", spec.timing),
                           *((unit.camel, unit.fields) for unit in spec.units)]:
        for field in fields:
            name = f"k{prefix}{camel(field.name)}"
            if field.signed:
                out.append(f"constexpr int32_t {name}Min = {-(1 << (field.bits - 1))}, "
                           f"{name}Max = {(1 << (field.bits - 1)) - 1};")
            elif not field.enum:
                out.append(f"constexpr uint32_t {name}Max = {(1 << field.bits) - 1};")
    out.append("")
    for name, values in spec.enums.items():
        out.append(f"enum class {name} : uint32_t {{")
        line = "  "
        for k, v in values.items():
            item = f"{camel(k)} = {v}, "
            if len(line) + len(item) > 100:
                out.append(line.rstrip())
                line = "  "
            line += item
        out += [line.rstrip(), "};"]
    out.append("")
    out.append("// False for a bit pattern that names no value.")
    for name, values in spec.enums.items():
        if sorted(values.values()) != list(range(len(values))):
            fail(f"enum {name} is not dense")
        out.append(f"constexpr bool is_valid({name} value) {{ "
                   f"return static_cast<uint32_t>(value) < {len(values)}; }}")
    out.append("")
    out.append("// The cycles in which a pushed instruction issues (docs/isa.md, section 3).")
    out.append("struct Timing {")
    for field in spec.timing:
        out.append(f"  uint32_t {field.name} = 0;  // {field.doc}")
    out += ["  bool operator==(const Timing&) const = default;", "};"]
    out.append(CPP_DETAIL.rstrip("\n"))
    kind, queue, mask = spec.header
    out.append("inline Word push_header(int queue, uint32_t mask) {")
    out += ["  CHECK(queue >= 0 && (mask & 1) == 1);", "  Word word{};",
            f"  put(word, {kind.lsb}, {kind.bits}, static_cast<uint32_t>(WordKind::Push));",
            f"  put(word, {queue.lsb}, {queue.bits}, static_cast<uint64_t>(queue));",
            f"  put(word, {mask.lsb}, {mask.bits}, mask);", "  return word;", "}"]
    out.append("inline void put_timing(Word& word, const Timing& timing) {")
    for field in spec.timing:
        out.append(f"  put(word, {field.lsb}, {field.bits}, timing.{field.name});")
    out.append("}")
    out.append("inline Timing get_timing(const Word& word) {")
    out.append("  Timing timing;")
    for field in spec.timing:
        out.append(f"  timing.{field.name} = get(word, {field.lsb}, {field.bits});")
    out += ["  return timing;", "}", "", "}  // namespace detail", ""]
    count = spec.nop[0]
    out += ["// What the dispatcher needs of a word.", "struct Header {",
            "  WordKind kind = WordKind::Nop;", "  uint32_t queue = 0, mask = 0;  // of a PUSH",
            "  uint32_t nop_count = 0;", "  bool operator==(const Header&) const = default;",
            "  // False: no such kind, a NOP of no cycles, a mask without bit 0, or a bit set that the",
            "  // kind does not use. Whether the queue exists is up to the target.",
            "  bool legal = false;", "};", "",
            "inline Header decode_header(const Word& word) {", "  Header header;",
            f"  header.kind = static_cast<WordKind>(detail::get(word, {kind.lsb}, {kind.bits}));",
            f"  const uint32_t queue = detail::get(word, {queue.lsb}, {queue.bits});",
            f"  const uint32_t mask = detail::get(word, {mask.lsb}, {mask.bits});",
            "  if (header.kind == WordKind::Push) {",
            "    header.queue = queue;", "    header.mask = mask;",
            "    header.legal = (mask & 1) == 1;", "    return header;", "  }",
            "  if (header.kind == WordKind::Nop) {",
            f"    header.nop_count = detail::get(word, {count.lsb}, {count.bits});",
            "    header.legal = queue == 0 && mask == 0 && header.nop_count >= 1 &&",
            f"                   detail::is_zero_from(word, {count.lsb + count.bits});",
            "    return header;", "  }",
            "  header.legal = header.kind == WordKind::End && queue == 0 && mask == 0 &&",
            f"                 detail::is_zero_from(word, {spec.header_bits});",
            "  return header;", "}", "",
            "inline Word encode_nop(uint32_t count) {", "  CHECK(count >= 1);", "  Word word{};",
            f"  detail::put(word, {kind.lsb}, {kind.bits}, static_cast<uint32_t>(WordKind::Nop));",
            f"  detail::put(word, {count.lsb}, {count.bits}, count);", "  return word;", "}",
            "inline Word encode_end() {", "  Word word{};",
            f"  detail::put(word, {kind.lsb}, {kind.bits}, static_cast<uint32_t>(WordKind::End));",
            "  return word;", "}", "",
            "// Levels nest and issue cycles strictly increase: an instruction with other timing is",
            "// illegal_encoding.",
            "constexpr bool timing_is_legal(const Timing& t) {",
            "  const uint32_t span1 = t.n1 * t.p1, span2 = span1 + t.n2 * t.p2;",
            "  return (t.n1 == 0 ? t.p1 == 0 : t.p1 >= 1) && (t.n2 == 0 ? t.p2 == 0 : t.p2 > span1) &&",
            "         (t.n3 == 0 ? t.p3 == 0 : t.p3 > span2);", "}",
            "// Cycles from the first issue to the last.",
            "constexpr uint32_t timing_span(const Timing& t) {",
            "  return t.n1 * t.p1 + t.n2 * t.p2 + t.n3 * t.p3;", "}",
            "constexpr uint64_t timing_issues(const Timing& t) {",
            "  return (uint64_t{t.n1} + 1) * (t.n2 + 1) * (t.n3 + 1);", "}", ""]
    out.append("// Every encoder CHECKs that the values fit their fields and that unused fields are zero. Every")
    out.append("// decoder returns false if a field names no value, an unused field is not zero, or a bit above")
    out.append("// the last field is set; the struct then holds the raw fields. Timing is not judged.")
    out.append("")
    for unit in spec.units:
        out += cpp_unit(spec, unit)
    out.append("constexpr int ceil_log2(int value) {")
    out += ["  int bits = 0;", "  while ((1 << bits) < value) ++bits;", "  return bits;", "}", ""]
    out.append("// Latencies in machine cycles, as functions of the lanes of the target.")
    for name, entry in spec.latency.items():
        expr = cpp_expression(entry["expr"])
        argument = "int lanes" if "lanes" in expr else "int /*lanes*/"
        out.append(comment(entry["doc"]))
        out.append(f"constexpr int latency_{name}({argument}) {{ return {expr}; }}")
    out += ["", "// The rules that make a roll sound, by their codes; the RTL raises faults by the same codes.",
            "enum class Rule : uint32_t {"]
    for name, rule in spec.rules.items():
        out.append(comment(rule["doc"], "  "))
        out.append(f"  {camel(name)} = {rule['code']},")
    out += ["};", "", "constexpr Rule kRules[] = {"]
    for name in spec.rules:
        out.append(f"    Rule::{camel(name)},")
    out += ["};", "", "constexpr std::string_view rule_name(Rule rule) {", "  switch (rule) {"]
    for name in spec.rules:
        out.append(f'    case Rule::{camel(name)}: return "{name}";')
    out += ["  }", '  return "";', "}", "", "constexpr std::string_view rule_doc(Rule rule) {",
            "  switch (rule) {"]
    for name, rule in spec.rules.items():
        out.append(f"    case Rule::{camel(name)}:")
        out.append(f'      return "{rule["doc"]}";')
    out += ["  }", '  return "";', "}", "", "}  // namespace pianola", ""]
    return "\n".join(out)


def cpp_tables(spec):
    out = ["// Generated by isa/generate.py from isa/machine.toml. Do not edit.",
           "// The fields of every unit as data, in the order of their bits: for the assembler, the",
           "// disassembler and tests. Code that knows its unit uses isa/instructions.h.",
           "// clang-format off",
           "#pragma once", "", "#include <cstdint>", "#include <span>", "#include <string_view>", "",
           "namespace pianola {", "",
           "struct FieldInfo {", "  std::string_view name;", "  int lsb;   // in the instruction word",
           "  int bits;", "  bool is_signed;",
           "  std::span<const std::string_view> values;  // names by value; empty for a number",
           "  int used_by = -1;          // index of the field that tells whether this one is used; -1: always",
           "  uint32_t used_values = 0;  // bit v: this field is used if that field is v", "};",
           "struct UnitInfo {", "  std::string_view name;  // \"MXM_LOAD\"",
           "  std::span<const std::string_view> queues;", "  std::span<const FieldInfo> fields;",
           "  int used_bits;  // bits of the word from 0 up to the last field", "};", "",
           "namespace tables {", ""]
    for name, values in spec.enums.items():
        names = ", ".join(f'"{k}"' for k, _ in sorted(values.items(), key=lambda item: item[1]))
        out.append(f"inline constexpr std::string_view k{name}Names[] = {{")
        out.append(f"    {names}}};")

    def rows(fields):
        for field in fields:
            values = f"k{field.enum}Names" if field.enum else "{}"
            used = ""
            if field.used_by:
                name, negated, names = field.used_by
                index = next(i for i, f in enumerate(fields) if f.name == name)
                mask = sum(1 << v for k, v in fields[index].values.items()
                           if (k in names) != negated)
                used = f", {index}, {mask:#x}"
            yield (f'    {{"{field.name}", {field.lsb}, {field.bits}, '
                   f'{"true" if field.signed else "false"}, {values}{used}}},')

    out += ["", "inline constexpr FieldInfo kTimingFields[] = {", *rows(spec.timing), "};", ""]
    for unit in spec.units:
        queues = ", ".join(f'"{q}"' for q in unit.queues)
        out += [f"inline constexpr std::string_view k{unit.camel}Queues[] = {{{queues}}};",
                f"inline constexpr FieldInfo k{unit.camel}Fields[] = {{", *rows(unit.fields), "};", ""]
    out += ["}  // namespace tables", "", "inline constexpr UnitInfo kUnits[] = {"]
    for unit in spec.units:
        out.append(f'    {{"{unit.name}", tables::k{unit.camel}Queues, tables::k{unit.camel}Fields, '
                   f"{unit.used_bits}}},")
    out += ["};", "", "// Index into kUnits.", "enum class UnitTable : int {"]
    for unit in spec.units:
        out.append(f"  {unit.camel},")
    out += ["};", "", "}  // namespace pianola", ""]
    return "\n".join(out)


# ---------------------------------------------------------------------------- SystemVerilog


def sv_expression(expr):
    return re.sub(r"\bL\b", "lanes", re.sub(r"\bclog2\b", "$clog2", expr))


def sv_package(spec):
    out = ["// Generated by isa/generate.py from isa/machine.toml. Do not edit.",
           "// The machine spec for the RTL: offsets and widths of fields, values, latencies, rule codes.",
           "// Offsets of the fields of a unit count from the first bit after the timing (PayloadLsb);",
           "// those of header, NOP and timing from bit 0 of the word.",
           "`default_nettype none", "",
           "// No module uses every field.", "/* verilator lint_off UNUSEDPARAM */",
           "package pianola_pkg;", ""]

    def field_parameters(prefix, fields, base):
        for field in fields:
            name = prefix + camel(field.name)
            out.append(f"  localparam int unsigned {name}Lsb = {field.lsb - base};")
            out.append(f"  localparam int unsigned {name}W = {field.bits};")

    out.append(f"  localparam int unsigned WordW = {spec.word_bits};")
    out.append(f"  localparam int unsigned HeaderW = {spec.header_bits};")
    out.append(f"  localparam int unsigned TimingLsb = {spec.header_bits};")
    out.append(f"  localparam int unsigned TimingW = {spec.timing_bits};")
    out.append(f"  localparam int unsigned PayloadLsb = {spec.payload_start};")
    out.append(f"  localparam int unsigned PayloadW = {spec.word_bits - spec.payload_start};")
    out += ["", "  // Header and NOP, from bit 0 of the word"]
    field_parameters("Header", spec.header, 0)
    field_parameters("Nop", spec.nop, 0)
    out += ["", "  // Timing, from bit 0 of the word"]
    field_parameters("Timing", spec.timing, 0)
    for unit in spec.units:
        out += ["", f"  // {unit.name}, from bit PayloadLsb of the word"]
        out.append(f"  localparam int unsigned {unit.camel}PayloadW = "
                   f"{unit.used_bits - spec.payload_start};")
        field_parameters(unit.camel, unit.fields, spec.payload_start)
    out += ["", "  // Values"]
    widths = {"WordKind": spec.header[0].bits}
    for unit in spec.units:
        for field in unit.fields:
            if field.enum:
                if widths.setdefault(field.enum, field.bits) != field.bits:
                    fail(f"enum {field.enum} has two widths")
    taken = set(re.findall(r"localparam \S+ \S+ (\w+) =", "\n".join(out)))
    for name, values in spec.enums.items():
        width = widths[name]
        for value_name, value in values.items():
            parameter = name + camel(value_name)
            if parameter in taken:  # the value W of VxmOutSource; VxmOutSourceW is a width
                parameter += "Value"
            out.append(f"  localparam logic [{width - 1}:0] {parameter} = {width}'d{value};")
    out += ["", "  // Latencies in machine cycles, as functions of the lanes"]
    for name, entry in spec.latency.items():
        expr = sv_expression(entry["expr"])
        if "lanes" not in expr:
            expr = f"{expr} + 0 * lanes"
        out.append(comment(entry["doc"], "  "))
        out.append(f"  function automatic integer latency_{name}(input integer lanes);")
        out.append(f"    latency_{name} = {expr};")
        out.append("  endfunction")
    out += ["", "  // Rules: the codes of faults"]
    out.append("  localparam int unsigned RuleW = 5;")
    for name, rule in spec.rules.items():
        out.append(comment(rule["doc"], "  "))
        out.append(f"  localparam logic [4:0] Rule{camel(name)} = 5'd{rule['code']};")
    out += ["", "endpackage", "/* verilator lint_on UNUSEDPARAM */", "", "`default_nettype wire", ""]
    return "\n".join(out)


# ---------------------------------------------------------------------------- Markdown


def cell(text):
    return text.replace("|", "\\|")


def field_rows(fields):
    for field in fields:
        bits = f"{field.lsb + field.bits - 1}:{field.lsb}" if field.bits > 1 else f"{field.lsb}"
        values = ""
        if field.values:
            values = ", ".join(f"{v} {k}" for k, v in field.values.items())
        used = ""
        if field.used_by:
            name, negated, names = field.used_by
            used = f"{name} {'!=' if negated else '='} {' or '.join(names)}"
        kind = "signed" if field.signed else ""
        yield f"| {bits} | `{field.name}` | {kind} | {cell(values)} | {used} | {cell(field.doc)} |"


FIELD_HEAD = ["| Bits | Field | Sign | Values | Used by | Meaning |", "|---|---|---|---|---|---|"]


def evaluate(expr, lanes):
    clog2 = lambda value: (value - 1).bit_length()
    return eval(expr.replace("/", "//"), {"__builtins__": {}}, {"L": lanes, "clog2": clog2})


def markdown(spec):
    out = ["## Tables", "", f"A word has {spec.word_bits} bits. Bits are numbered from 0, the lowest; "
           "a field is packed above the one before it. Bits above the last field of a word are zero, and "
           "so is a field that is not used (column *Used by*; empty: always used).", "",
           "### Header", "", *FIELD_HEAD, *field_rows(spec.header), "",
           "### NOP", "", *FIELD_HEAD, *field_rows(spec.nop), "",
           "### Timing of a pushed instruction", "", *FIELD_HEAD, *field_rows(spec.timing), ""]
    for unit in spec.units:
        queues = ", ".join(f"`{q}`" for q in unit.queues)
        out += [f"### {unit.name}", "", f"{unit.doc[0].upper()}{unit.doc[1:]}. Queues: {queues}. "
                f"{unit.used_bits - spec.payload_start} bits from bit {spec.payload_start} on.", "",
                *FIELD_HEAD, *field_rows(unit.fields), ""]
    sizes = (16, 32, 320)
    out += ["### Latencies", "", "In machine cycles; L is the number of lanes, division is of integers.", "",
            "| Latency | Expression | " + " | ".join(f"L = {s}" for s in sizes) + " | Meaning |",
            "|---|---|" + "---|" * (len(sizes) + 1)]
    for name, entry in spec.latency.items():
        values = " | ".join(str(evaluate(entry["expr"], s)) for s in sizes)
        out.append(f"| `{name}` | {entry['expr']} | {values} | {entry['doc']} |")
    out += ["", "### Rules", "", "| Code | Rule | Broken when |", "|---|---|---|"]
    for name, rule in spec.rules.items():
        out.append(f"| {rule['code']} | `{name}` | {rule['doc']} |")
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail if a generated file is stale")
    arguments = parser.parse_args()
    spec = Spec()
    prose = PROSE.read_text(encoding="utf-8")
    if prose.count("@TABLES@") != 1:
        sys.exit("isa/isa.md.in: expected @TABLES@ once")
    outputs = {
        ROOT / "isa" / "instructions.h": cpp_header(spec),
        ROOT / "isa" / "instruction_tables.h": cpp_tables(spec),
        ROOT / "rtl" / "pianola_pkg.sv": sv_package(spec),
        ROOT / "docs" / "isa.md": prose.replace("@TABLES@", markdown(spec)).rstrip("\n") + "\n",
    }
    stale = []
    for path, text in outputs.items():
        old = path.read_text(encoding="utf-8") if path.exists() else None
        if old == text:
            continue
        if arguments.check:
            stale.append(str(path.relative_to(ROOT)))
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    if stale:
        sys.exit(f"stale: {', '.join(stale)}; run python3 isa/generate.py")


if __name__ == "__main__":
    main()
