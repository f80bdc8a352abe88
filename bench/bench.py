#!/usr/bin/env python3
"""Speeds of the built tool: compile time, emulator and RTL simulation, each beside what limits it.

    bench/bench.py [--targets sim16,sim32,duo16] [--tokens 64] [--json FILE]

Machines are noisy: every figure is the median of several runs, and executors are compared by ratios
within one call.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = ROOT / "build" / "pianola"
MODEL = ROOT / "models" / "nursery-llama"


def tool(*arguments):
    done = subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout


def compile_seconds(target, roll, runs):
    times = []
    for _ in range(runs):
        start = time.monotonic()
        tool("compile", MODEL, "-t", target, "-o", roll)
        times.append(time.monotonic() - start)
    return statistics.median(times)


def play(roll, executor, tokens, runs, *options):
    """Median run by speed: tokens/s, cycles/s, MAC/s."""
    results = []
    for _ in range(runs):
        result = json.loads(tool("run", roll, "-p", "Once upon a time", "-n", tokens, "--ignore-eos",
                                 "--executor", executor, "--json", *options))
        assert result["cycles"] == result["predicted_cycles"]
        seconds = result["seconds"]
        results.append({"tokens_per_second": len(result["ids"]) / seconds,
                        "cycles_per_second": sum(result["cycles"]) / seconds,
                        "macs_per_second": result["macs"] / seconds})
    return sorted(results, key=lambda r: r["tokens_per_second"])[runs // 2]


def bench(target, tokens, runs):
    with tempfile.TemporaryDirectory() as folder:
        roll = pathlib.Path(folder) / "model.roll"
        figures = {"compile_seconds": compile_seconds(target, roll, runs)}
        entries = json.loads(tool("inspect", roll, "--json"))["entries"]
        decode = next(e for e in entries if e["name"].startswith("decode"))
        figures["decode_cycles"] = decode["cycles"]
        figures["bound"] = {"name": decode["active_bound"],
                            "cycles": decode["bounds"][decode["active_bound"]]}
        tool("build-rtl", target)
        figures["emulator"] = play(roll, "emulator", tokens, runs)
        figures["rtl"] = play(roll, "rtl", tokens, runs)
        figures["rtl_lockstep"] = play(roll, "rtl", tokens, runs, "--lockstep")
    return figures


def show(target, f):
    bound = f["bound"]
    print(f"{target}: compiled in {f['compile_seconds']:.2f} s; decode {f['decode_cycles']} cycles, "
          f"{f['decode_cycles'] / bound['cycles']:.3f} x its bound ({bound['name']} "
          f"{bound['cycles']})")
    for name in ("emulator", "rtl", "rtl_lockstep"):
        e = f[name]
        print(f"  {name:12} {e['tokens_per_second']:9.1f} tokens/s "
              f"{e['cycles_per_second'] / 1e6:9.3f} Mcycles/s "
              f"{e['macs_per_second'] / 1e6:9.1f} MMAC/s")
    print(f"  emulator / rtl = "
          f"{f['emulator']['tokens_per_second'] / f['rtl']['tokens_per_second']:.0f}; published "
          "cycle-accurate peers: 0.03 to 0.14 Mcycles/s, 8 to 31 MMAC/s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", default="sim16,sim32,duo16")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    figures = {}
    for target in options.targets.split(","):
        figures[target] = bench(target, options.tokens, options.runs)
        show(target, figures[target])
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
