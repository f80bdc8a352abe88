#!/usr/bin/env python3
"""Synthesizes units and whole cores with Yosys and checks the cell counts.

usage: synthesize.py <pianola_target_package> <target.toml> <rtl directory> <work directory>
                     [unit ...] [--part PART] [--formulas | --fit | --netlist FILE]

All parameters come from the target's package, as in the Verilated build. A unit, or the whole core
of the target, is mapped for a part (Xilinx 7 and ECP5, unless one is named) in the synthesis form and
without its checks; `check -assert` follows. Units stay modules in the netlist (keep_hierarchy), so that
equal ones are mapped once, and the core takes minutes.

The counts are printed beside the formulas of isa/fpga_cells.cc, which the tool prints; what is outside
the band of its formula fails. Registers: 15 percent, because optimizers merge and drop some.
Multipliers: exact. LUTs: 40 percent for a unit, because a formula counts choices, additions and
decoders, and what a mapper makes of them differs; 15 percent for the core, where that averages out.
--fit checks in place of that that the mapped core claims at most 80 percent of each resource of the
part, and that the formulas, which refuse targets, foresaw at least as much less 15 percent. --formulas
prints the formulas alone. --netlist writes what became of one unit for Xilinx 7, with Yosys' models of
the cells in place of the cells, for the unit's bench.
"""
import argparse
import pathlib
import re
import subprocess
import sys

FF_TOLERANCE = 0.15
LUT_TOLERANCE, LUT_TOLERANCE_CORE = 0.4, 0.15
USE_MAX = 0.8

PACKAGES = ["pianola_pkg", "special_function_pkg"]
CELLS = ["fp_mul", "fp_add", "fp_minmax", "fp_convert", "fp_round", "fp_special"]
KEPT = CELLS + ["vxm_lane", "vxm_chain", "mxm_row_beats", "mxm", "sxm", "mem_position", "mem_slice", "sequencer",
                "recv_port", "send_port", "port_fifo", "stream_position", "stream_choice",
                "latency_line", "beat_collector", "dispatcher", "freeze_pipeline",
                "instruction_fifo"]
# -nowidelut: with MUXF7 and PFUMX the mapper trades up to twice the LUTs.
MAP = {
    # Yosys 0.23 loses the clock enable of shift register LUTs: -nosrl.
    "xc7a100t": "synth_xilinx -family xc7 -nosrl -nowidelut -noiopad -noclkbuf -flatten -top {top}",
    "xcu55c": "synth_xilinx -family xcup -nosrl -nowidelut -noiopad -noclkbuf -flatten -top {top}",
    "lfe5u-85f": "synth_ecp5 -nowidelut -top {top}",
}
MAP["xck26"] = MAP["xcu55c"]
# LUTs of a memory cell, and of what else is made of LUTs but is not one: a CCU2C is two of the LUT4 of ECP5.
MEMORY_LUTS = {"RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM32X1D": 2, "RAM64X1D": 2,
               "RAM128X1D": 4, "RAM128X1S": 2, "RAM64X1S": 1, "RAM32X1S": 1, "RAM256X1S": 4,
               "TRELLIS_DPR16X4": 6, "CCU2C": 2}
BLOCK_RAMS = {"RAMB36E1": 1, "RAMB36E2": 1, "RAMB18E1": 0.5, "RAMB18E2": 0.5, "DP16KD": 1}


class Package:
    """The numbers of target_pkg and pianola_pkg."""

    def __init__(self, *texts):
        for text in texts:
            for name, value in re.findall(r"localparam int unsigned (\w+) = (\d+);", text):
                setattr(self, name, int(value))
            for name, value in re.findall(r"localparam logic \[[\w :-]+\] (\w+) = \d+'d(\d+);", text):
                setattr(self, name, int(value))


def parameters_of(t):
    """unit -> parameters; the units in the order of the formulas."""
    streams = {"Lanes": t.Lanes, "Streams": t.Streams, "Beats": t.Beats, "Checks": 0}
    port = dict(streams, Width=t.PortWidthVectors, FifoVectors=t.TapeFifoVectors,
                BytesPerCycle=t.TapeBytesPerCycle, FreezeDepth=t.FreezeDepth,
                QueueDepth=t.QueueDepth)
    table = {
        "dispatcher": {"Queues": t.QueueCount},
        "freeze_pipeline": {"Queues": t.QueueCount, "EntryW": t.TimingW + t.PayloadW,
                            "FreezeDepth": t.FreezeDepth},
        "instruction_fifo": {"Depth": t.InstructionFifoWords},
        "stream_position": dict(streams, WestDrivers=1, WestWidth=4, EastDrivers=1, EastWidth=4),
        # Of a read port of MEM.
        "sequencer": {"PayloadW": t.MemPayloadW, "OffsetAW": 20, "A1Lsb": t.MemS1Lsb,
                      "A1W": t.MemS1W, "A2Lsb": t.MemS2Lsb, "A2W": t.MemS2W, "A3Lsb": t.MemS3Lsb,
                      "A3W": t.MemS3W, "OffsetBW": 1, "Depth": t.QueueDepth, "Checks": 0},
        "mem_slice": dict(streams, Words=t.WordsPerSlice),
        "mem_position": dict(streams, Words=t.WordsPerSlice, Slices=t.SlicesPerPosition,
                             Depth=t.QueueDepth),
        "recv_port": port,
        "send_port": port,
        "mxm": dict(streams, LoadStreams=t.MxmLoadStreams, Accumulators=t.MxmAccumulators),
        "sxm": streams,
        "vxm_chain": dict(streams, Accumulators=t.VxmAccumulators, Stages=t.VxmStages),
        "core": {"Checks": 0},
    }
    table.update({name: {} for name in CELLS})
    return table


