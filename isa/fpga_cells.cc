#include "isa/fpga_cells.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "isa/instructions.h"

namespace pianola {
namespace {

// The arithmetic of one fp32 lane has no parameters: LUTs and multipliers of the cells fp_*.sv.
struct CellCost {
  double luts, multipliers;
};
struct CellCosts {
  CellCost mul, add, minmax, convert, round, special;
};
constexpr CellCosts kXilinx = {{116, 2}, {433, 0}, {93, 0}, {261, 0}, {304, 0}, {3109, 6}};
constexpr CellCosts kEcp5 = {{121, 4}, {501, 0}, {162, 0}, {298, 0}, {344, 0}, {3768, 7}};

double log2_up(double n) { return std::max(1.0, std::ceil(std::log2(n))); }
double up(double a, double b) { return std::ceil(a / b); }

FpgaCells registers(double n) { return {.registers = n}; }
FpgaCells luts(double n) { return {.luts = n}; }

// Whether one issue engine and address unit serve the queues of a MEM position (mem_position.sv).
bool takes_turns(const Target& target) {
  return target.beats >= 2 * target.slices_per_position + 2;
}

// The formulas of one target on one part. Names of members are those of the modules.
class Formulas {
 public:
  Formulas(const Target& target, const FpgaPart& part)
      : t_(target),
        part_(part),
        xilinx_(part.family != FpgaFamily::Ecp5),
        cost_(xilinx_ ? kXilinx : kEcp5),
        beats_(target.beats),
        lanes_(target.lanes),
        lanes_beat_(target.lanes / target.beats),
        vector_(8.0 * target.lanes),
        vector_beat_(vector_ / target.beats) {}

  FpgaCells core() const;
  std::vector<std::pair<std::string, FpgaCells>> units() const;

 private:
  struct Fifo {
    double vectors, bytes_per_cycle;
  };
  struct Steps {
    double a = 0, levels_a = 0, b = 0, levels_b = 0;
  };

  bool has(VxmStage stage) const { return (t_.vxm_stages & stage) != 0; }
  FpgaCells cell(const CellCost& cost) const {
    return {.luts = cost.luts, .multipliers = cost.multipliers};
  }

  // A bit taken from `inputs` bits: n - 1 choices of two, three of which are one LUT6 or two LUT4.
  double select(double inputs) const { return std::max(1.0, (inputs - 1) / (xilinx_ ? 3 : 1.5)); }
  // A bit taken from those of the beats, which a counter selects.
  double select_beat() const { return beats_ == 1 ? 0 : select(beats_); }
  // A bit that the last of `inputs` sources takes over, each with a condition of its own.
  double chain(double inputs) const {
    return inputs * (inputs <= 4 ? (xilinx_ ? 0.85 : 1.05) : 1.25);
  }
  // The bits of all streams of one direction, each of which a driver takes over, after its vectors
  // were turned to the streams where they belong.
  double choose(double drivers, double width) const {
    return t_.streams * vector_beat_ * (drivers <= 3 ? 1 : 1.7) * select(drivers + 1) +
           (width > 1 ? drivers * width * vector_beat_ * select(width) : 0) +
           t_.streams * drivers * 6;
  }
  // In front of a carry chain; a CCU2C of ECP5 brings its own.
  double adder(double bits) const { return xilinx_ ? bits : 0; }
  // What joins 16-word memories (ECP5) or 64-word ones.
  double join(double width, double depth) const {
    const double banks = depth / (xilinx_ ? 64 : 16);
    return banks > 1 ? width * select(banks) : 0;
  }
  // A memory of LUTs, with what joins its parts.
  FpgaCells small_memory(double width, double depth) const {
    const double per_bit = !xilinx_      ? 1.5 * up(depth, 16)
                           : depth <= 32 ? 4.0 / 6
                                         : 4.0 / 3 * up(depth, 64);
    return {.luts = join(width, depth), .memory_luts = width * per_bit};
  }
  // A memory whose read is registered: block RAM where it is deep, of LUTs where it is not.
  FpgaCells memory(double width, double depth) const {
    if (depth <= 64) return small_memory(width, depth);
    const double words = std::max(512.0, std::exp2(std::ceil(std::log2(depth))));
    return {.block_rams = up(width * words, (xilinx_ ? 64 : 32) * 512)};
  }

