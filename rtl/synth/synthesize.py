#!/usr/bin/env python3
"""Synthesizes units and whole cores with Yosys and checks the cell counts.

usage: synthesize.py <pianola_target_package> <target.toml> <rtl directory> <work directory>
                     [unit ...] [--family F] [--formulas | --netlist FILE]

All parameters come from the target's package, as in the Verilated build. A unit, or the whole core
of the target, is mapped for Xilinx 7 and for ECP5 in the synthesis form and without its checks;
`check -assert` follows. Units stay modules in the netlist (keep_hierarchy), so that equal ones are
mapped once, and the core takes minutes.

The counts are printed beside the formulas of cell_counts.py, those of the core beside the sum of its
units; what is outside the band of its formula fails. Registers: 15 percent, because optimizers merge
and drop some. Multipliers: exact. LUTs: 40 percent for a unit, because a formula counts choices,
additions and decoders, and what a mapper makes of them differs; 15 percent for the core, where that
averages out. --formulas prints the formulas alone. --netlist writes what became of one unit for Xilinx 7,
with Yosys' models of the cells in place of the cells, for the unit's bench.
"""
import argparse
import pathlib
import re
import subprocess
import sys

import cell_counts

FF_TOLERANCE = 0.15
LUT_TOLERANCE, LUT_TOLERANCE_CORE = 0.4, 0.15

PACKAGES = ["pianola_pkg", "special_function_pkg"]
CELLS = ["fp_mul", "fp_add", "fp_minmax", "fp_convert", "fp_round", "fp_special"]
KEPT = CELLS + ["vxm_lane", "vxm_chain", "mxm", "sxm", "mem_slice", "sequencer", "recv_port",
                "send_port", "stream_position", "dispatcher", "freeze_pipeline", "instruction_fifo"]
MAP = {
    # Yosys 0.23 loses the clock enable of shift register LUTs: -nosrl.
    "xc7": "synth_xilinx -family xc7 -nosrl -noiopad -noclkbuf -flatten -top {top}",
    # Without -nowidelut the mapper trades up to twice the LUTs for PFUMX and L6MUX21.
    "ecp5": "synth_ecp5 -nowidelut -top {top}",
}


def units(t):
    """unit -> (parameters, formula)"""
    streams = {"Lanes": t.Lanes, "Streams": t.Streams}
    tape = cell_counts.fifos(t)[0]
    port = dict(streams, Width=t.PortWidthVectors, FifoVectors=tape[0], BytesPerCycle=tape[1],
                FreezeDepth=t.FreezeDepth, QueueDepth=t.QueueDepth)
    mem = t.MemPayloadW
    table = {
        "dispatcher": ({"Queues": t.QueueCount}, cell_counts.dispatcher),
        "freeze_pipeline": ({"Queues": t.QueueCount, "EntryW": t.TimingW + t.PayloadW,
                             "FreezeDepth": t.FreezeDepth}, cell_counts.freeze_pipeline),
        "instruction_fifo": ({"Depth": t.InstructionFifoWords}, cell_counts.instruction_fifo),
        "stream_position": (dict(streams, WestDrivers=2, WestWidth=1, EastDrivers=1, EastWidth=4),
                            lambda t, f: cell_counts.stream_position(t, f, (2, 1), (1, 4))),
        # Of a read port of MEM.
        "sequencer": ({"PayloadW": mem, "OffsetAW": 20, "A1Lsb": t.MemS1Lsb, "A1W": t.MemS1W,
                       "A2Lsb": t.MemS2Lsb, "A2W": t.MemS2W, "A3Lsb": t.MemS3Lsb,
                       "A3W": t.MemS3W, "OffsetBW": 1, "Depth": t.QueueDepth},
                      lambda t, f: cell_counts.sequencer(t, f, mem, 20, 3)),
        "mem_slice": (dict(streams, Words=t.WordsPerSlice), cell_counts.mem_slice),
        "recv_port": (port, lambda t, f: cell_counts.recv_port(t, f, *tape)),
        "send_port": (port, lambda t, f: cell_counts.send_port(t, f, *tape)),
        "mxm": (dict(streams, LoadStreams=t.MxmLoadStreams, Accumulators=t.MxmAccumulators),
                cell_counts.mxm),
        "sxm": (streams, cell_counts.sxm),
        "vxm_chain": (dict(streams, Accumulators=t.VxmAccumulators, Stages=t.VxmStages),
                      cell_counts.vxm_chain),
        "core": ({}, cell_counts.core),
    }
    for name in CELLS:
        table[name] = ({}, lambda t, f, cell=name[3:]: f.cells[cell])
    return table


