#!/usr/bin/env python3
"""Checks that Verilator and Yosys accept the generated SystemVerilog packages and read the same
numbers from them as the machine spec and the target files say.

    lint_packages.py <pianola_target_package> <source directory>

Exits with 77 (skipped) where a tool is not installed.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def expected_latencies(spec, lanes):
    clog2 = lambda value: (value - 1).bit_length()
    return {name: eval(entry["expr"].replace("/", "//"), {"L": lanes, "clog2": clog2})
            for name, entry in spec["latency"].items()}


def expected_floorplan(target):
    """Kinds and first queues of the positions, by the rules in isa/target.h."""
    kinds = ["PORT", "VXM", "MEM", "SXM", "MXM"]
    queues = {"PORT": 5, "VXM": target["vxm"]["chains"], "SXM": 1, "MXM": 2,
              "MEM": 2 * target["mem"]["slices_per_position"]}
    first, numbers = 0, []
    for unit in target["floorplan"]:
        numbers.append((kinds.index(unit), first))
        first += queues[unit]
    return numbers, first


def probe(values):
    """A module whose only output is the given constant expressions, 32 bits each."""
    width = 32 * len(values)
    lines = ["`default_nettype none", f"module probe (output wire [{width - 1}:0] y_o);"]
    for i, expression in enumerate(values):
        lines.append(f"  localparam logic [31:0] Value{i} = 32'({expression});")
        lines.append(f"  assign y_o[{32 * i} +: 32] = Value{i};")
    return "\n".join(lines + ["endmodule", "`default_nettype wire", ""])


def main():
    writer, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    if not shutil.which("verilator") or not shutil.which("yosys"):
        sys.exit(77)
    spec = tomllib.loads((source / "isa" / "machine.toml").read_text())
    machine = source / "rtl" / "pianola_pkg.sv"
    for path in sorted((source / "targets").glob("*.toml")):
        target = tomllib.loads(path.read_text())
        positions, queue_count = expected_floorplan(target)
        values = {"target_pkg::Lanes": target["lanes"], "target_pkg::QueueCount": queue_count,
                  "target_pkg::WordsPerSlice": target["mem"]["words_per_slice"],
                  "target_pkg::VxmStages": (1 << len(target["vxm"]["stages"])) - 1,
                  "pianola_pkg::VxmOutStreamLsb": 150, "pianola_pkg::MemLimitW": 16,
                  "pianola_pkg::RulePortExhausted": 16}
        for name, value in expected_latencies(spec, target["lanes"]).items():
            values[f"pianola_pkg::latency_{name}(target_pkg::Lanes)"] = value
        for i, (kind, first) in enumerate(positions):
            values[f"target_pkg::UnitKinds[{4 * i} +: 4]"] = kind
            values[f"target_pkg::FirstQueues[{16 * i} +: 16]"] = first
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "target_pkg.sv").write_text(run([writer, path], folder))
            (folder / "probe.sv").write_text(probe(values))
            files = [machine, "target_pkg.sv", "probe.sv"]
            # WIDTH: 32'(x) of a narrow constant is what the probe is for.
            run(["verilator", "--lint-only", "-Wall", "-Wno-WIDTH", *files, "--top-module", "probe"],
                folder)
            run(["yosys", "-q", "-p", f"read_verilog -sv {' '.join(map(str, files))}; "
                 "hierarchy -top probe; proc; opt_clean; write_verilog -noattr out.v"], folder)
            got = read_constant((folder / "out.v").read_text(), 32 * len(values))
            for i, (expression, value) in enumerate(values.items()):
                if got >> (32 * i) & 0xFFFFFFFF != value:
                    sys.exit(f"{path.name}: {expression}: expected {value}, "
                             f"Yosys has {got >> (32 * i) & 0xFFFFFFFF}")


def read_constant(verilog, width):
    """The value that the assignments of a netlist give y_o."""
    value = 0
    for left, right in re.findall(r"assign y_o(\[[\d:]+\])? = (.*);", verilog):
        low = int(left.strip("[]").split(":")[-1]) if left else 0
        constant = 0
        for size, base, digits in re.findall(r"(\d+)'([hdb])([0-9a-f]+)", right):
            constant = constant << int(size) | int(digits, {"h": 16, "d": 10, "b": 2}[base])
        value |= constant << low
    assert value < 1 << width
    return value


if __name__ == "__main__":
    main()
