#!/usr/bin/env python3
"""Synthesizes units and the whole 4-lane core with Yosys and checks the cell counts.

usage: synthesize.py <rtl directory> <core4 target_pkg.sv> <work directory> [unit ...]

Each unit is synthesized for Xilinx 7 and ECP5 without its checks. The counts are printed and
compared with formulas in the unit's parameters: a count outside the band of its formula fails.
A formula counts flip-flops exactly where the registers follow from the design (tolerance 0.15),
LUTs from measurement (tolerance 0.6: tools differ).
"""
import json
import math
import pathlib
import subprocess
import sys

L, S = 4, 16           # lanes, streams
V = L * 8
TIMING = 78            # bits of the timing fields


def sequencer_ffs(payload, depth, offset_a, levels_a, offset_b=0, levels_b=0):
    pointers = 2 * math.ceil(math.log2(depth)) + math.ceil(math.log2(depth + 1))
    # The start field of the current entry is not kept beside the three times.
    return (pointers + 1 + TIMING - 16 + payload + 3 * 16 + 8 + 8 + 10 +
            levels_a * offset_a + levels_b * offset_b)


# unit -> (parameters, formula of flip-flops, {family: formula of LUTs})
UNITS = {
    "sequencer": (
        {"PayloadW": 116, "OffsetAW": 20, "A1Lsb": 25, "A1W": 16, "A2Lsb": 41, "A2W": 16,
         "A3Lsb": 57, "A3W": 16, "OffsetBW": 1, "Depth": 16},
        sequencer_ffs(116, 16, 20, 3), {"xc7": 420, "ecp5": 700}),
    "stream_position": (
        {"Lanes": L, "Streams": S, "WestDrivers": 2, "WestWidth": 1, "EastDrivers": 1,
         "EastWidth": 4},
        2 * S * V, {"xc7": 2.1 * S * V, "ecp5": 3.4 * S * V}),
    "mem_slice": (
        {"Lanes": L, "Streams": S, "Words": 1024},
        # 32-to-1 selections: the streams of both directions (data, two index bytes) and launch
        # registers (two addresses, one lane); 11 LUT6 or 21 LUT4 a bit. Then adders and compares.
        2 * (9 + 2) + V + L + 3 + 16 + 2,
        {"xc7": 11 * (V + 16 + 2 * 11 + 32) + 300, "ecp5": 21 * (V + 16 + 2 * 11 + 32) + 500}),
    "port_fifo": (
        {"VectorW": V, "WriteWidth": 2, "ReadWidth": 4, "DepthMin": 80, "CountW": 4},
        3 * 2 + 2 * 5 + 4 * V, {"xc7": 10 * V, "ecp5": 16 * V}),
    "dispatcher": ({"Queues": 41}, 24, {"xc7": 60, "ecp5": 90}),
    "freeze_pipeline": (
        {"Queues": 41, "EntryW": 235, "FreezeDepth": 2},
        2 * (41 + 235) + 3 * 2, {"xc7": 60, "ecp5": 80}),
}
COMMANDS = {
    "xc7": "synth_xilinx -family xc7 -noiopad -noclkbuf -flatten -top {top}",
    "ecp5": "synth_ecp5 -top {top}",
}


def count(cells):
    """(flip-flops, LUTs, memories, multipliers) of a mapped module."""
    def total(*prefixes):
        return sum(n for name, n in cells.items() if name.startswith(prefixes))
    ffs = total("FDRE", "FDSE", "FDCE", "FDPE", "TRELLIS_FF")
    luts = total("LUT")
    memories = total("RAM", "DP16KD", "TRELLIS_DPR")
    return ffs, luts, memories, total("DSP48", "MULT18")


def synthesize(rtl, package, work, top, parameters, family):
    packages = [rtl / "pianola_pkg.sv"] + sorted(
        p for p in rtl.glob("*_pkg.sv") if p.name != "pianola_pkg.sv")
    modules = sorted(p for p in rtl.glob("*.sv") if not p.name.endswith("_pkg.sv"))
    # All modules of a core; for a single unit only what is its own, which saves parsing.
    if top != "core":
        modules = [p for p in modules if p.stem in
                   (top, "delay_line", "ram_1rw", "ram_1r1w", "sequencer")]
        packages = packages[:1]
    else:
        packages.append(package)
    chparam = " ".join(f"-chparam {name} {value}" for name, value in parameters.items())
    report = work / f"{top}-{family}.json"
    script = "\n".join([
        "read_verilog -sv -DPIANOLA_SYNTHESIS_FORM " + " ".join(map(str, packages)),
        "read_verilog -sv -defer -DPIANOLA_SYNTHESIS_FORM " + " ".join(map(str, modules)),
        f"hierarchy -check -top {top} {chparam}",
        COMMANDS[family].format(top=top),
        "check -assert",
        f"tee -q -o {report} stat -json",
    ])
    path = work / f"{top}-{family}.ys"
    path.write_text(script + "\n")
    log = work / f"{top}-{family}.log"
    done = subprocess.run(["yosys", "-q", "-l", str(log), str(path)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{top} for {family} does not synthesize; log {log}\n{done.stdout[-2000:]}"
                 f"{done.stderr[-2000:]}")
    text = report.read_text()
    design = json.loads(text[text.index("{"):])["design"]
    return count(design["num_cells_by_type"])


def within(measured, expected, tolerance):
    return abs(measured - expected) <= tolerance * expected + 8


def main():
    rtl, package, work = map(pathlib.Path, sys.argv[1:4])
    wanted = sys.argv[4:] or list(UNITS) + ["core"]
    work.mkdir(parents=True, exist_ok=True)
    bad = 0
    print(f"{'unit':18} {'family':6} {'FFs':>7} {'(formula)':>10} {'LUTs':>7} {'(formula)':>10} "
          f"{'memories':>8} {'DSPs':>5}")
    for unit in wanted:
        parameters, expected_ffs, expected_luts = UNITS.get(unit, ({}, None, {}))
        if unit not in ("port_fifo", "dispatcher", "freeze_pipeline"):
            parameters = dict(parameters, Checks=0)
        for family in COMMANDS:
            ffs, luts, memories, dsps = synthesize(rtl, package, work, unit, parameters, family)
            good = expected_ffs is None or (
                within(ffs, expected_ffs, 0.15) and within(luts, expected_luts[family], 0.6))
            bad += not good
            formula = ("-", "-") if expected_ffs is None else (
                str(round(expected_ffs)), str(round(expected_luts[family])))
            print(f"{unit:18} {family:6} {ffs:7} {formula[0]:>10} {luts:7} {formula[1]:>10} "
                  f"{memories:8} {dsps:5}{'' if good else '   OUT OF BAND'}", flush=True)
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
