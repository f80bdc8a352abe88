// What the units do but the VXM: MEM, MXM, SXM and PORT.
#include "emulator/naive_machine.h"

#include <algorithm>
#include <cstdlib>

namespace pianola::naive {
namespace {

// Weight `index` of a byte of `per_byte` weights.
int8_t weight_of(uint8_t byte, int per_byte, int index) {
  if (per_byte == 1) return static_cast<int8_t>(byte);
  if (per_byte == 2) {
    const int nibble = byte >> (4 * index) & 15;
    return static_cast<int8_t>(nibble >= 8 ? nibble - 16 : nibble);
  }
  const int pair = byte >> (2 * index) & 3;
  return pair == 1 ? 1 : pair == 3 ? -1 : 0;
}

}  // namespace

// Section 4: MEM.

std::optional<size_t> Machine::checked_address(int64_t address) {
  if (address < 0 || address >= target_.words_per_slice) {
    fault(Rule::AddressRange, "word address " + std::to_string(address));
    return std::nullopt;
  }
  return static_cast<size_t>(address);
}

void Machine::execute(const MemInstruction& x, const Iteration& it, const QueueInfo& info) {
  int64_t address = static_cast<int64_t>(x.address) + static_cast<int64_t>(it.i1) * x.s1 +
                    static_cast<int64_t>(it.i2) * x.s2 + static_cast<int64_t>(it.i3) * x.s3 +
                    static_cast<int64_t>(launch_register(x.reg));
  if (x.stream >= static_cast<uint32_t>(target_.streams)) {
    return fault(Rule::IllegalEncoding, "stream " + std::to_string(x.stream));
  }
  if (x.rows == 0 && x.row > 0) return fault(Rule::IllegalEncoding, "a row without rows");
  if (x.rows > 0) return write_row(x, it, info);
  const uint32_t stream = (x.stream + info.slice) % target_.streams;
  Bytes& words = memory_.words[info.unit];
  Bytes& written = memory_.written[info.unit];
  const size_t bank_words = static_cast<size_t>(target_.words_per_slice) / 2;
  if (x.op == MemOp::Read || x.op == MemOp::Gather) {
    if (x.op == MemOp::Gather) {
      const uint32_t low = read_stream(info.position, x.index_dir, x.index_stream)[0];
      const uint32_t high = read_stream(info.position, x.index_dir, x.index_stream + 1)[0];
      address += std::min(low | high << 8, x.limit);
    }
    const std::optional<size_t> word = checked_address(address);
    if (!word) return;
    if (written[*word] == 0) {
      fault(Rule::MemoryUndefined, "word " + std::to_string(*word) + " was never written");
    }
    read_banks_[info.unit] = *word / bank_words;
    const auto begin = words.begin() + *word * lanes_;
    drive_at(cycle_ + latency_mem_read(lanes_), info.position, x.dir, stream,
             Bytes(begin, begin + lanes_), true);
    return;
  }
  const Bytes value = read_stream(info.position, x.dir, stream);
  uint64_t lane = 0;
  if (x.op == MemOp::WriteLane) {
    lane = static_cast<uint64_t>(launch_register(x.lane_reg)) + x.lane +
           static_cast<uint64_t>(it.i1) * x.lane_step;
    if (lane >= static_cast<uint64_t>(lanes_)) {
      lane -= lanes_;
      ++address;
    }
    if (lane >= static_cast<uint64_t>(lanes_)) return fault(Rule::AddressRange, "lane");
  }
  const std::optional<size_t> word = checked_address(address);
  if (!word) return;
  take_bank_to_write(info.unit, *word);
  written[*word] = 1;
  if (x.op == MemOp::WriteLane) {
    words[*word * lanes_ + lane] = value[lane];
  } else {
    std::copy(value.begin(), value.end(), words.begin() + *word * lanes_);
  }
}

void Machine::take_bank_to_write(int unit, size_t word) {
  const size_t bank_words = static_cast<size_t>(target_.words_per_slice) / 2;
  const auto reading = read_banks_.find(unit);
  if (reading != read_banks_.end() && reading->second == word / bank_words) {
    fault(Rule::BankConflict, "slice " + std::to_string(unit));
  }
}

void Machine::write_row(const MemInstruction& x, const Iteration& it, const QueueInfo& info) {
  const Bytes value = read_stream(info.position, x.dir, x.stream);
  const int64_t n = static_cast<int64_t>(x.row) + static_cast<int64_t>(it.i1) * x.s1 +
                    static_cast<int64_t>(it.i2) * x.s2 + static_cast<int64_t>(it.i3) * x.s3 +
                    static_cast<int64_t>(launch_register(x.reg));
  if (n < 0) return fault(Rule::AddressRange, "row " + std::to_string(n));
  const int64_t slices = x.rows == 1 ? 2 : x.rows == 2 ? 4 : 8;
  const std::optional<size_t> word = checked_address(static_cast<int64_t>(x.address) + n / slices);
  if (!word) return;
  take_bank_to_write(info.unit, *word);
  if (info.slice % slices != n % slices) return;
  memory_.written[info.unit][*word] = 1;
  std::copy(value.begin(), value.end(), memory_.words[info.unit].begin() + *word * lanes_);
}

// Section 5: MXM.

void Machine::execute(const MxmLoadInstruction& x, const Iteration& it, const QueueInfo& info) {
  Mxm& mxm = mxms_[info.unit];
  const int per_byte = 1 << static_cast<int>(x.format);
  const int64_t first = static_cast<int64_t>(x.row) + static_cast<int64_t>(it.i1) * x.row_s1 +
                        static_cast<int64_t>(it.i2) * x.row_s2 +
                        static_cast<int64_t>(it.i3) * x.row_s3;
  for (int i = 0; i < target_.mxm_load_streams; ++i) {
    const int64_t row = first + static_cast<int64_t>(i) * per_byte;
    if (row >= lanes_) continue;
    if (row < 0 || row + per_byte > lanes_) return fault(Rule::AddressRange, "tile row");
    const Bytes value = read_stream(info.position, x.dir, x.stream + i);
    for (int w = 0; w < per_byte; ++w) {
      for (int lane = 0; lane < lanes_; ++lane) {
        const int8_t weight = weight_of(value[lane], per_byte, w);
        if (x.orientation == MxmLoadOrientation::Output) {
          mxm.shadow[(row + w) * lanes_ + lane] = weight;
        } else {
          mxm.shadow[lane * lanes_ + row + w] = weight;
        }
      }
      mxm.row_loaded[row + w] = true;
    }
  }
}

void Machine::execute(const MxmMacInstruction& x, const Iteration& it, const QueueInfo& info) {
  Mxm& mxm = mxms_[info.unit];
  const bool swaps = x.swap == MxmMacSwap::Always || (x.swap == MxmMacSwap::Level1 && it.i1 == 0);
  const bool clears =
      x.clear == MxmMacClear::Always || (x.clear == MxmMacClear::Level2 && it.i2 == 0);
  const bool emits =
      x.emit == MxmMacEmit::Always || (x.emit == MxmMacEmit::Level2 && it.i2 == x.timing.n2);
  const Bytes activation = read_stream(info.position, x.dir, x.stream);
  if (swaps) {
    if (std::count(mxm.row_loaded.begin(), mxm.row_loaded.end(), false) != 0) {
      fault(Rule::TileIncomplete, "rows of the shadow tile are missing");
    }
    mxm.installed = mxm.shadow;
    mxm.has_tile = true;
    mxm.row_loaded.assign(lanes_, false);
  }
  if (!mxm.has_tile) return fault(Rule::AccumulatorUndefined, "no tile is installed");
  const int64_t a = static_cast<int64_t>(x.acc) + static_cast<int64_t>(it.i1) * x.acc_s1 +
                    static_cast<int64_t>(it.i2) * x.acc_s2 + static_cast<int64_t>(it.i3) * x.acc_s3;
  if (a < 0 || a >= target_.mxm_accumulators) return fault(Rule::AddressRange, "accumulator");
  if (!clears && !mxm.defined[a]) {
    fault(Rule::AccumulatorUndefined, "accumulator " + std::to_string(a));
  }
  mxm.defined[a] = true;
  for (int o = 0; o < lanes_; ++o) {
    int32_t sum = 0;
    for (int k = 0; k < lanes_; ++k) {
      sum += mxm.installed[o * lanes_ + k] * static_cast<int8_t>(activation[k]);
    }
    const uint32_t before = clears ? 0u : static_cast<uint32_t>(mxm.accumulators[a][o]);
    mxm.accumulators[a][o] = static_cast<int32_t>(before + static_cast<uint32_t>(sum));
  }
  if (!emits) return;
  if (x.out_stream % 4 != 0) fault(Rule::IllegalEncoding, "out_stream is not a multiple of 4");
  for (int b = 0; b < 4; ++b) {
    Bytes bytes(lanes_);
    for (int o = 0; o < lanes_; ++o) {
      bytes[o] = static_cast<uint8_t>(static_cast<uint32_t>(mxm.accumulators[a][o]) >> (8 * b));
    }
    drive_at(cycle_ + latency_mxm_mac(lanes_), info.position, x.out_dir, x.out_stream + b,
             std::move(bytes));
  }
}

// Section 7: SXM.

void Machine::execute(const SxmInstruction& x, const Iteration& it, const QueueInfo& info) {
  const int width = 1 << static_cast<int>(x.width);
  const int64_t amount = x.amount + static_cast<int64_t>(it.i1) * x.amount_s1;
  const int segment = segment_lanes(x.segment, lanes_);
  if (lanes_ % segment != 0) return fault(Rule::IllegalEncoding, "segment");
  const bool moves = x.op == SxmOp::Shift || x.op == SxmOp::Rotate;
  if (moves && std::abs(amount) >= segment) return fault(Rule::AddressRange, "amount");
  if (x.op == SxmOp::Distribute && (amount < 0 || amount >= lanes_)) {
    return fault(Rule::AddressRange, "lane");
  }
  if (x.op == SxmOp::TransposeIn || x.op == SxmOp::TransposeOut) {
    return transpose(x, amount, info);
  }
  if (x.stream % width != 0 || x.out_stream % width != 0) {
    return fault(Rule::IllegalEncoding, "streams are not aligned");
  }
  Bytes index;
  if (x.op == SxmOp::Permute) index = read_stream(info.position, x.index_dir, x.index_stream);
  for (int b = 0; b < width; ++b) {
    const Bytes value = read_stream(info.position, x.dir, x.stream + b);
    Bytes out(lanes_, 0);
    for (int i = 0; i < lanes_; ++i) {
      const int first = i / segment * segment;
      const int64_t from = i - first + amount;
      if (x.op == SxmOp::Shift && from >= 0 && from < segment) out[i] = value[first + from];
      if (x.op == SxmOp::Rotate) out[i] = value[first + (from + segment) % segment];
      if (x.op == SxmOp::Permute) out[i] = value[index[i] % lanes_];
      if (x.op == SxmOp::Distribute) out[i] = value[amount];
    }
    drive_both(cycle_ + latency_sxm(lanes_), info.position, x.out_dirs, x.out_stream + b, out);
  }
}

void Machine::transpose(const SxmInstruction& x, int64_t amount, const QueueInfo& info) {
  Sxm& sxm = sxms_[info.unit];
  const int rows = static_cast<int>(sxm.rows.size());
  if (x.width != SxmWidth::W1) return fault(Rule::IllegalEncoding, "width");
  if (amount < 0 || amount >= rows) return fault(Rule::AddressRange, "row or column");
  if (x.op == SxmOp::TransposeIn) {
    sxm.rows[amount] = read_stream(info.position, x.dir, x.stream);
    sxm.written[amount] = true;
    return;
  }
  if (std::count(sxm.written.begin(), sxm.written.end(), false) != 0) {
    return fault(Rule::AccumulatorUndefined, "rows of the transpose buffer are missing");
  }
  Bytes out(lanes_);
  for (int i = 0; i < lanes_; ++i) out[i] = sxm.rows[i % rows][i / rows * rows + amount];
  drive_both(cycle_ + latency_sxm(lanes_), info.position, x.out_dirs, x.out_stream, out);
}

// Section 8: PORT.

std::optional<Bytes> Machine::receive(QueueKind kind) {
  const std::byte* from = nullptr;
  if (kind == QueueKind::TapeRecv && tape_taken_ < tape_.size()) {
    from = roll_.data.data() + tape_[tape_taken_++] * lanes_;
  }
  if (kind == QueueKind::KvRecv && kv_taken_ < kv_read_.size()) {
    from = kv_.data() + kv_read_[kv_taken_++] * lanes_;
  }
  if (kind == QueueKind::HostRecv && (host_taken_ + 1) * lanes_ <= request_.host_input.size()) {
    from = request_.host_input.data() + lanes_ * host_taken_++;
  }
  if (from == nullptr) {
    fault(Rule::PortExhausted, "RECV beyond the end of the port's data");
    return std::nullopt;
  }
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(from);
  return Bytes(bytes, bytes + lanes_);
}

void Machine::check_count(uint32_t count) {
  if (count < 1 || count > static_cast<uint32_t>(target_.port_width_vectors)) {
    fault(Rule::IllegalEncoding, "count");
  }
}

void Machine::execute(const PortRecvInstruction& x, const Iteration&, const QueueInfo& info) {
  check_count(x.count);
  for (uint32_t i = 0; i < x.count && !fault_; ++i) {
    const std::optional<Bytes> value = receive(info.kind);
    if (!value) return;
    drive_both(cycle_ + latency_port_recv(lanes_), info.position, x.out_dirs, x.out_stream + i,
               *value);
  }
}

void Machine::execute(const PortSendInstruction& x, const Iteration&, const QueueInfo& info) {
  check_count(x.count);
  for (uint32_t i = 0; i < x.count && !fault_; ++i) {
    const Bytes value = read_stream(info.position, x.dir, x.stream + i);
    if (info.kind == QueueKind::KvSend) {
      if (kv_sent_.size() >= kv_write_.size()) return fault(Rule::PortExhausted, "kv.send");
      kv_sent_.push_back(value);
    } else {
      if (host_output_.size() >= static_cast<size_t>(entry_.host_send_vectors) * lanes_) {
        return fault(Rule::PortExhausted, "host.send");
      }
      const std::byte* bytes = reinterpret_cast<const std::byte*>(value.data());
      host_output_.insert(host_output_.end(), bytes, bytes + lanes_);
    }
  }
}

}  // namespace pianola::naive
