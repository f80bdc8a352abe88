#!/usr/bin/env python3
"""Synthesizes units with Yosys and checks the cell counts.

usage: synthesize.py <rtl directory> <work directory> [unit ...]

A unit is mapped for Xilinx 7 and for ECP5, without its checks; `check -assert` follows. Not here
yet: mxm, sxm, vxm_chain and the whole core, not yet measured.
The counts are printed beside formulas in the parameters, and what is outside the band of its formula fails. Registers and multipliers follow from the design (15 percent,
because optimizers merge and drop some); the formulas of LUTs name what is selected and added, and
tools differ (60 percent).
"""
import json
import math
import pathlib
import subprocess
import sys

L, S = 4, 16           # lanes, streams
V = L * 8
TIMING = 78            # bits of the timing fields
FF_TOLERANCE, LUT_TOLERANCE = 0.15, 0.6


def log2(n):
    return math.ceil(math.log2(n))


def sequencer_ffs(payload, depth, offset_a=0, levels_a=0):
    pointers = 2 * log2(depth) + log2(depth + 1)
    # The start field of the current entry is not kept beside the three times.
    return (pointers + 1 + TIMING - 16 + payload + 3 * 16 + 8 + 8 + 10 + levels_a * offset_a)


def banks(write, read):
    return 2 ** max(1, log2(max(write, read)))


def port_fifo_ffs(depth, write, read):
    n = banks(write, read)
    return 2 * log2(math.ceil(depth / n)) + 3 * log2(n) + n * V


def port_fifo_muxed(write, read):
    """Bits selected: each bank's input from the vectors written, each output from the banks."""
    return V * banks(write, read) * (write + read)


PORT = {"Lanes": L, "Streams": S, "Width": 4, "FifoVectors": 64, "BytesPerCycle": 8,
        "FreezeDepth": 2, "QueueDepth": 16}

# unit -> (parameters, formula of flip-flops, {family: formula of LUTs}, formula of multipliers)
UNITS = {
    "dispatcher": ({"Queues": 41}, 24, {"xc7": 72, "ecp5": 75}, 0),
    "freeze_pipeline": (
        {"Queues": 41, "EntryW": 235, "FreezeDepth": 2},
        2 * (41 + 235) + 3 * 2, {"xc7": 41 + 3, "ecp5": 41 + 3}, 0),
    "port_fifo": (
        {"VectorW": V, "WriteWidth": 2, "ReadWidth": 4, "DepthMin": 80, "CountW": 4},
        port_fifo_ffs(80, 2, 4),
        {"xc7": port_fifo_muxed(2, 4), "ecp5": port_fifo_muxed(2, 4)}, 0),
    "stream_position": (
        {"Lanes": L, "Streams": S, "WestDrivers": 2, "WestWidth": 1, "EastDrivers": 1,
         "EastWidth": 4},
        # A bit east is one of 2 * 1 drives or passes, a bit west one of 1 * 4 or passes.
        2 * S * V, {"xc7": 0.8 * S * V * (2 + 4), "ecp5": 1.8 * S * V * (2 + 4)}, 0),
    "sequencer": (
        {"PayloadW": 116, "OffsetAW": 20, "A1Lsb": 25, "A1W": 16, "A2Lsb": 41, "A2W": 16,
         "A3Lsb": 57, "A3W": 16, "OffsetBW": 1, "Depth": 16},
        sequencer_ffs(116, 16, 20, 3), {"xc7": 420, "ecp5": 700}, 0),
    "mem_slice": (
        {"Lanes": L, "Streams": S, "Words": 1024},
        # 32-to-1 selections: the streams of both directions (data, two index bytes) and launch
        # registers (two addresses, one lane); 11 LUT6 or 21 LUT4 a bit. Then adders and compares.
        2 * (9 + 2) + V + L + 3 + 16 + 2,
        {"xc7": 11 * (V + 16 + 2 * 11 + 32) + 300, "ecp5": 21 * (V + 16 + 2 * 11 + 32) + 500}, 0),
    "recv_port": (
        PORT,
        # Queue, FIFO, three counts, operation on its way, drive.
        sequencer_ffs(12, 16) + port_fifo_ffs(64 + 2 * 2 + 3 * 4, 2, 4) + 16 + 2 * 32 +
        2 * (12 + 1) + 12 + 1,
        {"xc7": port_fifo_muxed(2, 4), "ecp5": port_fifo_muxed(2, 4)}, 0),
    "send_port": (
        PORT,
        sequencer_ffs(11, 16) + port_fifo_ffs(64 + 6 * 2, 4, 2) + 2 * 16 + 32 + 2 * (11 + 1) + 1,
        # Four vectors of 32-to-1 selections: 11 LUT6 a bit. For ECP5 the 56 LUT4
        # a bit are measured (Yosys 0.23); a tree of multiplexers would be 21.
        {"xc7": port_fifo_muxed(4, 2) + 4 * V * 11, "ecp5": port_fifo_muxed(4, 2) + 4 * V * 56}, 0),
}
MAP = {
    "xc7": "synth_xilinx -family xc7 -noiopad -noclkbuf -flatten -top {top}",
    "ecp5": "synth_ecp5 -top {top}",
}
# What a unit instantiates, and the packages it refers to.
PARTS = {"mem_slice": ["ram_1rw", "delay_line"], "port_fifo": ["ram_1r1w"],
         "freeze_pipeline": ["delay_line"],
         "recv_port": ["port_fifo", "ram_1r1w", "delay_line", "sequencer",
                       "rate_checker"],
         "send_port": ["port_fifo", "ram_1r1w", "delay_line", "sequencer",
                       "rate_checker"]}


