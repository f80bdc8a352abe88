"""How many cells the units map to: formulas in the numbers of a target.

Registers and multipliers follow from the design. LUTs are what is selected, added and decoded: a
formula names it, and the mapping of each family says what one of them costs. Carry chains are not
counted, the LUTs in front of them are (Xilinx; a CCU2C of ECP5 holds its own).
"""
import math
import re
from dataclasses import dataclass

# The arithmetic of one fp32 lane has no parameters: (LUTs, multipliers) of the cells fp_*.sv,
# measured alone, per family. Everything above them is counted with these.
CELLS = {
    "xc7": {"mul": (104, 2), "add": (553, 0), "minmax": (126, 0), "convert": (290, 0),
            "round": (349, 0), "special": (2456, 6)},
    "ecp5": {"mul": (121, 4), "add": (501, 0), "minmax": (162, 0), "convert": (298, 0),
             "round": (344, 0), "special": (3768, 7)},
}
STAGES = ["mul1", "mul2", "add", "select", "sfu", "mul3", "tree", "root", "combine", "accumulate",
          "round"]


def log2(n):
    return max(1, math.ceil(math.log2(n)))


@dataclass
class Count:
    ffs: float = 0
    luts: float = 0
    dsps: float = 0

    def __add__(self, other):
        return Count(self.ffs + other.ffs, self.luts + other.luts, self.dsps + other.dsps)

    def __rmul__(self, n):
        return Count(n * self.ffs, n * self.luts, n * self.dsps)


class Target:
    """The numbers of target_pkg, which the tool writes from the TOML, and of pianola_pkg."""

    def __init__(self, package, machine):
        for text in (machine, package):
            for name, value in re.findall(r"localparam int unsigned (\w+) = (\d+);", text):
                setattr(self, name, int(value))
            for name, value in re.findall(r"localparam logic \[[\w :-]+\] (\w+) = \d+'d(\d+);", text):
                setattr(self, name, int(value))
            for name, body in re.findall(r"localparam logic \[\d+:0\] (\w+) = \{([^}]*)\};", text):
                setattr(self, name, [int(v) for v in re.findall(r"'d(\d+)", body)][::-1])
        self.latencies = dict(re.findall(r"latency_(\w+) = (.*);", machine))
        self.vector = 8 * self.Lanes

    def latency(self, name):
        expression = self.latencies[name].replace("$clog2", "clog2").replace("/", "//")
        return eval(expression, {"clog2": lambda n: math.ceil(math.log2(n)), "lanes": self.Lanes})

    def has(self, stage):
        return self.VxmStages >> STAGES.index(stage) & 1


class Family:
    def __init__(self, name):
        self.name = name
        self.cells = {cell: Count(luts=luts, dsps=dsps)
                      for cell, (luts, dsps) in CELLS[name].items()}

    def select(self, inputs):
        """LUTs of a bit taken from `inputs` bits: n - 1 choices of two, three of which are one LUT6
        or two LUT4."""
        return max(1, (inputs - 1) / (3 if self.name == "xc7" else 1.5))

    def chain(self, inputs):
        """LUTs of a bit that the last of `inputs` sources takes over, each with a condition of its
        own. The mapper does not know that the conditions exclude each other; it balances long
        chains for depth, at the cost of more LUTs."""
        if self.name == "xc7":
            return inputs * (0.85 if inputs <= 4 else 1.25)
        return inputs * (1.05 if inputs <= 4 else 1.25)

    def adder(self, bits):
        """LUTs in front of a carry chain; a CCU2C brings its own."""
        return bits if self.name == "xc7" else 0

    def line(self, width, *depths):
        """Registers of delay lines."""
        return width * sum(depths)

    def memory(self, width, depth):
        """LUTs that join 16-word memories (ECP5) or 64-word ones."""
        banks = depth / (16 if self.name == "ecp5" else 64)
        return width * self.select(banks) if banks > 1 else 0


# ---------------------------------------------------------------- the front, the queues, the ports
def dispatcher(t, f):
    # A counter of NOPs and the decoder of a word.
    return Count(24, 75)


def freeze_pipeline(t, f):
    # Delays of grant, end, and of a push; a queue sees its push only if it is valid.
    entry = t.TimingW + t.PayloadW
    return Count(t.FreezeDepth * (t.QueueCount + entry) + 3 * t.FreezeDepth, t.QueueCount + 3)


def instruction_fifo(t, f):
    words = t.InstructionFifoWords + 2
    return Count(256 + 2 * log2(words) + log2(words + 1) + 1,
                 f.memory(256, words) + 4 * f.adder(log2(words + 1)) + 20)


