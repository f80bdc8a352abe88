// Operation -> stencil: which instruction issues how many cycles from the base, derived from the
// latencies of the machine spec and the distances of the floorplan alone.
#include <algorithm>
#include <bit>
#include <cstdlib>

#include "scheduler/stencil.h"

namespace pianola {
namespace {

struct VxmOffsets {
  int64_t middle, back, accumulate, drive;
};

VxmOffsets vxm_offsets(const VxmInstruction& pass, int lanes) {
  const int64_t mul = latency_vxm_mul(lanes);
  VxmOffsets o;
  o.middle = latency_vxm_in(lanes) + 2 * mul + latency_vxm_add(lanes) + latency_vxm_select(lanes);
  if (pass.sfu != VxmSfu::None) o.middle += latency_vxm_sfu(lanes);
  o.back = o.middle + mul;
  if (pass.tree != VxmTree::None) o.back += latency_vxm_tree(lanes);
  if (pass.root != VxmRoot::None) o.back += latency_vxm_root(lanes);
  o.accumulate = o.back + mul;
  o.drive = o.accumulate + latency_vxm_add(lanes) + latency_vxm_out(lanes);
  return o;
}

int streams_of(VxmFormat format) {
  switch (format) {
    case VxmFormat::None: return 0;
    case VxmFormat::I8: return 1;
    case VxmFormat::Bf16:
    case VxmFormat::F16: return 2;
    case VxmFormat::I32:
    case VxmFormat::F32:
    case VxmFormat::Raw:
    case VxmFormat::F32Lane0: return 4;
  }
  return 0;
}

int streams_of(VxmOutFormat format) {
  switch (format) {
    case VxmOutFormat::None: return 0;
    case VxmOutFormat::I8: return 1;
    case VxmOutFormat::Bf16:
    case VxmOutFormat::F16: return 2;
    case VxmOutFormat::I32:
    case VxmOutFormat::F32: return 4;
  }
  return 0;
}

int ceil_divide(int a, int b) { return (a + b - 1) / b; }

class Builder {
 public:
  Builder(const VectorProgram& program, const Target& target, const StencilOptions& options)
      : program_(program), target_(target), options_(options), homes_(homes_of(target)) {}

  Stencil build(const VectorOperation& operation) {
    std::visit([this](const auto& op) { add(op); }, operation);
    stencil_.earliest_offset = INT64_MAX;
    for (const Part& part : stencil_.parts) {
      stencil_.earliest_offset = std::min(stencil_.earliest_offset, part.instruction.first);
      stencil_.finish = std::max(stencil_.finish, part.instruction.last());
    }
    for (const StreamUse& use : stencil_.streams) {
      stencil_.finish = std::max(stencil_.finish,
                                 use.drive + use.nest.span() + std::abs(use.to - use.from));
    }
    return std::move(stencil_);
  }

 private:
  int lanes() const { return target_.lanes; }
  Direction toward(int from, int to) const {
    return to > from ? Direction::East : Direction::West;
  }
  int slice_of(const Array& array, int i) const { return homes_[array.home][array.slice + i]; }
  int position_of(int slice) const { return target_.slice_position(slice); }

  int add_stream(Direction dir, int width, int from, int to, int64_t drive,
                 const TimedNest& nest) {
    stencil_.streams.push_back({dir, width, from, to, drive, nest, -1, 0, -1});
    return static_cast<int>(stencil_.streams.size()) - 1;
  }

  Part& add_part(QueueKind kind, int unit, int64_t offset, const TimedNest& nest,
                 AnyInstruction instruction) {
    Part part;
    part.instruction.queue = target_.queue_of(kind, unit);
    part.instruction.first = offset;
    part.instruction.count = nest.count;
    part.instruction.period = nest.period;
    part.instruction.instruction = std::move(instruction);
    stencil_.parts.push_back(std::move(part));
    return stencil_.parts.back();
  }

  void reach(int reg, MemoryUse& use) const {
    if (reg == 0) return;
    for (const RegisterDeclaration& r : program_.registers) {
      if (r.index != reg) continue;
      use.reach_low = static_cast<int>(r.minimum);
      use.reach_high = static_cast<int>(r.maximum);
      return;
    }
    CHECK(false && "register not declared");
  }