def count(cells):
    """(flip-flops, LUTs, memories, multipliers) of a mapped module."""
    def total(*prefixes):
        return sum(n for name, n in cells.items() if name.startswith(prefixes))
    ffs = total("FDRE", "FDSE", "FDCE", "FDPE", "TRELLIS_FF")
    return ffs, total("LUT"), total("RAM", "DP16KD", "TRELLIS_DPR"), total("DSP48", "MULT18")


def synthesize(rtl, work, top, parameters, family, command):
    packages = [rtl / "pianola_pkg.sv"]
    modules = [rtl / f"{name}.sv" for name in [top] + PARTS.get(top, [])]
    chparam = " ".join(f"-chparam {name} {value}" for name, value in parameters.items())
    report = work / f"{top}-{family}.json"
    script = "\n".join([
        "read_verilog -sv -DPIANOLA_SYNTHESIS_FORM " + " ".join(map(str, packages)),
        "read_verilog -sv -defer -DPIANOLA_SYNTHESIS_FORM " + " ".join(map(str, modules)),
        f"hierarchy -check -top {top} {chparam}",
        *command.format(top=top).split("; "),
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
    rtl, work = map(pathlib.Path, sys.argv[1:3])
    wanted = sys.argv[3:] or list(UNITS)
    work.mkdir(parents=True, exist_ok=True)
    bad = 0
    print(f"{'unit':18} {'family':6} {'FFs':>7} {'(formula)':>10} {'LUTs':>7} {'(formula)':>10} "
          f"{'memories':>8} {'DSPs':>5} {'(formula)':>10}")
    for unit in wanted:
        parameters, expected_ffs, expected_luts, expected_dsps = UNITS[unit]
        if unit not in ("port_fifo", "dispatcher", "freeze_pipeline"):
            parameters = dict(parameters, Checks=0)
        for family, command in MAP.items():
            ffs, luts, memories, dsps = synthesize(
                rtl, work, unit, parameters, family, command)
            formula = expected_luts.get(family, 0)
            good = (within(ffs, expected_ffs, FF_TOLERANCE) and within(luts, formula, LUT_TOLERANCE)
                    and dsps == expected_dsps)
            bad += not good
            print(f"{unit:18} {family:6} {ffs:7} {expected_ffs:10.0f} {luts:7} {formula:10.0f} "
                  f"{memories:8} {dsps:5} {expected_dsps:10}{'' if good else '   OUT OF BAND'}",
                  flush=True)
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