def count(cells):
    """registers, LUTs, multipliers, LUTs of memories, block RAMs, UltraRAMs of a mapped design."""
    def total(*prefixes):
        return sum(n for name, n in cells.items() if name.startswith(prefixes))

    def weighed(weights):
        return sum(n * weights.get(name, 0) for name, n in cells.items())
    ffs = total("FDRE", "FDSE", "FDCE", "FDPE", "TRELLIS_FF")
    return (ffs, total("LUT"), total("DSP48", "MULT18"), weighed(MEMORY_LUTS), weighed(BLOCK_RAMS),
            total("URAM288"))


def run_yosys(rtl, work, package, top, parameters, part, keep, last):
    """Maps a unit, then runs the commands `last`."""
    packages = [rtl / f"{name}.sv" for name in PACKAGES] + [package]
    modules = sorted(path for path in rtl.glob("*.sv") if not path.stem.endswith("_pkg"))
    chparam = " ".join(f"-chparam {name} {value}" for name, value in parameters.items())
    script = "\n".join([
        "read_verilog -sv -DPIANOLA_SYNTHESIS_FORM " + " ".join(map(str, packages)),
        "read_verilog -sv -defer -DPIANOLA_SYNTHESIS_FORM " + " ".join(map(str, modules)),
        f"hierarchy -check -top {top} {chparam}",
        *[f"setattr -mod -set keep_hierarchy 1 *{name}*" for name in keep],
        MAP[part].format(top=top),
        "check -assert",
        *last,
    ])
    name = f"{package.stem}-{top}-{part}"
    path, log = work / f"{name}.ys", work / f"{name}.log"
    path.write_text(script + "\n")
    done = subprocess.run(["yosys", "-q", "-l", str(log), str(path)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{top} for {part} does not synthesize; log {log}\n{done.stdout[-2000:]}"
                 f"{done.stderr[-2000:]}")


def synthesize(rtl, work, package, top, parameters, part):
    report = work / f"{package.stem}-{top}-{part}.stat"
    run_yosys(rtl, work, package, top, parameters, part, KEPT, [f"tee -q -o {report} stat"])
    # The last table is that of the whole hierarchy, or of the only module.
    table = report.read_text().split("\n=== ")[-1]
    return count({name: int(n) for name, n in re.findall(r"^ +(\w+) +(\d+)$", table, re.M)})


def within(measured, expected, tolerance):
    return abs(measured - expected) <= tolerance * expected + 8


def check_fit(measured, expected, available):
    """Prints the use of every resource of a part; the number of problems."""
    bad = 0
    names = ["registers", "LUTs", "multipliers", "block RAMs", "UltraRAMs"]
    for name, *numbers in zip(names, *map(with_memory_luts, (measured, expected, available))):
        found, foreseen, there = numbers
        good = found <= USE_MAX * there and foreseen >= found * (1 - LUT_TOLERANCE_CORE) - 8
        bad += not good
        print(f"{name:12} {found:8.0f} (formula {foreseen:8.0f}) of {there:8} "
              f"{100 * found / there if there else 0:5.1f} %{'' if good else '   FAILS'}")
    return bad


def with_memory_luts(cells):
    ffs, luts, multipliers, memory_luts, block_rams, ultra_rams = cells
    return ffs, luts + memory_luts, multipliers, block_rams, ultra_rams


def main():
    parser = argparse.ArgumentParser(description="Counts cells; see the top of this file.")
    for name in ("tool", "target", "rtl", "work"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--formulas", action="store_true")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--netlist", type=pathlib.Path)
    parser.add_argument("--part", choices=MAP, action="append")
    parser.add_argument("units", nargs="*")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)

    def ask(*arguments):
        return subprocess.run([options.tool, options.target, *arguments], check=True,
                              capture_output=True, text=True).stdout
    text = ask()
    package = options.work / f"{options.target.stem}.sv"
    package.write_text(text)
    table = parameters_of(Package(text, (options.rtl / "pianola_pkg.sv").read_text()))
    if options.netlist:
        unit, = options.units
        mapped = options.work / f"{unit}-mapped.v"
        run_yosys(options.rtl, options.work, package, unit, table[unit], "xc7a100t", [], [
            f"rename -top {unit}_netlist", f"write_verilog -noattr {mapped}", "design -reset",
            f"read_verilog {mapped} +/xilinx/cells_sim.v", f"hierarchy -check -top {unit}_netlist",
            "proc", "flatten", "opt_clean", f"write_verilog -noattr {options.netlist}"])
        return 0
    bad = 0
    if not options.fit:
        print(f"{'unit':18} {'part':10} {'FFs':>7} {'(formula)':>10} {'LUTs':>7} {'(formula)':>10} "
              f"{'DSPs':>5} {'(formula)':>10}")
    for part in options.part or ["xc7a100t", "lfe5u-85f"]:
        formulas = {line.split()[0]: [int(n) for n in line.split()[1:]]
                    for line in ask(part).splitlines()}
        for unit in options.units or table:
            expected = measured = formulas[unit]
            if not options.formulas:
                measured = synthesize(options.rtl, options.work, package, unit, table[unit], part)
            if options.fit:
                bad += check_fit(measured, expected, formulas[part])
                continue
            tolerance = LUT_TOLERANCE_CORE if unit == "core" else LUT_TOLERANCE
            good = (within(measured[0], expected[0], FF_TOLERANCE) and
                    within(measured[1], expected[1], tolerance) and measured[2] == expected[2])
            bad += not good
            print(f"{unit:18} {part:10} {measured[0]:7.0f} {expected[0]:10.0f} {measured[1]:7.0f} "
                  f"{expected[1]:10.0f} {measured[2]:5} {expected[2]:10}"
                  f"{'' if good else '   OUT OF BAND'}", flush=True)
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