  // One access of one slice.
  void add_memory(bool write, const ArrayRef& ref, int slice, int64_t offset,
                  const TimedNest& nest, std::array<int, 3> step, Direction dir, int use,
                  int lane) {
    const Array& array = program_.arrays[ref.array];
    CHECK(array.address >= 0);
    MemoryUse m;
    m.write = write;
    m.slice = slice;
    m.bank = array.bank;
    m.offset = offset;
    m.nest = nest;
    m.rows = ref.row ? std::countr_zero(static_cast<unsigned>(array.streams)) : 0;
    m.address = array.address + (ref.index >> m.rows);
    m.row = ref.index & ((1 << m.rows) - 1);
    m.step = step;
    m.array = ref.array;
    reach(ref.reg, m);
    if (ref.lane >= 0) m.reach_high += 1;  // an offset past the last lane goes to the next word
    stencil_.memory.push_back(m);

    MemInstruction instruction;
    instruction.op = !write ? MemOp::Read : ref.lane >= 0 ? MemOp::WriteLane : MemOp::Write;
    instruction.dir = dir;
    instruction.address = static_cast<uint32_t>(m.address);
    instruction.s1 = step[0];
    instruction.s2 = step[1];
    instruction.s3 = step[2];
    instruction.reg = static_cast<uint32_t>(ref.reg);
    instruction.lane = static_cast<uint32_t>(std::max(0, ref.lane));
    instruction.lane_reg = static_cast<uint32_t>(ref.lane_reg);
    instruction.lane_step = static_cast<uint32_t>(ref.lane_step);
    instruction.rows = static_cast<uint32_t>(m.rows);
    instruction.row = static_cast<uint32_t>(m.row);
    Part& part = add_part(write ? QueueKind::MemWrite : QueueKind::MemRead, slice, offset, nest,
                          instruction);
    // Slices that write rows take the same stream, and say so.
    const int number = m.rows > 0 ? 0 : slice % target_.slices_per_position;
    part.links.push_back({StreamField::MemStream, use, lane, number});
  }

  std::vector<int> slices_read(const ArrayRef& ref) const {
    const Array& array = program_.arrays[ref.array];
    if (ref.slice >= 0) return {slice_of(array, ref.slice)};
    std::vector<int> slices;
    for (int i = 0; i < array.streams; ++i) slices.push_back(slice_of(array, i));
    return slices;
  }

  // Reads of several arrays on one side of `position`, on neighbouring streams.
  int add_row_reads(const std::vector<ArrayRef>& refs, const TimedNest& nest, int position,
                    int64_t arrival) {
    int from = position, width = 0;
    for (const ArrayRef& ref : refs) {
      for (const int slice : slices_read(ref)) {
        const int at = position_of(slice);
        ++width;
        CHECK(from == position || (at < position) == (from < position));
        if (std::abs(position - at) > std::abs(position - from)) from = at;
      }
    }
    const Direction dir = toward(from, position);
    const int use = add_stream(dir, width, from, position, arrival - std::abs(position - from),
                               nest);
    int lane = 0;
    for (const ArrayRef& ref : refs) {
      for (const int slice : slices_read(ref)) {
        const int64_t offset =
            arrival - std::abs(position - position_of(slice)) - latency_mem_read(lanes());
        add_memory(false, ref, slice, offset, nest, ref.step, dir, use, lane++);
      }
    }
    return use;
  }

  // Reads of the array's slices that arrive together at `position` at `arrival`.
  int add_read(const ArrayRef& ref, const TimedNest& nest, int position, int64_t arrival) {
    return add_row_reads({ref}, nest, position, arrival);
  }

  // Writes of a value that leaves `position` at `drive` on stream use `use`.
  void add_write(const ArrayRef& ref, const TimedNest& nest, int position, int64_t drive,
                 Direction dir, int use) {
    const Array& array = program_.arrays[ref.array];
    for (int i = 0; i < array.streams; ++i) {
      const int slice = slice_of(array, i);
      const int at = position_of(slice);
      CHECK(toward(position, at) == dir);
      stencil_.streams[use].to = dir == Direction::East ? std::max(stencil_.streams[use].to, at)
                                                        : std::min(stencil_.streams[use].to, at);
      add_memory(true, ref, slice, drive + std::abs(at - position), nest, ref.step, dir, use,
                 ref.row ? 0 : i);
    }
  }

  void add_port(Port port, int64_t offset, const TimedNest& nest, int vectors) {
    stencil_.ports.push_back({port, offset, nest, vectors});
  }