def banks(write, read):
    return 2 ** log2(max(write, read))


def port_fifo(t, f, depth, write, read):
    """A vector goes to one of the banks, which take a number of vectors a cycle, and comes from one
    of them."""
    n = banks(write, read)
    return Count(2 * log2(math.ceil(depth / n)) + 3 * log2(n) + n * t.vector,
                 t.vector * n * (f.chain(write) + f.select(n)) +
                 n * f.memory(t.vector, depth / n) + 60)


def sequencer(t, f, payload, a=0, levels_a=0, b=0, levels_b=0):
    pointers = 2 * log2(t.QueueDepth) + log2(t.QueueDepth + 1)
    indices = t.TimingN1W + t.TimingN2W + t.TimingN3W
    # The start field of the current entry is not kept beside the three times.
    ffs = (pointers + 1 + t.TimingW - 16 + payload + 3 * 16 + indices + levels_a * a +
           levels_b * b)
    # Times and offsets: per level an addition, and the choice of restarting or keeping. Indices:
    # an increment and a comparison.
    steps = 3 * 16 + levels_a * a + levels_b * b
    luts = steps + f.adder(steps) + 4 * indices + 80
    return Count(ffs, luts)


def recv_port(t, f, vectors, bytes_per_cycle):
    lanes = t.Lanes
    arrive = math.ceil(bytes_per_cycle / lanes)
    width = t.PortWidthVectors
    return (sequencer(t, f, t.PortRecvPayloadW) +
            port_fifo(t, f, vectors + 2 * arrive + (t.FreezeDepth + 1) * width, arrive, width) +
            # Three counts, the operation on its way, the drive.
            Count(16 + 2 * 32 + (t.FreezeDepth + 1) * (t.PortRecvPayloadW + 1), 3 * f.adder(32) + 60))


def send_port(t, f, vectors, bytes_per_cycle):
    leave = math.ceil(bytes_per_cycle / t.Lanes)
    width = t.PortWidthVectors
    return (sequencer(t, f, t.PortSendPayloadW) +
            port_fifo(t, f, vectors + (t.FreezeDepth + 4) * leave, width, leave) +
            # Each vector is taken from the streams of both directions.
            Count(2 * 16 + 32 + t.FreezeDepth * (t.PortSendPayloadW + 1) + 1,
                  width * t.vector * f.select(2 * t.Streams) + 2 * f.adder(32) + 60))


# ---------------------------------------------------------------- units
def stream_position(t, f, west, east):
    """A bit east is one of `west` drives of the position to the west, or passes; a bit west one of
    `east`. (drivers, vectors each)"""
    return Count(2 * t.Streams * t.vector, t.Streams * t.vector *
                 (f.chain(west[0] * west[1]) + f.chain(east[0] * east[1])))


def mem_slice(t, f):
    # Streams of both directions (data, two index bytes) and launch registers (two addresses, one
    # lane) are selected; then adders and comparisons.
    address, bank = log2(t.WordsPerSlice), log2(t.WordsPerSlice / 2)
    # Small banks are LUT memories on Xilinx, with the register of a word outside.
    outside = 2 * t.vector if f.name == "xc7" and t.WordsPerSlice <= 256 else 0
    # A write of a row: three bits more of its sum, which is shifted and added to the address.
    row = f.select(32) * 2 + (f.select(4) + 1) * (address + 3) + 2 * f.adder(address + 3) + 16
    return Count(2 * (bank + 2) + t.vector + t.Lanes + 4 + 16 + 2 + outside,
                 f.select(2 * t.Streams) * (t.vector + 16) + f.select(32) * (2 * (address + 1) + 32) +
                 6 * f.adder(address + 1) + 3 * t.vector + row + 150)


def mxm(t, f):
    lanes, vector, acc = t.Lanes, t.vector, log2(t.MxmAccumulators)
    latency, levels, padded = t.latency("mxm_mac"), log2(t.Lanes), 2 ** log2(t.Lanes)
    tile, products = lanes * vector, 16 * lanes * lanes
    nodes = [lanes * (16 + l) * (padded >> l) for l in range(1, levels + 1)]
    ffs = (tile + 32 * lanes + 2 * latency - 1 + f.line(2 + acc, latency - 1) +
           f.line(7, latency))
    # Xilinx multipliers take in the installed tile, the operand, the products and the first sums.
    ffs += sum(nodes[1:]) if f.name == "xc7" else tile + vector + products + sum(nodes)
    luts = ((t.MxmLoadStreams + 1) * vector * f.select(2 * t.Streams) +
            # A tile vector comes from a stream of the load, as bytes, nibbles or pairs of bits;
            # a weight from a vector of either orientation.
            lanes * vector * (f.select(t.MxmLoadStreams) + 3) + tile +
            # Sums, of which a first level of pairs is added behind the multiplier.
            f.adder(sum(nodes[1:])) + 2 * 32 * lanes + f.memory(32 * lanes, t.MxmAccumulators) +
            lanes * 20)
    return Count(ffs, luts, lanes * lanes)