def count(cells):
    """(flip-flops, LUTs, memories, multipliers) of a mapped design."""
    def total(*prefixes):
        return sum(n for name, n in cells.items() if name.startswith(prefixes))
    ffs = total("FDRE", "FDSE", "FDCE", "FDPE", "TRELLIS_FF")
    return (ffs, total("LUT"), total("RAM", "SRL", "DP16KD", "TRELLIS_DPR"),
            total("DSP48", "MULT18"))


def run_yosys(rtl, work, package, top, parameters, family, keep, last):
    """Maps a unit, then runs the commands `last`."""
    packages = [rtl / f"{name}.sv" for name in PACKAGES] + [package]
    modules = sorted(path for path in rtl.glob("*.sv") if not path.stem.endswith("_pkg"))
    chparam = " ".join(f"-chparam {name} {value}" for name, value in parameters.items())
    script = "\n".join([
        "read_verilog -sv -DPIANOLA_SYNTHESIS_FORM " + " ".join(map(str, packages)),
        "read_verilog -sv -defer -DPIANOLA_SYNTHESIS_FORM " + " ".join(map(str, modules)),
        f"hierarchy -check -top {top} {chparam}",
        *[f"setattr -mod -set keep_hierarchy 1 *{name}*" for name in keep],
        MAP[family].format(top=top),
        "check -assert",
        *last,
    ])
    name = f"{package.stem}-{top}-{family}"
    path, log = work / f"{name}.ys", work / f"{name}.log"
    path.write_text(script + "\n")
    done = subprocess.run(["yosys", "-q", "-l", str(log), str(path)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{top} for {family} does not synthesize; log {log}\n{done.stdout[-2000:]}"
                 f"{done.stderr[-2000:]}")


def synthesize(rtl, work, package, top, parameters, family):
    report = work / f"{package.stem}-{top}-{family}.stat"
    run_yosys(rtl, work, package, top, parameters, family, KEPT, [f"tee -q -o {report} stat"])
    # The last table is that of the whole hierarchy, or of the only module.
    table = report.read_text().split("\n=== ")[-1]
    return count({name: int(n) for name, n in re.findall(r"^ +(\w+) +(\d+)$", table, re.M)})


def within(measured, expected, tolerance):
    return abs(measured - expected) <= tolerance * expected + 8


def main():
    parser = argparse.ArgumentParser(description="Counts cells; see the top of this file.")
    for name in ("tool", "target", "rtl", "work"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--formulas", action="store_true")
    parser.add_argument("--netlist", type=pathlib.Path)
    parser.add_argument("--family", choices=MAP, action="append")
    parser.add_argument("units", nargs="*")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    text = subprocess.run([options.tool, options.target], check=True, capture_output=True,
                          text=True).stdout
    package = options.work / f"{options.target.stem}.sv"
    package.write_text(text)
    t = cell_counts.Target(text, (options.rtl / "pianola_pkg.sv").read_text())
    table = units(t)
    if options.netlist:
        unit, = options.units
        mapped = options.work / f"{unit}-mapped.v"
        run_yosys(options.rtl, options.work, package, unit,
                  dict(table[unit][0], Checks=0), "xc7", [], [
            f"rename -top {unit}_netlist", f"write_verilog -noattr {mapped}", "design -reset",
            f"read_verilog {mapped} +/xilinx/cells_sim.v", f"hierarchy -check -top {unit}_netlist",
            "proc", "flatten", "opt_clean", f"write_verilog -noattr {options.netlist}"])
        return 0
    bad = 0
    print(f"{'unit':18} {'family':6} {'FFs':>7} {'(formula)':>10} {'LUTs':>7} {'(formula)':>10} "
          f"{'memories':>8} {'DSPs':>5} {'(formula)':>10}")
    for unit in options.units or table:
        parameters, formula = table[unit]
        if unit not in CELLS + ["dispatcher", "freeze_pipeline", "instruction_fifo"]:
            parameters = dict(parameters, Checks=0)
        for family in options.family or MAP:
            expected = formula(t, cell_counts.Family(family))
            ffs, luts, memories, dsps = expected.ffs, expected.luts, 0, expected.dsps
            if not options.formulas:
                ffs, luts, memories, dsps = synthesize(
                    options.rtl, options.work, package, unit, parameters, family)
            good = (within(ffs, expected.ffs, FF_TOLERANCE) and
                    within(luts, expected.luts,
                           LUT_TOLERANCE_CORE if unit == "core" else LUT_TOLERANCE) and
                    dsps == expected.dsps)
            bad += not good
            print(f"{unit:18} {family:6} {ffs:7.0f} {expected.ffs:10.0f} {luts:7.0f} "
                  f"{expected.luts:10.0f} {memories:8} {dsps:5} {expected.dsps:10}"
                  f"{'' if good else '   OUT OF BAND'}", flush=True)
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