  // RECV whose vectors leave the port position at `drive`.
  int add_receive(CopySource source, int width, int to, int64_t drive, const TimedNest& nest) {
    const int from = target_.port_position;
    const Direction dir = toward(from, to);
    const int use = add_stream(dir, width, from, to, drive, nest);
    PortRecvInstruction recv;
    recv.count = static_cast<uint32_t>(width);
    recv.out_dirs = dir == Direction::East ? 1 : 2;
    const int64_t issue = drive - latency_port_recv(lanes());
    Part& part = add_part(source == CopySource::Tape ? QueueKind::TapeRecv : QueueKind::KvRecv, 0,
                          issue, nest, recv);
    part.links.push_back({StreamField::Recv, use});
    add_port(source == CopySource::Tape ? Port::Tape : Port::KvIn, issue, nest, width);
    return use;
  }

  void add_send(Port port, int width, int use, int64_t arrival, const TimedNest& nest,
                Direction dir) {
    PortSendInstruction send;
    send.count = static_cast<uint32_t>(width);
    send.dir = dir;
    Part& part = add_part(port == Port::KvOut ? QueueKind::KvSend : QueueKind::HostSend, 0, arrival,
                          nest, send);
    part.links.push_back({StreamField::Send, use});
    add_port(port, arrival, nest, width);
  }

  void set_operand(const Operand& operand, int use, StreamField field, VxmInstruction& pass,
                   std::vector<Part::Link>& links) {
    if (operand.source == OperandSource::None) return;
    const Direction dir = stencil_.streams[use].dir;
    if (field == StreamField::X) {
      pass.x_format = operand.format;
      pass.x_dir = dir;
    } else if (field == StreamField::Y) {
      pass.y_format = operand.format;
      pass.y_dir = dir;
    } else {
      pass.z_format = operand.format;
      pass.z_dir = dir;
    }
    links.push_back({field, use});
  }

  int operand_use(const Operand& operand, const TimedNest& nest, int64_t issue, int mxm_use) {
    const int position = target_.vxm_position;
    switch (operand.source) {
      case OperandSource::None: return -1;
      case OperandSource::Mxm: return mxm_use;
      case OperandSource::Array: return add_read(operand.ref, nest, position, issue);
      case OperandSource::Tape:
      case OperandSource::Kv: {
        const int64_t drive = issue - std::abs(position - target_.port_position);
        return add_receive(operand.source == OperandSource::Tape ? CopySource::Tape
                                                                 : CopySource::Kv,
                           streams_of(operand.format), position, drive, nest);
      }
    }
    return -1;
  }

  static bool same_read(const Operand& a, const Operand& b) {
    return a.source == OperandSource::Array && b.source == OperandSource::Array &&
           a.ref.array == b.ref.array && a.ref.index == b.ref.index && a.ref.step == b.ref.step &&
           a.ref.reg == b.ref.reg && a.ref.slice == b.ref.slice;
  }

  void add_pass(const VxmOperation& op, const TimedNest& nest, int64_t issue, int mxm_use) {
    VxmInstruction pass = op.pass;
    std::vector<Part::Link> links;
    const int x = operand_use(op.x, nest, issue, mxm_use);
    const int y = same_read(op.x, op.y) ? x : operand_use(op.y, nest, issue, mxm_use);
    const int z = operand_use(op.z, nest, issue, mxm_use);
    set_operand(op.x, x, StreamField::X, pass, links);
    set_operand(op.y, y, StreamField::Y, pass, links);
    set_operand(op.z, z, StreamField::Z, pass, links);

    const VxmOffsets at = vxm_offsets(pass, lanes());
    ChainUse chain;
    chain.chain = options_.chain < 0 ? op.chain : options_.chain;
    chain.issue = issue;
    chain.middle = issue + at.middle;
    chain.back = issue + at.back;
    chain.nest = nest;
    if (op.group >= 0) {
      chain.accumulate = issue + at.accumulate;
      chain.group = op.group;
      chain.closes_group = op.closes_group;
      chain.accumulator = op.accumulator;
      chain.accumulator_step = op.accumulator_step;
      pass.acc = static_cast<uint32_t>(op.accumulator);
      pass.acc_s1 = op.accumulator_step[0];
      pass.acc_s2 = op.accumulator_step[1];
      pass.acc_s3 = op.accumulator_step[2];
    }
    if (pass.out_format != VxmOutFormat::None) {
      add_output(op, nest, issue + at.drive, pass, links);
    }
    Part& part = add_part(QueueKind::VxmPass, chain.chain, issue, nest, pass);
    part.links = std::move(links);
    chain.part = static_cast<int>(stencil_.parts.size()) - 1;
    stencil_.chains.push_back(chain);
  }