def sxm(t, f):
    lanes, vector = t.Lanes, t.vector
    latency = t.latency("sxm")
    rows = 16 if lanes > 64 else lanes
    out = 4 * vector + 11
    return Count(out + latency + (log2(latency - 1) if latency > 2 else 0) + rows * vector,
                 # Four vectors and the indices; a lane of any of the lanes, or a row's.
                 5 * vector * f.select(2 * t.Streams) + 4 * vector * (f.select(lanes) + 1) +
                 vector * f.select(rows) +
                 # The source of a lane: a sum, and its wrapping within the segment.
                 lanes * 6 * (log2(lanes) + 4))


def vxm_chain(t, f):
    return vxm_control(t, f) + t.Lanes * vxm_lane(t, f) + (vxm_tree(t, f) if t.has("tree") else Count())


def vxm_control(t, f):
    mul, add = t.latency("vxm_mul"), t.latency("vxm_add")
    first = t.latency("vxm_in")
    front = first + 2 * mul + add + t.latency("vxm_select")
    longest = (front + t.latency("vxm_sfu") + mul + t.latency("vxm_tree") + t.latency("vxm_root"))
    id_bits = log2(longest + mul + 1)
    slots = 2 ** id_bits
    out = add + t.latency("vxm_out")
    acc = log2(t.VxmAccumulators)
    ffs = (2 * id_bits + 2 * slots + mul + out + f.line(id_bits, mul) + f.line(11, out) +
           # Formats, operands and constants of a pass, and what is used of its fields later.
           9 + 15 + 64 + f.line(1, first) + f.line(1, first + mul) + f.line(3, first + 2 * mul) +
           f.line(acc, add - 1) + add - 1 + f.line(4, add))
    # Constants come from the launch registers, then from K1 or K2; a wheel has a decoder per bit,
    # for setting and for clearing, and is read in one place.
    luts = (2 * 32 * f.select(32) + 2 * slots * 2 + 2 * f.select(slots) + 100)
    luts += sum(32 for stage in ("mul1", "mul2", "add", "mul3", "combine") if t.has(stage))
    luts += f.memory(26, slots)
    if t.has("select"):
        ffs += 34 + f.line(t.Lanes + 32, first - 1 + 2 * mul + add)
        luts += 32 * f.select(32) + 2 * f.adder(32) + 10 * t.Lanes
    if t.has("tree"):
        ffs += f.line(32 * max(1, t.Lanes // 16), mul)
    return Count(ffs, luts)


def vxm_lane(t, f):
    mul, add, first = t.latency("vxm_mul"), t.latency("vxm_add"), t.latency("vxm_in")
    operands = 3 if any(map(t.has, ("mul1", "mul2", "add", "mul3", "combine"))) else 1
    count = Count()
    # Fetch: a byte of one or both, the second of both of two, the last of one of four streams.
    fetch = sum(f.select(2 * t.Streams // n) for n in (1, 2, 4, 4))
    count += operands * (Count(32, 8 * fetch + 32 * 2) + f.cells["convert"])
    # What a line of registers ends at: a cell or a port.
    lines, depth = [first - 1], 0
    for stage, cells, latency in (("mul1", ["mul"], mul), ("mul2", ["mul"], mul),
                                  ("add", ["add", "minmax"], add), ("select", [], 1)):
        depth += latency
        if not t.has(stage):
            continue
        lines[-1] += depth - latency
        lines.append(latency)
        depth = 0
        count += Count(luts=32)
        for cell in cells:
            count += f.cells[cell]
        if stage == "add":
            count += Count(luts=f.adder(32) + 32)
        if stage != "select":
            before = {"mul1": 0, "mul2": mul, "add": 2 * mul}[stage]
            count += Count(f.line(32, first - 1 + before), 32)
    lines[-1] += depth
    if t.has("sfu"):
        count += f.cells["special"] + Count(luts=32)
        lines += [t.latency("vxm_sfu"), 0]
    if t.has("mul3"):
        depth = 2 ** log2(front_to_mul3(t) + 1)
        count += f.cells["mul"] + Count(luts=32 + 32 + f.memory(32, depth))
        lines.append(0)
    lines[-1] += mul
    lines.append(0)
    if t.has("tree"):
        depth = 2 ** log2(t.latency("vxm_tree") + t.latency("vxm_root") + 1)
        count += Count(luts=32 + f.memory(32, depth))
    if t.has("combine"):
        depth = 2 ** log2(front_to_mul3(t) + 2 * mul + t.latency("vxm_tree") +
                          t.latency("vxm_root") + 1)
        count += f.cells["mul"] + Count(luts=3 * 32 + f.memory(32, depth))
    lines[-1] += mul
    lines.append(add)
    if t.has("accumulate"):
        lines += [add - 1, 1]
        count += f.cells["add"] + f.cells["minmax"]
        count += Count(luts=4 * 32 + f.memory(32, t.VxmAccumulators))
    if t.has("round"):
        count += f.cells["round"] + Count(luts=32)
    lines.append(t.latency("vxm_out"))
    count += Count(f.line(32, *lines), 32)
    return count


def front_to_mul3(t):
    return (t.latency("vxm_in") + 2 * t.latency("vxm_mul") + t.latency("vxm_add") +
            t.latency("vxm_select") + t.latency("vxm_sfu"))


def vxm_tree(t, f):
    lanes, levels = t.Lanes, log2(t.Lanes)
    mul, add, latency = t.latency("vxm_mul"), t.latency("vxm_add"), t.latency("vxm_tree")
    segments = max(1, lanes // 16)
    count = Count(luts=lanes * 2 * 33)
    for level in range(levels):
        nodes = max(math.ceil(lanes / (2 << level)), segments)
        pairs = (math.ceil(lanes / (1 << level))) // 2
        # The lane number of a node grows by a bit a level.
        count += Count(nodes * f.line(33 + level + 1, add) + f.line(6, add))
        count += pairs * (f.cells["add"] + Count(luts=32 + 2 * 33))
    count += segments * (f.cells["convert"] + Count(f.line(32, latency - levels * add), 2 * 32))
    if t.has("root"):
        count += Count(f.line(66, latency) + f.line(34, mul) + f.line(2, add))
        count += segments * (f.cells["mul"] + f.cells["add"] + f.cells["special"] + Count(
            f.line(32, mul, add, t.latency("vxm_root") - mul - add), 2 * 32))
    return count


# ---------------------------------------------------------------- the core
def core(t, f):
    """The sum of its units, the launch registers and counts."""
    port = (sum_of(recv_port(t, f, *fifo) for fifo in fifos(t)) +
            sum_of(send_port(t, f, *fifo) for fifo in fifos(t)[1:]))
    payload = {"vxm": t.VxmPayloadW, "mem": t.MemPayloadW, "sxm": t.SxmPayloadW,
               "load": t.MxmLoadPayloadW, "mac": t.MxmMacPayloadW}
    units = {
        t.UnitPort: port,
        t.UnitVxm: t.VxmChains * (sequencer(t, f, payload["vxm"], 9, 3, 20, 2) + vxm_chain(t, f)),
        t.UnitMem: t.SlicesPerPosition * (sequencer(t, f, payload["mem"], 20, 3) +
                                          sequencer(t, f, payload["mem"], 20, 3, 9, 1) +
                                          mem_slice(t, f)),
        t.UnitSxm: sequencer(t, f, payload["sxm"], 14, 1) + sxm(t, f),
        t.UnitMxm: (sequencer(t, f, payload["load"], 12, 3) +
                    sequencer(t, f, payload["mac"], 10, 3) + mxm(t, f)),
    }
    drives = {t.UnitPort: (3, t.PortWidthVectors), t.UnitVxm: (t.VxmChains, 4),
              t.UnitMem: (t.SlicesPerPosition, 1), t.UnitSxm: (1, 4), t.UnitMxm: (1, 4)}
    total = dispatcher(t, f) + freeze_pipeline(t, f) + instruction_fifo(t, f)
    total += sum_of(units[kind] for kind in t.UnitKinds)
    total += sum_of(stream_position(t, f, drives[west], drives[east])
                    for west, east in zip(t.UnitKinds, t.UnitKinds[1:]))
    # Launch registers without the first, totals, words; five counters of 48 bits.
    total += Count(31 * 32 + 5 * 32 + 2 * 32 + 4 * 48 + 10, 4 * f.adder(48) + f.adder(32) + 150)
    return total


def fifos(t):
    return [(t.TapeFifoVectors, t.TapeBytesPerCycle), (t.KvFifoVectors, t.KvBytesPerCycle),
            (t.HostFifoVectors, t.HostBytesPerCycle)]


def sum_of(counts):
    return sum(counts, Count())