  // A line of `edges` clock edges: with many beats memories that have a word per beat, else registers.
  bool many_beats() const { return beats_ >= 8; }
  FpgaCells beat_line(double width, double edges) const {
    return many_beats() ? up(edges, beats_) * small_memory(width, beats_) : registers(width * edges);
  }

  FpgaCells dispatcher() const { return {.registers = 24, .luts = 75}; }
  FpgaCells freeze_pipeline() const;
  FpgaCells instruction_fifo() const;
  FpgaCells port_fifo(double depth, double write, double read) const;
  FpgaCells sequencer(double payload, Steps steps) const;
  // With enough beats vectors of an operation are moved one after the other (recv_port.sv).
  bool ports_take_turns() const {
    return t_.port_width_vectors > 1 && beats_ >= t_.port_width_vectors + 2;
  }
  FpgaCells vector_fifo(double depth) const;
  FpgaCells recv_port(Fifo fifo) const;
  FpgaCells send_port(Fifo fifo) const;
  FpgaCells stream_position(UnitKind west, UnitKind east) const;
  FpgaCells mem_slice() const;
  FpgaCells sequencers_in_turn() const;
  FpgaCells mem_position() const;
  FpgaCells mxm() const;
  FpgaCells mxm_in_beats() const;
  FpgaCells sxm() const;
  FpgaCells vxm_chain() const;
  FpgaCells vxm_control() const;
  FpgaCells vxm_lane() const;
  FpgaCells vxm_tree() const;

  std::vector<Fifo> fifos() const {
    return {{double(t_.tape_fifo_vectors), double(t_.tape_bytes_per_cycle)},
            {double(t_.kv_fifo_vectors), double(t_.kv_bytes_per_cycle)},
            {double(t_.host_fifo_vectors), double(t_.host_bytes_per_cycle)}};
  }
  // How many units of a position drive, and how many vectors one of them drives at most.
  double drivers(UnitKind kind) const {
    return kind == UnitKind::Port  ? 3
           : kind == UnitKind::Vxm ? t_.vxm_chains
           : kind == UnitKind::Mem ? t_.slices_per_position
                                   : 1;
  }
  double width(UnitKind kind) const {
    return kind == UnitKind::Port ? t_.port_width_vectors : kind == UnitKind::Mem ? 1 : 4;
  }
  double to_mul3() const {
    return latency_vxm_in(0) + 2 * latency_vxm_mul(0) + latency_vxm_add(0) + latency_vxm_select(0) +
           latency_vxm_sfu(0);
  }
  double tree_latency() const { return latency_vxm_tree(t_.lanes); }