  void add_output(const VxmOperation& op, const TimedNest& nest, int64_t drive,
                  VxmInstruction& pass, std::vector<Part::Link>& links) {
    TimedNest out = nest;
    if (pass.emit != VxmEmit::Always) {
      const int level = static_cast<int>(pass.emit) - 1;
      drive += (out.count[level] - 1) * out.period[level];
      out.count[level] = 1;
      out.period[level] = 0;
    }
    const int width = streams_of(pass.out_format), position = target_.vxm_position;
    int uses[2] = {-1, -1};
    const auto use_for = [&](int to) {
      const Direction dir = toward(position, to);
      int& use = uses[dir == Direction::West];
      if (use < 0) use = add_stream(dir, width, position, to, drive, out);
      return use;
    };
    for (const ArrayRef& write : op.writes) {
      const int to = position_of(slice_of(program_.arrays[write.array], 0));
      add_write(write, out, position, drive, toward(position, to), use_for(to));
    }
    for (const Port port : {Port::HostOut, Port::KvOut}) {
      if (port == Port::HostOut ? !op.to_host : !op.to_kv) continue;
      const int to = target_.port_position;
      const int use = use_for(to);
      const Direction dir = toward(position, to);
      stencil_.streams[use].to = dir == Direction::East ? std::max(stencil_.streams[use].to, to)
                                                        : std::min(stencil_.streams[use].to, to);
      add_send(port, width, use, drive + std::abs(to - position), out, dir);
    }
    pass.out_dirs = (uses[0] >= 0 ? 1u : 0u) | (uses[1] >= 0 ? 2u : 0u);
    CHECK(pass.out_dirs != 0);
    if (uses[0] >= 0 && uses[1] >= 0) stencil_.streams[uses[0]].twin = uses[1];
    links.push_back({StreamField::VxmOut, uses[0] >= 0 ? uses[0] : uses[1]});
  }

  int port_period(const Operand& operand) const {
    const int rate = operand.source == OperandSource::Tape ? target_.tape_bytes_per_cycle
                     : operand.source == OperandSource::Kv ? target_.kv_bytes_per_cycle
                                                           : 0;
    return rate == 0 ? 1 : ceil_divide(streams_of(operand.format) * lanes(), rate);
  }

  // Periods of a stand-alone pass: dense, except where an accumulator must be ready again or a
  // port is slower.
  TimedNest pass_periods(const VxmOperation& op) const {
    int64_t first = std::max({port_period(op.x), port_period(op.y), port_period(op.z)});
    if (op.to_host) {
      first = std::max<int64_t>(first, ceil_divide(streams_of(op.pass.out_format) * lanes(),
                                                   target_.host_bytes_per_cycle));
    }
    if (op.to_kv) {
      first = std::max<int64_t>(first, ceil_divide(streams_of(op.pass.out_format) * lanes(),
                                                   target_.kv_bytes_per_cycle));
    }
    TimedNest nest;
    nest.count = op.nest.count;
    int64_t period = first;
    for (int level = 0; level < 3; ++level) {
      if (op.group >= 0 && op.accumulator_step[level] == 0 && nest.count[level] > 1) {
        period = std::max<int64_t>(period, latency_vxm_add(lanes()));
      }
      if (level == 1 && nest.count[1] > 1) period = std::max<int64_t>(period, options_.pass_period);
      nest.period[level] = nest.count[level] > 1 ? period : 0;
      period *= nest.count[level];
    }
    return nest;
  }

  void add(const VxmOperation& op) { add_pass(op, pass_periods(op), 0, -1); }

  // Cycles that a tile must take at least, so that consumers find their accumulators ready again when the next
  // window comes.
  int64_t accumulator_period(const MatmulOperation& op) const {
    const bool again = std::any_of(
        op.consumers.begin(), op.consumers.end(), [](const VxmOperation& consumer) {
          return consumer.group >= 0 && consumer.accumulator_step[1] == 0;
        });
    return again && op.windows > 1 ? ceil_divide(latency_vxm_add(lanes()), op.tiles) : 1;
  }

  // The base is the first MAC.
  void add(const MatmulOperation& op) {
    const int position = target_.mxm_positions[op.mxm];
    const int steps = tile_load_steps(op, target_);
    const bool tape = op.source == TileSource::Tape;
    const int64_t step_period = tape ? options_.tape_load_period : 1;
    const int64_t load_span = (steps - 1) * step_period + 1;
    const int64_t tile_period =
        std::max({steps * step_period, int64_t{op.activations}, accumulator_period(op), int64_t{op.tile_cycles}});
    const int64_t window_period = tile_period * op.tiles;
    const auto periods = [&](int first, int64_t period) {
      TimedNest nest;
      nest.count = {first, op.tiles, op.windows * op.repeats};
      nest.period = {first > 1 ? period : 0, op.tiles > 1 ? tile_period : 0,
                     op.windows * op.repeats > 1 ? window_period : 0};
      return nest;
    };
    // The third level of what walks arrays is the window or, if windows are gone through again, the repeat.
    const auto outputs = [&](TimedNest nest) {
      if (op.repeats == 1) return nest;
      nest.count = {nest.count[0], op.tiles * op.windows, op.repeats};
      nest.period[1] = op.tiles * op.windows > 1 ? tile_period : 0;
      nest.period[2] = window_period * op.windows;
      return nest;
    };
    const TimedNest loads = outputs(periods(steps, step_period));
    const TimedNest macs = periods(op.activations, 1);

    add_tile_loads(op, loads, -load_span, position);

    const int activation = add_read(op.activation, outputs(macs), position, 0);
    MxmMacInstruction mac;
    mac.dir = stencil_.streams[activation].dir;
    mac.swap = op.activations > 1 ? MxmMacSwap::Level1 : MxmMacSwap::Always;
    mac.clear = op.tiles > 1 ? MxmMacClear::Level2 : MxmMacClear::Always;
    mac.emit = op.tiles > 1 ? MxmMacEmit::Level2 : MxmMacEmit::Always;
    mac.acc_s1 = op.activations > 1 ? 1 : 0;

    const int64_t drive = (op.tiles - 1) * tile_period + latency_mxm_mac(lanes());
    TimedNest sums;
    sums.count = {op.activations, op.windows, 1};
    sums.period = {macs.period[0], macs.period[2], 0};
    const bool stored = op.sums.array >= 0;
    const int to = stored ? position_of(slice_of(program_.arrays[op.sums.array], 0))
                          : target_.vxm_position;
    const Direction out = toward(position, to);
    if (stored) {
      sums.count = {op.activations, op.windows, op.repeats};
      sums.period[1] = op.windows > 1 ? window_period : 0;
      sums.period[2] = op.repeats > 1 ? window_period * op.windows : 0;
    }
    const int sum_use = add_stream(out, 4, position, to, drive, sums);
    if (stored) add_write(op.sums, sums, position, drive, out, sum_use);
    mac.out_dir = out;
    Part& part = add_part(QueueKind::MxmMac, op.mxm, 0, macs, mac);
    part.links.push_back({StreamField::Mac, activation});
    part.links.push_back({StreamField::MacOut, sum_use});

    CHECK(stored ? op.consumers.empty() : op.repeats == 1);
    int offset = 0;
    for (const VxmOperation& consumer : op.consumers) {
      TimedNest nest = sums;
      nest.count[0] = consumer.nest.count[0];
      if (nest.count[0] == 1) nest.period[0] = 0;
      CHECK(consumer.nest.count[1] == op.windows);
      add_pass(consumer, nest, drive + std::abs(position - target_.vxm_position) + offset, sum_use);
      offset += nest.count[0];
    }
    CHECK(stored || offset == op.activations);

    stencil_.mxm = op.mxm;
    stencil_.first_load = -load_span;
    stencil_.last_load = -load_span + loads.span();
    stencil_.first_mac = 0;
    stencil_.last_mac = macs.span();
    stencil_.last_swap =
        (op.tiles - 1) * tile_period + (op.windows * op.repeats - 1) * window_period;
  }

  void add_tile_loads(const MatmulOperation& op, const TimedNest& nest, int64_t arrival,
                      int position) {
    const int width = target_.mxm_load_streams;
    MxmLoadInstruction load;
    load.format = op.format;
    load.orientation = op.orientation;
    const int weights_per_byte = op.format == MxmLoadFormat::Int8   ? 1
                                 : op.format == MxmLoadFormat::Int4 ? 2
                                                                    : 4;
    load.row_s1 = nest.count[0] > 1 ? width * weights_per_byte : 0;
    int use = -1;
    if (op.source == TileSource::Tape) {
      use = add_receive(CopySource::Tape, width, position,
                        arrival - std::abs(position - target_.port_position), nest);
    } else {
      use = add_row_reads(op.rows, nest, position, arrival);
      CHECK(stencil_.streams[use].width == width);
    }
    load.dir = stencil_.streams[use].dir;
    Part& part = add_part(QueueKind::MxmLoad, op.mxm, arrival, nest, load);
    part.links.push_back({StreamField::Load, use});
  }