  const Target& t_;
  const FpgaPart& part_;
  bool xilinx_;
  const CellCosts& cost_;
  double beats_, lanes_, lanes_beat_, vector_, vector_beat_;
};

constexpr double kTimingBits = kPayloadStart - kHeaderBits;
constexpr double kMul = latency_vxm_mul(0), kAdd = latency_vxm_add(0), kIn = latency_vxm_in(0);

// ---------------------------------------------------------------- the front, the queues, the ports
FpgaCells Formulas::freeze_pipeline() const {
  const double queues = static_cast<double>(t_.queues.size());
  // Delays of grant, end, and of a push; a queue sees its push only if it is valid.
  return {.registers = t_.freeze_depth * (queues + kWordBits - kHeaderBits + 3),
          .luts = queues + 3};
}

FpgaCells Formulas::instruction_fifo() const {
  const double words = t_.instruction_fifo_words + 2;
  FpgaCells cells = memory(kWordBits, words);
  cells.luts += 4 * adder(log2_up(words + 1)) + 20;
  cells.registers = kWordBits + 2 * log2_up(words) + log2_up(words + 1) + 1;
  return cells;
}

// A vector goes to one of the banks, which take a number of vectors a cycle, and comes from one of
// them.
FpgaCells Formulas::port_fifo(double depth, double write, double read) const {
  const double n = std::exp2(log2_up(std::max(write, read)));
  FpgaCells cells = n * memory(vector_, up(depth, n));
  cells.luts += vector_ * n * (chain(write) + select(n)) + 60;
  if (cells.block_rams > 0) cells.luts += n * join(vector_, depth / n);
  cells.registers = 2 * log2_up(up(depth, n)) + 3 * log2_up(n) + n * vector_;
  return cells;
}

FpgaCells Formulas::sequencer(double payload, Steps s) const {
  const double pointers = 2 * log2_up(t_.queue_depth) + log2_up(t_.queue_depth + 1);
  const double indices =
      std::bit_width(kTimingN1Max) + std::bit_width(kTimingN2Max) + std::bit_width(kTimingN3Max);
  // Times and offsets: per level an addition, and the choice of restarting or keeping. Indices: an
  // increment and a comparison.
  const double steps = 3 * 16 + s.levels_a * s.a + s.levels_b * s.b;
  FpgaCells cells = small_memory(kTimingBits + payload, t_.queue_depth);
  cells.luts = steps + adder(steps) + 4 * indices + 80;
  // The start field of the current entry is not kept beside the three times.
  cells.registers = pointers + 1 + kTimingBits - 16 + payload + 3 * 16 + indices +
                    s.levels_a * s.a + s.levels_b * s.b;
  return cells;
}

// One vector a clock edge: a memory and two pointers.
FpgaCells Formulas::vector_fifo(double depth) const {
  FpgaCells cells = memory(vector_, depth);
  cells.luts += 5 * log2_up(depth);
  cells.registers = 2 * log2_up(depth) + (cells.block_rams > 0 ? 0 : vector_);
  return cells;
}

FpgaCells Formulas::recv_port(Fifo fifo) const {
  if (ports_take_turns()) {
    // An operation's vectors, as they are read and as they are driven.
    const double vectors = t_.port_width_vectors;
    return sequencer(kPayloadBitsPortRecv, {}) +
           vector_fifo(fifo.vectors + 2 + (t_.freeze_depth + 1) * vectors) +
           registers(16 + 2 * 32 + (t_.freeze_depth + 1) * (kPayloadBitsPortRecv + 1) +
                     (2 * vectors - 1) * vector_) +
           luts(3 * adder(32) + 60 + vectors * vector_beat_ * select_beat());
  }
  const double arrive = up(fifo.bytes_per_cycle, lanes_), width = t_.port_width_vectors;
  const double depth = fifo.vectors + 2 * arrive + (t_.freeze_depth + 1) * width;
  // Three counts, the operation on its way, the drive.
  return sequencer(kPayloadBitsPortRecv, {}) + port_fifo(depth, arrive, width) +
         registers(16 + 2 * 32 + (t_.freeze_depth + 1) * (kPayloadBitsPortRecv + 1)) +
         luts(3 * adder(32) + 60 + width * vector_beat_ * select_beat());
}

FpgaCells Formulas::send_port(Fifo fifo) const {
  if (ports_take_turns()) {
    const double vectors = t_.port_width_vectors;
    return sequencer(kPayloadBitsPortSend, {}) +
           vector_fifo(fifo.vectors + t_.freeze_depth + 4) +
           registers(2 * 16 + 32 + t_.freeze_depth * (kPayloadBitsPortSend + 1) + 8 +
                     vectors * (vector_ - vector_beat_) + (vectors - 1) * vector_) +
           luts(vectors * vector_beat_ * select(2 * t_.streams) + vector_ * select(vectors) +
                2 * adder(32) + 80);
  }
  const double leave = up(fifo.bytes_per_cycle, lanes_), width = t_.port_width_vectors;
  // Each vector is taken from the streams of both directions.
  return sequencer(kPayloadBitsPortSend, {}) +
         port_fifo(fifo.vectors + (t_.freeze_depth + 4) * leave, width, leave) +
         registers(2 * 16 + 32 + t_.freeze_depth * (kPayloadBitsPortSend + 1) + 1 +
                   width * (vector_ - vector_beat_)) +
         luts(width * vector_beat_ * select(2 * t_.streams) + 2 * adder(32) + 60);
}

// ---------------------------------------------------------------- units
// A bit east is one of the drives of the position to the west, or passes; a bit west likewise.
FpgaCells Formulas::stream_position(UnitKind west, UnitKind east) const {
  return beat_line(2 * t_.streams * vector_beat_, beats_) +
         luts(choose(drivers(west), width(west)) + choose(drivers(east), width(east)));
}

// Streams of both directions (data, two index bytes) and launch registers (two addresses, one lane)
// are selected; then adders and comparisons.
FpgaCells Formulas::mem_slice() const {
  const double address = log2_up(t_.words_per_slice), bank = log2_up(t_.words_per_slice / 2.0);
  // Small banks are LUT memories on Xilinx, with the register of a word outside.
  const double outside = xilinx_ && t_.words_per_slice <= 256 ? 2 * vector_ : 0;
  // A write of a row: three bits more of its sum, which is shifted and added to the address.
  const double row = select(32) * 2 + (select(4) + 1) * (address + 3) + 2 * adder(address + 3) + 16;
  FpgaCells cells{.registers = 2 * (bank + 2) + vector_ + lanes_ + 4 + 16 + 2 + outside,
                  .luts = select(2 * t_.streams) * (vector_beat_ + 16) +
                          select(32) * (2 * (address + 1) + log2_up(lanes_) + 2) +
                          6 * adder(address + 1) + 3 * vector_beat_ + row + 150};
  if (beats_ > 1) cells += {.registers = 16, .luts = vector_beat_ * select_beat()};
  // Deep slices lie in UltraRAM where the part has it: both banks use both ports.
  if (part_.ultra_rams > 0 && t_.words_per_slice >= 2048) {
    cells.ultra_rams = up(t_.words_per_slice, 4096) * up(vector_, 64);
  } else {
    cells += 2 * memory(vector_, t_.words_per_slice / 2.0);
  }
  return cells;
}

// The state of all queues in memories, the step of one of them.
FpgaCells Formulas::sequencers_in_turn() const {
  const double queues = 2 * t_.slices_per_position, id = log2_up(queues);
  const double place = 1 + log2_up(t_.queue_depth + 1) + 2 * log2_up(t_.queue_depth);
  const double indices =
      std::bit_width(kTimingN1Max) + std::bit_width(kTimingN2Max) + std::bit_width(kTimingN3Max);
  const double times = 16, offset = 20, lane = 9, entry = kTimingBits + kPayloadBitsMem;
  FpgaCells cells = small_memory(place + 3 * (times + offset) + indices + lane + entry, queues);
  const double depth = queues * std::exp2(log2_up(t_.queue_depth));
  cells.block_rams = up(entry, xilinx_ ? 72 : 36) * up(depth, 512);
  // A level's time and offset and their steps are chosen, added, and restart those within.
  cells.luts += 2 * select(3) * (times + offset) + 3 * (times + offset) + adder(times + offset) +
                4 * indices + queues + 150;
  cells.registers = 2 + id + place + 2 * queues;
  return cells;
}

// With enough beats the queues of a position take turns, and have one address unit.
FpgaCells Formulas::mem_position() const {
  const double slices = t_.slices_per_position;
  if (!takes_turns(t_)) {
    return slices * (sequencer(kPayloadBitsMem, {20, 3}) +
                     sequencer(kPayloadBitsMem, {20, 3, 9, 1}) + mem_slice());
  }
  const double address = log2_up(t_.words_per_slice), sum = address + 3;
  const double lane = log2_up(lanes_) + 2, stream = log2_up(t_.streams);
  // Lane 0 of all streams for an index, which is compared with its limit; two launch registers; sums, of
  // rows shifted; the streams of the writes, the lanes that they keep, faults.
  FpgaCells cells = sequencers_in_turn();
  cells.registers += 2 * 8 * t_.streams +
                     slices * (6 + 5 * address + 5 * (stream + 1) + 2 * lanes_);
  cells.luts += 16 * select(2 * t_.streams) + 2 * 16 + select(32) * (sum + lane) +
                slices * vector_beat_ * select(2 * t_.streams) + 4 * adder(sum) + 5 * sum +
                slices * (lanes_beat_ * select_beat() + lanes_ + 12) + 100;
  FpgaCells words = small_memory(vector_beat_, beats_) + luts(8);
  // A memory of a byte for each lane of a beat, of parts of 2048 bytes: halves of a RAMB36.
  const double parts = up(t_.words_per_slice * beats_, 2048);
  words.block_rams = lanes_beat_ * parts * (xilinx_ ? 0.5 : 1);
  words.luts += vector_beat_ * select(xilinx_ ? parts / 2 : parts);
  return cells + slices * words;
}

FpgaCells Formulas::mxm() const {
  if (beats_ > 1) return mxm_in_beats();
  const double acc = log2_up(t_.mxm_accumulators), latency = latency_mxm_mac(t_.lanes);
  const int levels = static_cast<int>(log2_up(lanes_));
  const double tile = lanes_ * vector_, products = 16 * lanes_ * lanes_;
  double nodes = 0, first = 0;
  for (int l = 1; l <= levels; ++l) {
    nodes += lanes_ * (16 + l) * std::exp2(levels - l);
    if (l == 1) first = nodes;
  }
  FpgaCells cells = small_memory(32 * lanes_, t_.mxm_accumulators);
  cells.registers = tile + 32 * lanes_ + 2 * latency - 1 + (2 + acc) * (latency - 1) + 7 * latency;
  // Xilinx multipliers take in the installed tile, the operand, the products and the first sums.
  cells.registers += xilinx_ ? nodes - first : tile + vector_ + products + nodes;
  // A tile vector comes from a stream of the load, as bytes, nibbles or pairs of bits; a weight
  // from a vector of either orientation. Of the sums, pairs are added behind the multiplier.
  cells.luts += (t_.mxm_load_streams + 1) * vector_ * select(2 * t_.streams) +
                lanes_ * vector_ * (select(t_.mxm_load_streams) + 3) + tile + adder(nodes - first) +
                2 * 32 * lanes_ + lanes_ * 20;
  cells.multipliers = lanes_ * lanes_;
  return cells;
}

// Loads and products of the lanes of a beat; shadow and installed tile, and the whole sums, which
// wait.
FpgaCells Formulas::mxm_in_beats() const {
  const double acc = log2_up(t_.mxm_accumulators), latency = latency_mxm_mac(t_.lanes);
  const double tile = lanes_ * vector_, sum = 16 + log2_up(lanes_), load = t_.mxm_load_streams;
  const double wait = latency - 1 - 3 - std::floor(2 / beats_) + 1;
  FpgaCells cells = small_memory(32 * lanes_beat_, t_.mxm_accumulators * beats_);
  cells.registers = 2 * tile + vector_beat_ + lanes_ * sum * (2 + wait) + 2 * latency - 1 +
                    (2 + acc) * (latency - 1) + 7 * latency;
  // The load, the operand, and what leaves.
  cells += beat_line((load + 1 + 4) * vector_beat_, beats_);
  if (!xilinx_) cells.registers += 16 * lanes_ * lanes_beat_;
  cells.luts += (load + 1) * vector_beat_ * select(2 * t_.streams) +
                lanes_ * vector_beat_ * (select(load) + 3) + tile +
                lanes_ * vector_beat_ * select_beat() + adder(lanes_ * sum * (lanes_beat_ + 1)) +
                lanes_beat_ * (sum * select_beat() + 2 * 32 + 20);
  cells.multipliers = lanes_ * lanes_beat_;
  return cells;
}

FpgaCells Formulas::sxm() const {
  const double latency = latency_sxm(t_.lanes), rows = lanes_ > 64 ? 16 : lanes_;
  // Four vectors and the indices; a lane of any of the lanes, or a row's. The source of a lane: a
  // sum, and its wrapping within the segment.
  const double luts_all = 5 * vector_beat_ * select(2 * t_.streams) +
                          4 * vector_beat_ * (select(lanes_) + 1) + vector_beat_ * select(rows) +
                          lanes_beat_ * 6 * (log2_up(lanes_) + 4);
  if (beats_ == 1) {
    const double slots = latency > 2 ? log2_up(latency - 1) : 0;
    return {.registers = 4 * vector_ + 11 + latency + slots + rows * vector_, .luts = luts_all};
  }
  FpgaCells cells = lanes_beat_ * small_memory(vector_, rows);
  cells.registers = 5 * (2 * vector_ - vector_beat_) + 12 * latency + 20;
  cells.luts += luts_all;
  cells += beat_line(4 * vector_beat_, beats_) + beat_line(4 * vector_beat_, beats_ * (latency - 2));
  return cells;
}

FpgaCells Formulas::vxm_chain() const {
  return vxm_control() + lanes_beat_ * vxm_lane() + (has(kStageTree) ? vxm_tree() : FpgaCells{});
}

FpgaCells Formulas::vxm_control() const {
  const double longest = to_mul3() + kMul + tree_latency() + latency_vxm_root(0);
  const double id = log2_up(longest + kMul + 1), slots = std::exp2(id);
  const double out = kAdd + latency_vxm_out(0), acc = log2_up(t_.vxm_accumulators);
  FpgaCells cells = 4 * small_memory(26, slots);
  cells.registers =
      2 * id + 2 * slots + kMul + out + id * kMul + 11 * out +
      // Formats, operands and constants of a pass, and what is used of its fields later.
      9 + 15 + 64 + kIn + (kIn + kMul) + 3 * (kIn + 2 * kMul) + acc * (kAdd - 1) + kAdd - 1 +
      4 * kAdd;
  // Constants come from the launch registers, then from K1 or K2; a wheel has a decoder per bit,
  // for setting and for clearing, and is read in one place.
  cells.luts = 2 * 32 * select(32) + 2 * slots * 2 + 2 * select(slots) + 100 + join(26, slots);
  for (VxmStage stage : {kStageMul1, kStageMul2, kStageAdd, kStageMul3, kStageCombine}) {
    if (has(stage)) cells.luts += 32;
  }
  if (has(kStageSelect)) {
    cells.registers += 34 + (lanes_ + 32) * (kIn - 1 + 2 * kMul + kAdd);
    cells.luts += 32 * select(32) + 2 * adder(32) + 10 * lanes_;
  }
  if (has(kStageTree)) cells.registers += 32 * std::max(1, t_.lanes / 16) * kMul;
  if (beats_ > 1) cells += {.registers = 96, .luts = 96};
  return cells;
}

// Registers are counted per lane of a beat: a line is as many times longer as there are beats.
FpgaCells Formulas::vxm_lane() const {
  const bool operands =
      has(kStageMul1) || has(kStageMul2) || has(kStageAdd) || has(kStageMul3) || has(kStageCombine);
  FpgaCells cells;
  double line = 0;  // 32-bit registers, in machine cycles
  // Fetch: a byte of one or both, the second of both of two, the last of one of four streams.
  double fetch = 0;
  for (double n : {1, 2, 4, 4}) fetch += select(2 * t_.streams / n);
  cells += (operands ? 3 : 1) * (luts(8 * fetch + 32 * 2) + cell(cost_.convert));
  line += operands ? 3 : 1;
  line += kIn - 1 + 2 * kMul + kAdd + 1;  // x, through the front
  const auto stage = [&](bool with_operand, double before) {
    cells.luts += 32;
    if (!with_operand) return;
    cells.luts += 32;
    line += kIn - 1 + before;
  };
  if (has(kStageMul1)) stage(true, 0), cells += cell(cost_.mul);
  if (has(kStageMul2)) stage(true, kMul), cells += cell(cost_.mul);
  if (has(kStageAdd)) {
    stage(true, 2 * kMul);
    cells += cell(cost_.add) + cell(cost_.minmax) + luts(adder(32) + 32);
  }
  if (has(kStageSelect)) stage(false, 0);
  if (has(kStageSfu)) {
    cells += cell(cost_.special) + luts(32);
    line += latency_vxm_sfu(0);
  }
  // Words that wait, with many beats in block RAM, and then what meets them waits an edge.
  const auto waiting = [&](double words, double late) {
    cells += many_beats() ? memory(32, beats_ * words) + registers(late)
                          : small_memory(32, beats_ * words);
  };
  const auto by_pass = [&](double depth, double late) { waiting(std::exp2(log2_up(depth + 1)), late); };
  const double tree = tree_latency() + latency_vxm_root(0);
  if (has(kStageMul3)) cells += cell(cost_.mul) + luts(32 + 32), by_pass(to_mul3(), 33);
  line += kMul;
  if (has(kStageTree)) cells.luts += 32, by_pass(tree, 68);
  if (has(kStageCombine)) {
    cells += cell(cost_.mul) + luts(3 * 32);
    by_pass(to_mul3() + 2 * kMul + tree, 0);
  }
  line += kMul + kAdd;
  if (has(kStageAccumulate)) {
    line += kAdd;
    cells += cell(cost_.add) + cell(cost_.minmax) + luts(4 * 32);
    waiting(t_.vxm_accumulators, 67);
  }
  if (has(kStageRound)) cells += cell(cost_.round) + luts(32);
  line += latency_vxm_out(0);
  cells.luts += 32;
  cells += beat_line(32, beats_ * line);
  if (beats_ > 1) cells.luts += 2 * select_beat() * 10;
  return cells;
}

FpgaCells Formulas::vxm_tree() const {
  const int levels = static_cast<int>(log2_up(lanes_));
  const double segments = std::max(1, t_.lanes / 16);
  FpgaCells cells = luts(lanes_beat_ * 2 * 33);
  if (beats_ > 1) cells += registers((33 + levels) * (2 * lanes_ - lanes_beat_) + 6);
  for (int level = 0; level < levels; ++level) {
    const double leaving = up(lanes_, std::exp2(level + 1)), nodes = std::max(leaving, segments);
    const double width = beats_ > 1 ? 33 + levels : 33 + level + 1;
    // The lane number of a node grows by a bit a level.
    cells += registers(nodes * width * kAdd + 6 * kAdd);
    const double pairs = std::floor(up(lanes_, std::exp2(level)) / 2);
    const double adders = up(pairs, beats_);
    cells += adders * (cell(cost_.add) + luts(32 + 2 * 33));
    if (beats_ > 1) {
      const double shared = std::min(beats_, pairs);
      cells += {.registers = adders * (beats_ - 1) * width,
                .luts = adders * 3 * width * (shared > 1 ? select(shared) : 0)};
    }
  }
  cells += segments *
           (cell(cost_.convert) + registers(32 * (tree_latency() - levels * kAdd)) + luts(2 * 32));
  if (has(kStageRoot)) {
    cells += registers(66 * tree_latency() + 34 * kMul + 2 * kAdd);
    cells += segments * (cell(cost_.mul) + cell(cost_.add) + cell(cost_.special) +
                         registers(32 * latency_vxm_root(0)) + luts(2 * 32));
  }
  return cells;
}

// ---------------------------------------------------------------- the core
FpgaCells Formulas::core() const {
  const std::vector<Fifo> ports = fifos();
  FpgaCells total = dispatcher() + freeze_pipeline() + instruction_fifo();
  for (size_t p = 0; p < t_.floorplan.size(); ++p) {
    switch (t_.floorplan[p]) {
      case UnitKind::Port:
        for (const Fifo& fifo : ports) total += recv_port(fifo);
        for (size_t i = 1; i < ports.size(); ++i) total += send_port(ports[i]);
        break;
      case UnitKind::Vxm:
        total += t_.vxm_chains * (sequencer(kPayloadBitsVxm, {9, 3, 20, 2}) + vxm_chain());
        break;
      case UnitKind::Mem:
        total += mem_position();
        break;
      case UnitKind::Sxm:
        total += sequencer(kPayloadBitsSxm, {14, 1}) + sxm();
        break;
      case UnitKind::Mxm:
        total += sequencer(kPayloadBitsMxmLoad, {12, 3}) + sequencer(kPayloadBitsMxmMac, {10, 3}) +
                 mxm();
        break;
    }
    if (p > 0) total += stream_position(t_.floorplan[p - 1], t_.floorplan[p]);
  }
  // Launch registers without the first, totals, words; five counters of 48 bits.
  return total + FpgaCells{.registers = 31 * 32 + 5 * 32 + 2 * 32 + 4 * 48 + 10,
                           .luts = 4 * adder(48) + adder(32) + 150};
}

std::vector<std::pair<std::string, FpgaCells>> Formulas::units() const {
  return {{"dispatcher", dispatcher()},
          {"freeze_pipeline", freeze_pipeline()},
          {"instruction_fifo", instruction_fifo()},
          {"stream_position", stream_position(UnitKind::Sxm, UnitKind::Mxm)},
          {"sequencer", sequencer(kPayloadBitsMem, {20, 3})},
          {"mem_slice", mem_slice()},
          {"mem_position", mem_position()},
          {"recv_port", recv_port(fifos()[0])},
          {"send_port", send_port(fifos()[0])},
          {"mxm", mxm()},
          {"sxm", sxm()},
          {"vxm_chain", vxm_chain()},
          {"core", core()},
          {"fp_mul", cell(cost_.mul)},
          {"fp_add", cell(cost_.add)},
          {"fp_minmax", cell(cost_.minmax)},
          {"fp_convert", cell(cost_.convert)},
          {"fp_round", cell(cost_.round)},
          {"fp_special", cell(cost_.special)}};
}

}  // namespace

FpgaCells& FpgaCells::operator+=(const FpgaCells& other) {
  registers += other.registers;
  luts += other.luts;
  multipliers += other.multipliers;
  memory_luts += other.memory_luts;
  block_rams += other.block_rams;
  ultra_rams += other.ultra_rams;
  return *this;
}

FpgaCells operator+(FpgaCells a, const FpgaCells& b) { return a += b; }

FpgaCells operator*(double n, FpgaCells cells) {
  return {n * cells.registers,   n * cells.luts,       n * cells.multipliers,
          n * cells.memory_luts, n * cells.block_rams, n * cells.ultra_rams};
}

FpgaCells core_cells(const Target& target, const FpgaPart& part) {
  return Formulas(target, part).core();
}

std::vector<std::pair<std::string, FpgaCells>> unit_cells(const Target& target,
                                                          const FpgaPart& part) {
  return Formulas(target, part).units();
}

// Carry cells of ECP5 (CCU2C) take two LUT4 each, which the formulas leave out: an eighth of the LUTs of a
// whole core, as mapped (docs/synthesis.md).
constexpr double kEcp5Carries = 0.125;

std::vector<std::string> find_fpga_excess(const Target& target, const FpgaPart& part) {
  const FpgaCells cells = core_cells(target, part);
  const struct {
    const char* resource;
    double estimate;
    int available;
    const char* advice;
  } uses[] = {
      {"LUTs",
       (cells.luts + cells.memory_luts) * (part.family == FpgaFamily::Ecp5 ? 1 + kEcp5Carries : 1),
       part.luts,
       "more beats, fewer streams, slices or load streams, or no unused VXM stages"},
      {"registers", cells.registers, part.registers, "fewer streams, positions or lanes"},
      {"multipliers", cells.multipliers, part.multipliers, "more beats, or fewer lanes or MXM"},
      {"block RAMs", cells.block_rams, part.block_rams,
       "a smaller mem.words_per_slice, fewer slices or shorter FIFOs"},
      {"UltraRAMs", cells.ultra_rams, part.ultra_rams,
       "a smaller mem.words_per_slice or fewer slices"},
  };
  std::vector<std::string> lines;
  for (const auto& use : uses) {
    const int limit = static_cast<int>(int64_t{use.available} * kFpgaUseMax / 100);
    if (use.estimate <= limit) continue;
    lines.push_back("fpga.part: about " + std::to_string(std::llround(use.estimate)) + ' ' +
                    use.resource + ", but " + std::to_string(kFpgaUseMax) + " % of those of " +
                    part.name + " are " + std::to_string(limit) + "; use " + use.advice);
  }
  return lines;
}

}  // namespace pianola