  void add(const CopyInOperation& op) {
    const Array& array = program_.arrays[op.destination.array];
    const int rate = op.source == CopySource::Tape ? target_.tape_bytes_per_cycle
                                                   : target_.kv_bytes_per_cycle;
    TimedNest nest;
    nest.count = op.nest.count;
    int64_t period = ceil_divide(array.streams * lanes(), rate);
    for (int level = 0; level < 3; ++level) {
      nest.period[level] = nest.count[level] > 1 ? period : 0;
      period *= nest.count[level];
    }
    const int to = position_of(slice_of(array, 0));
    const int64_t drive = latency_port_recv(lanes());
    const int use = add_receive(op.source, array.streams, to, drive, nest);
    add_write(op.destination, nest, target_.port_position, drive,
              toward(target_.port_position, to), use);
  }

  void add(const CopyOutOperation& op) {
    const Array& array = program_.arrays[op.source.array];
    TimedNest nest;
    nest.count = op.nest.count;
    int64_t period = ceil_divide(array.streams * lanes(), target_.kv_bytes_per_cycle);
    for (int level = 0; level < 3; ++level) {
      nest.period[level] = nest.count[level] > 1 ? period : 0;
      period *= nest.count[level];
    }
    const int use = add_read(op.source, nest, target_.port_position, 0);
    add_send(Port::KvOut, array.streams, use, 0, nest, stencil_.streams[use].dir);
  }

  void add(const SxmOperation& op) {
    const Array& source = program_.arrays[op.source.array];
    const int home = position_of(slice_of(source, 0));
    int unit = 0;
    for (size_t i = 0; i < target_.sxm_positions.size(); ++i) {
      if (std::abs(target_.sxm_positions[i] - home) <
          std::abs(target_.sxm_positions[unit] - home)) {
        unit = static_cast<int>(i);
      }
    }
    const int position = target_.sxm_positions[unit];
    TimedNest nest;
    nest.count = op.nest.count;
    int64_t period = 1;
    for (int level = 0; level < 3; ++level) {
      nest.period[level] = nest.count[level] > 1 ? period : 0;
      period *= nest.count[level];
    }
    const int in = add_read(op.source, nest, position, 0);
    SxmInstruction move = op.move;
    move.dir = stencil_.streams[in].dir;
    move.width = source.streams == 1   ? SxmWidth::W1
                 : source.streams == 2 ? SxmWidth::W2
                                       : SxmWidth::W4;
    const int to = position_of(slice_of(program_.arrays[op.destination.array], 0));
    const Direction dir = toward(position, to);
    move.out_dirs = dir == Direction::East ? 1 : 2;
    const int64_t drive = latency_sxm(lanes());
    const int out = add_stream(dir, source.streams, position, to, drive, nest);
    add_write(op.destination, nest, position, drive, dir, out);
    Part& part = add_part(QueueKind::SxmMove, unit, 0, nest, move);
    part.links.push_back({StreamField::Sxm, in});
    part.links.push_back({StreamField::SxmOut, out});
    stencil_.sxm = unit;
    stencil_.sxm_nest = nest;
  }

  const VectorProgram& program_;
  const Target& target_;
  StencilOptions options_;
  std::vector<std::array<int, 4>> homes_;
  Stencil stencil_;
};

}  // namespace

int tile_load_steps(const MatmulOperation& operation, const Target& target) {
  const int weights_per_byte = operation.format == MxmLoadFormat::Int8   ? 1
                               : operation.format == MxmLoadFormat::Int4 ? 2
                                                                         : 4;
  return ceil_divide(target.lanes, target.mxm_load_streams * weights_per_byte);
}

int sustained_load_period(const Target& target) {
  return std::max(1, ceil_divide(target.mxm_load_streams * target.lanes,
                                 target.tape_bytes_per_cycle));
}

Stencil build_stencil(const VectorProgram& program, const VectorOperation& operation,
                      const Target& target, const StencilOptions& options) {
  return Builder(program, target, options).build(operation);
}

}  // namespace pianola
