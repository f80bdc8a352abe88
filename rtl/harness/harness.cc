// The Verilated core behind rtl_abi.h: clocking, ideal memory, comparison of drives, faults,
// injection and waveforms. Compiled with the model into one shared library; target_config.h holds
// the numbers of the target and is written beside the model.
#include "rtl_abi.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "Vcore.h"
#include "Vcore___024root.h"
#include "target_config.h"
#include "verilated.h"
#include "verilated_sym_props.h"
#include "verilated_syms.h"
#if VM_TRACE
#include "verilated_fst_c.h"
#endif

// Verilator's evaluation of all combinational logic from the state, as at the beginning of time.
void Vcore___024root___eval_settle(Vcore___024root* root) __attribute__((weak));

namespace {

using target_config::kLanes;

// Bytes of one vector in an unpacked array of the model.
constexpr size_t vector_stride() {
  return kLanes <= 1 ? 1 : kLanes <= 2 ? 2 : kLanes <= 4 ? 4 : kLanes <= 8 ? 8 : (kLanes + 3) / 4 * 4;
}

// The drivers of all positions, as signals of the model: position p has kMaxDrivers words
// {count 4 bits, stream 6, directions 2} of 16 bits, and kMaxVectors vectors. In the simulation form
// MEM drives from its banks: read_count[n % 4] words of read_at and read_to {position 8 bits, stream 6,
// directions 2} are the reads that issued in cycle n and drive in cycle n + 2 (memory_row_simulation.svh).
struct DriveSignals {
  const uint8_t* valid = nullptr;
  const uint8_t* words = nullptr;
  const uint8_t* data = nullptr;
  const uint8_t* banks = nullptr;
  const uint32_t* read_count = nullptr;
  const uint32_t* read_at = nullptr;
  const uint16_t* read_to = nullptr;
  size_t reads_max = 0;  // of one cycle
};

constexpr uint32_t greatest(bool of_vectors) {
  uint32_t most = 0;
  for (uint32_t p = 0; p < target_config::kPositions; ++p) {
    const uint32_t drivers = target_config::kDrivers[p];
    most = std::max(most, of_vectors ? drivers * target_config::kDriveWidth[p] : drivers);
  }
  return most;
}
constexpr uint32_t kMaxDrivers = greatest(false), kMaxVectors = greatest(true);

struct StateVariable {
  std::string name;
  uint8_t* bytes = nullptr;
  uint64_t bits = 0;      // of one element
  uint64_t elements = 1;
  uint64_t stride = 0;
  uint32_t state_class = 0;
};

uint32_t read_bits(const uint8_t* bytes, uint32_t lsb, uint32_t width) {
  uint32_t value = 0;
  for (uint32_t i = 0; i < width; ++i) {
    value |= static_cast<uint32_t>((bytes[(lsb + i) / 8] >> ((lsb + i) % 8)) & 1) << i;
  }
  return value;
}

uint64_t next_random(uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;
  uint64_t x = state;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

std::string indexed(const char* name, uint32_t index) {
  return std::string(name) + "__BRA__" + std::to_string(index) + "__KET__";
}

// Bytes a memory may move: a bucket that the rate fills and that never holds more than the vectors
// that the port takes at one edge.
struct Rate {
  uint64_t per_edge = 0, unit = 1, held = 0;
  uint64_t capacity = (per_edge + unit - 1) / unit * unit;
  uint32_t most() {
    held = std::min(held + per_edge, capacity);
    uint32_t n = 0;
    for (uint64_t bytes = unit; bytes <= held; bytes += unit) ++n;
    return n;
  }
  void take(uint32_t n) { held -= n * unit; }
};

// The memory that tape, KV and words share, if they do: what an edge moves beyond the rate is missing at
// the next one. Whoever asks first is served first.
struct SharedRate {
  int64_t per_edge = 0, left = 0;  // in bytes by beats: a machine cycle has kBeats edges
  void next_edge() { left = left + per_edge < per_edge ? left + per_edge : per_edge; }
  uint32_t most(uint32_t wanted, uint32_t unit) const {
    if (per_edge == 0) return wanted;
    if (left <= 0) return 0;
    const int64_t whole = int64_t{unit} * target_config::kBeats;
    return static_cast<uint32_t>(std::min<int64_t>(wanted, (left + whole - 1) / whole));
  }
  void take(uint32_t n, uint32_t unit) { left -= int64_t{n} * unit * target_config::kBeats; }
};

}  // namespace

struct PianolaRtlModel {
  VerilatedContext context;
  std::unique_ptr<Vcore> top;
  std::vector<uint8_t*> banks[2];     // by slice
  // By slice: where words lie in parts (mem_slice_beats), a memory per lane of a part; else none.
  std::vector<std::vector<uint8_t*>> parts;
  std::vector<uint8_t*> written;      // by slice; empty without checks
  DriveSignals drives;
  std::vector<StateVariable> state;
#if VM_TRACE
  std::unique_ptr<VerilatedFstC> trace;
#endif
  bool tracing = false;
  uint64_t time = 0;

  PianolaRtlModel() {
    top = std::make_unique<Vcore>(&context, "TOP");
#if VM_TRACE
    context.traceEverOn(true);
#endif
    find_signals();
    top->clk_i = 0;
    top->rst_ni = 0;
    top->eval();
    tick();
    tick();
    top->rst_ni = 1;
    tick();
  }

  // One clock cycle.
  void tick() {
    top->clk_i = 1;
    top->eval();
    dump();
    top->clk_i = 0;
    top->eval();
    dump();
  }
  void dump() {
    ++time;
#if VM_TRACE
    if (tracing) trace->dump(time);
#endif
  }

  VerilatedVar* find(const std::string& scope, const char* name) {
    const VerilatedScope* found = context.scopeFind(("TOP.core" + scope).c_str());
    return found ? found->varFind(name) : nullptr;
  }
  uint8_t* find_bytes(const std::string& scope, const char* name) {
    VerilatedVar* variable = find(scope, name);
    return variable ? static_cast<uint8_t*>(variable->datap()) : nullptr;
  }

  void find_signals();
  bool is_written(const StateVariable& variable, uint64_t element) const;
  bool is_defined(const StateVariable& variable, uint64_t bit);
  void flip_bit(const PianolaRtlLaunch& launch, PianolaRtlResult& result);
  void launch(const PianolaRtlLaunch& launch, PianolaRtlResult& result);
};

void PianolaRtlModel::find_signals() {
  // All banks in one memory, or every slice with its own two.
  uint8_t* const all_banks = find_bytes(".u_row", "banks");
  uint8_t* const all_written = find_bytes(".u_row", "written");
  const std::string drivers = all_banks ? "" : ".u_row";
  drives.valid = find_bytes(drivers, "all_valid");
  drives.words = find_bytes(drivers, "all_drives");
  // Whole vectors, put together where a cycle takes several beats.
  const VerilatedVar* collected = find(drivers, "all_vectors");
  const bool beats = collected && collected->packed().elements() > 1;
  drives.data = find_bytes(drivers, beats ? "all_vectors" : "all_data");
  if (all_banks) {
    drives.banks = all_banks;
    drives.read_count = reinterpret_cast<uint32_t*>(find_bytes(".u_row", "read_count"));
    drives.read_at = reinterpret_cast<uint32_t*>(find_bytes(".u_row", "read_at"));
    drives.read_to = reinterpret_cast<uint16_t*>(find_bytes(".u_row", "read_to"));
    drives.reads_max = static_cast<size_t>(find(".u_row", "read_at")->unpacked().elements()) / 4;
  }
  size_t first = 0;
  for (uint32_t p = 0; p < target_config::kPositions; ++p) {
    if (!target_config::kIsMem[p]) continue;
    const std::string mem = ".u_row." + indexed("gen_position", p) + ".gen_mem.u_mem";
    for (uint32_t k = 0; k < target_config::kSlicesPerPosition; ++k) {
      if (all_banks) {
        banks[0].push_back(all_banks + first * vector_stride());
        banks[1].push_back(banks[0].back() + target_config::kWrittenBits / 2 * vector_stride());
        if (all_written) written.push_back(all_written + first);
        first += target_config::kWrittenBits;
        continue;
      }
      const std::string in_turn = mem + ".gen_in_turn.u_position.";
      const std::string lanes = in_turn + indexed("gen_slice", k) + ".u_slice.";
      std::vector<uint8_t*> memories;
      while (uint8_t* memory = find_bytes(
                 lanes + indexed("gen_lane", static_cast<uint32_t>(memories.size())) + ".u_words",
                 "mem")) {
        memories.push_back(memory);
      }
      if (!memories.empty()) {
        parts.push_back(memories);
        const std::string bits = in_turn + "gen_checks." + indexed("gen_written", k);
        if (uint8_t* found = find_bytes(bits, "written")) written.push_back(found);
        continue;
      }
      const std::string slice = mem + ".gen_at_once." + indexed("gen_slice", k) + ".u_slice";
      banks[0].push_back(find_bytes(slice + ".u_bank0", "mem"));
      banks[1].push_back(find_bytes(slice + ".u_bank1", "mem"));
      if (uint8_t* bits = find_bytes(slice + ".gen_checks", "written")) written.push_back(bits);
    }
  }
  // State that a fault injection may hit, in an order that does not depend on addresses. It is
  // public for reading only: for signals that the outside may write, Verilator evaluates all that
  // depends on them once more in each cycle.
  for (const auto& [scope_name, scope] : *context.scopeNameMap()) {
    if (!scope->varsp()) continue;
    for (const auto& [name, variable] : *scope->varsp()) {
      const std::string_view text = name;
      // Not what the machine holds, but what the model notes of it.
      const bool note = text == "written" || text.starts_with("all_") || text.starts_with("read_");
      if (variable.isParam() || note) continue;
      StateVariable entry;
      entry.name = std::string(scope_name) + "." + name;
      entry.bytes = static_cast<uint8_t*>(variable.datap());
      entry.bits = static_cast<uint64_t>(variable.packed().elements());
      if (variable.udims() > 0) entry.elements = static_cast<uint64_t>(variable.unpacked().elements());
      entry.stride = entry.bits <= 8    ? 1
                     : entry.bits <= 16 ? 2
                     : entry.bits <= 32 ? 4
                     : entry.bits <= 64 ? 8
                                        : (entry.bits + 31) / 32 * 4;
      const std::string_view scope_text = scope_name;
      const auto lies_in = [&](const char* part) {
        return scope_text.find(part) != std::string_view::npos;
      };
      entry.state_class = text == "east_q" || text == "west_q"   ? PIANOLA_RTL_STATE_STREAM
                          : lies_in("u_bank") || text == "banks" ? PIANOLA_RTL_STATE_MEM
                          : lies_in("queue") || lies_in("u_sequencer") || text.starts_with("queue_")
                              ? PIANOLA_RTL_STATE_SEQUENCER
                              : PIANOLA_RTL_STATE_OTHER;
      state.push_back(std::move(entry));
    }
  }
  std::sort(state.begin(), state.end(),
            [](const StateVariable& a, const StateVariable& b) { return a.name < b.name; });
}

// False for words of MEM that nothing has written: most of them, and flips there tell nothing.
bool PianolaRtlModel::is_written(const StateVariable& variable, uint64_t element) const {
  const uint8_t* byte = variable.bytes + element * variable.stride;
  constexpr size_t bank_bytes = target_config::kWordsPerSlice / 2 * vector_stride();
  for (size_t slice = 0; slice < written.size(); ++slice) {
    for (uint64_t bank = 0; bank < 2; ++bank) {
      if (byte < banks[bank][slice] || byte >= banks[bank][slice] + bank_bytes) continue;
      const uint64_t word = static_cast<uint64_t>(byte - banks[bank][slice]) / vector_stride();
      return written[slice][bank * (target_config::kWrittenBits / 2) + word] != 0;
    }
  }
  return written.empty() || variable.state_class != PIANOLA_RTL_STATE_MEM;
}

// False for bits of the store of streams (memory_row_simulation.svh) that no position sees as a value.
bool PianolaRtlModel::is_defined(const StateVariable& variable, uint64_t bit) {
  const bool east = variable.name == "TOP.core.u_row.east_q";
  if (!drives.banks || (!east && variable.name != "TOP.core.u_row.west_q")) return true;
  using namespace target_config;
  constexpr uint32_t rows = std::bit_ceil(kPositions), pitch = std::bit_ceil(kLanes) * 8;
  if (bit % pitch >= kLanes * 8) return false;
  const auto vector = static_cast<uint32_t>(bit / pitch);
  const uint32_t plane = vector % 2, stream = vector / 2 % kStreams, row = vector / 2 / kStreams;
  const auto now = static_cast<uint32_t>(top->cycle_o % rows);
  const uint32_t position = (east ? row + now : row + rows - now) % rows;
  if (position >= kPositions) return false;
  const auto has = [&](const char* name) {
    const size_t bytes = kStreams <= 8 ? 1 : kStreams <= 16 ? 2 : kStreams <= 32 ? 4 : 8;
    return read_bits(find_bytes(".u_row", name) + row * bytes, stream, 1);
  };
  return has(east ? "east_defined" : "west_defined") &&
         has(east ? "east_plane" : "west_plane") == plane;
}

void PianolaRtlModel::flip_bit(const PianolaRtlLaunch& launch, PianolaRtlResult& result) {
  // A class first, then a variable: there are many more queues than streams.
  uint32_t classes = 0;
  for (const StateVariable& variable : state) {
    classes |= variable.state_class & launch.inject_classes;
  }
  if (classes == 0) return;
  uint64_t random = launch.inject_seed;
  for (uint64_t skip = next_random(random) % std::popcount(classes); skip > 0; --skip) {
    classes &= classes - 1;
  }
  std::vector<const StateVariable*> candidates;
  for (const StateVariable& variable : state) {
    if (variable.state_class == (classes & -classes)) candidates.push_back(&variable);
  }
  const StateVariable* found = nullptr;
  uint64_t element = 0, bit = 0;
  for (int tries = 0; tries < 4096; ++tries) {
    found = candidates[next_random(random) % candidates.size()];
    element = next_random(random) % found->elements;
    bit = next_random(random) % found->bits;
    if (is_written(*found, element) && is_defined(*found, bit)) break;
  }
  const StateVariable& hit = *found;
  hit.bytes[element * hit.stride + bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
  if (&Vcore___024root___eval_settle) Vcore___024root___eval_settle(top->rootp);
  std::snprintf(result.injected, sizeof result.injected, "%s[%llu] bit %llu", hit.name.c_str(),
                static_cast<unsigned long long>(element), static_cast<unsigned long long>(bit));
}

namespace {

// One launch: the state of the memories and of the comparison.
class Launch {
 public:
  Launch(PianolaRtlModel& model, const PianolaRtlLaunch& request, PianolaRtlResult& result)
      : model_(model), top_(*model.top), request_(request), result_(result) {}

  void run();

 private:
  void start();
  void feed();
  void take_sends();
  bool check_faults();
  bool observe();
  bool difference(uint32_t kind, const PianolaRtlDrive* expected, const PianolaRtlDrive* got);
  void collect_drives();
  void trace_window();

  uint32_t allowed(uint32_t port, uint32_t most) {
    if (!request_.allow || most == 0) return most;
    return std::min(most, request_.allow(request_.allow_context, port, result_.edges, most));
  }
  uint32_t receive(uint32_t port, uint32_t space, Rate& rate, void* data) {
    const PianolaRtlReceive& source = request_.receive[port];
    const uint64_t left = source.count - result_.received[port];
    if (left == 0) return 0;
    const bool shares = port != 2;
    uint32_t n = rate.most();
    if (shares) n = memory_.most(n, kLanes);
    n = allowed(port, static_cast<uint32_t>(std::min<uint64_t>({n, space, left})));
    for (uint32_t i = 0; i < n; ++i) {
      const uint64_t number = result_.received[port] + i;
      const uint64_t at = source.index ? source.index[number] : number;
      std::memcpy(static_cast<uint8_t*>(data) + i * kLanes, source.base + at * kLanes, kLanes);
    }
    rate.take(n);
    if (shares) memory_.take(n, kLanes);
    result_.received[port] += n;
    return n;
  }

  PianolaRtlModel& model_;
  Vcore& top_;
  const PianolaRtlLaunch& request_;
  PianolaRtlResult& result_;
  Rate receive_rate_[3], send_rate_[2], word_rate_;
  SharedRate memory_;
  uint64_t next_word_ = 0, next_expected_ = 0;
  uint32_t taken_[2] = {0, 0};
  bool injected_ = false;
  std::vector<PianolaRtlDrive> drives_;
  std::vector<uint8_t> matched_;
};

void Launch::start() {
  using namespace target_config;
  // Bytes of a machine cycle, which takes kBeats clock edges.
  const auto rate = [](uint64_t bytes_per_cycle, uint64_t unit) {
    return Rate{bytes_per_cycle, unit * kBeats, 0};
  };
  receive_rate_[0] = rate(kTapeBytesPerCycle, kLanes);
  receive_rate_[1] = rate(kKvBytesPerCycle, kLanes);
  receive_rate_[2] = rate(kHostBytesPerCycle, kLanes);
  send_rate_[0] = rate(kKvBytesPerCycle, kLanes);
  send_rate_[1] = rate(kHostBytesPerCycle, kLanes);
  word_rate_ = rate(kInstructionBytesPerCycle, 32);
  memory_ = {kMemoryBytesPerCycle, 0};
  std::memcpy(&top_.regs_i, request_.registers, 32 * sizeof(uint32_t));
  const uint32_t totals[5] = {
      static_cast<uint32_t>(request_.receive[0].count),
      static_cast<uint32_t>(request_.receive[1].count),
      static_cast<uint32_t>(request_.receive[2].count),
      static_cast<uint32_t>(request_.send_count[0]), static_cast<uint32_t>(request_.send_count[1])};
  std::memcpy(&top_.totals_i, totals, sizeof totals);
  top_.words_i = static_cast<uint32_t>(request_.word_count);
  top_.word_valid_i = 0;
  top_.tape_count_i = top_.kv_count_i = top_.host_count_i = 0;
  top_.kv_take_i = top_.host_take_i = 0;
  top_.start_i = 1;
  model_.tick();
  top_.start_i = 0;
  model_.tick();
}

// Of what shares a memory the tape comes last.
void Launch::feed() {
  memory_.next_edge();
  top_.word_valid_i = 0;
  if (next_word_ < request_.word_count) {
    uint32_t n = memory_.most(word_rate_.most(), 32);
    n = allowed(PIANOLA_RTL_WORDS, std::min<uint32_t>({n, top_.word_space_o, 1}));
    if (n != 0) {
      std::memcpy(&top_.word_i, request_.words + 4 * next_word_, 32);
      top_.word_valid_i = 1;
      word_rate_.take(1);
      memory_.take(1, 32);
      ++next_word_;
    }
  }
  top_.kv_count_i =
      static_cast<uint8_t>(receive(1, top_.kv_space_o, receive_rate_[1], &top_.kv_data_i));
  const uint32_t levels[2] = {top_.kv_level_o, top_.host_level_o};
  for (uint32_t s = 0; s < 2; ++s) {
    uint32_t n = std::min(send_rate_[s].most(), levels[s]);
    if (s == 0) n = memory_.most(n, kLanes);
    taken_[s] = allowed(PIANOLA_RTL_SEND_KV + s, n);
    send_rate_[s].take(taken_[s]);
    if (s == 0) memory_.take(taken_[s], kLanes);
  }
  top_.kv_take_i = static_cast<uint8_t>(taken_[0]);
  top_.host_take_i = static_cast<uint8_t>(taken_[1]);
  top_.tape_count_i =
      static_cast<uint8_t>(receive(0, top_.tape_space_o, receive_rate_[0], &top_.tape_data_i));
  top_.host_count_i =
      static_cast<uint8_t>(receive(2, top_.host_space_o, receive_rate_[2], &top_.host_data_i));
}

void Launch::take_sends() {
  for (uint32_t s = 0; s < 2; ++s) {
    if (taken_[s] == 0) continue;
    const void* data = s == 0 ? static_cast<const void*>(&top_.kv_data_o) : &top_.host_data_o;
    for (uint32_t i = 0; i < taken_[s]; ++i, ++result_.sent[s]) {
      if (request_.send[s] && result_.sent[s] < request_.send_count[s]) {
        std::memcpy(request_.send[s] + result_.sent[s] * kLanes,
                    static_cast<const uint8_t*>(data) + i * kLanes, kLanes);
      }
    }
    taken_[s] = 0;
  }
}

bool Launch::check_faults() {
  if (!top_.fault_any_o) return false;
  uint32_t sets[target_config::kPositions + 1];
  std::memcpy(sets, &top_.fault_o, sizeof sets);
  for (uint32_t p = 0; p <= target_config::kPositions; ++p) {
    for (uint32_t rule = 0; rule < 32; ++rule) {
      if (!(sets[p] >> rule & 1) || result_.fault_count == PIANOLA_RTL_FAULTS) continue;
      const bool front = p == target_config::kPositions;
      result_.faults[result_.fault_count++] = {
          rule, p, front && !top_.done_o ? top_.front_cycle_o : top_.cycle_o};
    }
  }
  result_.status = PIANOLA_RTL_FAULT;
  return !request_.keep_going;
}

void Launch::collect_drives() {
  drives_.clear();
  const DriveSignals& signals = model_.drives;
  for (uint32_t p = 0; p < target_config::kPositions; ++p) {
    for (uint32_t d = 0; d < target_config::kDrivers[p]; ++d) {
      const uint32_t driver = p * kMaxDrivers + d;
      if (!read_bits(signals.valid, driver, 1)) continue;
      const uint32_t dirs = read_bits(signals.words, 16 * driver, 2);
      const uint32_t stream = read_bits(signals.words, 16 * driver + 2, 6);
      const uint32_t count = read_bits(signals.words, 16 * driver + 8, 4);
      const uint32_t width = target_config::kDriveWidth[p];
      for (uint16_t direction = 0; direction < 2; ++direction) {
        if (!(dirs >> direction & 1)) continue;
        for (uint32_t w = 0; w < count && w < width; ++w) {
          drives_.push_back({top_.cycle_o, p, direction,
                             static_cast<uint16_t>((stream + w) % target_config::kStreams),
                             signals.data + (p * kMaxVectors + d * width + w) * kLanes});
        }
      }
    }
  }
  if (!signals.banks) return;
  const uint64_t issued = (top_.cycle_o + 2) % 4;  // two cycles ago
  for (uint32_t i = 0; i < signals.read_count[issued]; ++i) {
    const uint16_t to = signals.read_to[issued * signals.reads_max + i];
    const uint32_t at = signals.read_at[issued * signals.reads_max + i];
    for (uint16_t direction = 0; direction < 2; ++direction) {
      if (!(to >> direction & 1)) continue;
      drives_.push_back({top_.cycle_o, static_cast<uint32_t>(to >> 8), direction,
                         static_cast<uint16_t>(to >> 2 & 63),
                         signals.banks + size_t{at} * vector_stride()});
    }
  }
}

bool Launch::difference(uint32_t kind, const PianolaRtlDrive* expected,
                        const PianolaRtlDrive* got) {
  const PianolaRtlDrive& drive = expected ? *expected : *got;
  result_.status = PIANOLA_RTL_DIFFERENCE;
  result_.difference_kind = kind;
  result_.difference_cycle = drive.cycle;
  result_.difference_position = drive.position;
  result_.difference_direction = drive.direction;
  result_.difference_stream = drive.stream;
  if (expected) std::memcpy(result_.expected, expected->bytes, kLanes);
  if (got) std::memcpy(result_.got, got->bytes, kLanes);
  return true;
}

// The drives of this machine cycle against what is expected; true at the first difference.
bool Launch::observe() {
  collect_drives();
  const uint64_t cycle = top_.cycle_o;
  if (request_.drives) {
    request_.drives(request_.drives_context, cycle, drives_.data(),
                    static_cast<uint32_t>(drives_.size()));
  }
  if (!request_.expected) return false;
  const uint64_t begin = next_expected_;
  while (next_expected_ < request_.expected_count &&
         request_.expected[next_expected_].cycle <= cycle) {
    ++next_expected_;
  }
  matched_.assign(next_expected_ - begin, 0);
  for (const PianolaRtlDrive& got : drives_) {
    const PianolaRtlDrive* found = nullptr;
    for (uint64_t i = begin; i < next_expected_; ++i) {
      const PianolaRtlDrive& e = request_.expected[i];
      if (e.cycle == cycle && e.position == got.position && e.direction == got.direction &&
          e.stream == got.stream) {
        found = &e;
        matched_[i - begin] = 1;
        break;
      }
    }
    if (!found) {
      if (request_.expected_complete) return difference(PIANOLA_RTL_DIFFERS_EXTRA, nullptr, &got);
    } else if (std::memcmp(found->bytes, got.bytes, kLanes) != 0) {
      return difference(PIANOLA_RTL_DIFFERS_VALUE, found, &got);
    }
  }
  for (uint64_t i = begin; i < next_expected_; ++i) {
    if (!matched_[i - begin]) {
      return difference(PIANOLA_RTL_DIFFERS_MISSING, &request_.expected[i], nullptr);
    }
  }
  return false;
}

void Launch::trace_window() {
#if VM_TRACE
  const bool inside = request_.trace_path && top_.cycle_o >= request_.trace_first &&
                      top_.cycle_o <= request_.trace_last;
  if (inside && !model_.trace) {
    model_.trace = std::make_unique<VerilatedFstC>();
    top_.trace(model_.trace.get(), 99);
    model_.trace->open(request_.trace_path);
  }
  model_.tracing = inside;
#endif
}

void Launch::run() {
  start();
  const bool observing = request_.drives || request_.expected;
  uint64_t stuck = 0;
  while (!top_.done_o) {
    if (VM_TRACE) trace_window();
    if (check_faults()) return;
    if (top_.en_o) {
      stuck = 0;
      if (request_.inject_classes && !injected_ && top_.cycle_o == request_.inject_cycle) {
        injected_ = true;
        model_.flip_bit(request_, result_);
      }
      if (observing && observe()) break;
    } else if (++stuck == request_.stuck_edges_max) {
      result_.status = PIANOLA_RTL_STUCK;
      break;
    }
    feed();
    model_.tick();
    take_sends();
    if (++result_.edges == request_.edges_max) {
      result_.status = PIANOLA_RTL_STUCK;
      break;
    }
  }
  result_.cycles = top_.cycle_o;
  result_.frozen = top_.frozen_o;
  result_.frozen_after_first = top_.frozen_after_first_o;
  if (!top_.done_o || check_faults()) return;
  if (request_.expected && next_expected_ < request_.expected_count && result_.status == 0) {
    difference(PIANOLA_RTL_DIFFERS_MISSING, &request_.expected[next_expected_], nullptr);
  }
  // Drain what is still in the send FIFOs; nothing refuses it any more.
  for (uint64_t edges = 0; (top_.kv_level_o || top_.host_level_o) && edges < 1'000'000; ++edges) {
    ++result_.edges;
    feed();
    model_.tick();
    take_sends();
  }
}

}  // namespace

void PianolaRtlModel::launch(const PianolaRtlLaunch& request, PianolaRtlResult& result) {
  std::memset(&result, 0, sizeof result);
  Launch(*this, request, result).run();
#if VM_TRACE
  if (trace) trace->close();
  trace.reset();
  tracing = false;
#endif
}

namespace {

// Copies a word of MEM from or to `bytes`.
void move_word(PianolaRtlModel& model, uint32_t slice, uint32_t word, uint8_t* bytes, bool from) {
  constexpr uint32_t kBank = target_config::kWordsPerSlice / 2;
  if (model.parts.empty()) {
    uint8_t* there = model.banks[word / kBank][slice] + (word % kBank) * vector_stride();
    std::memcpy(from ? bytes : there, from ? there : bytes, kLanes);
    return;
  }
  const std::vector<uint8_t*>& memories = model.parts[slice];
  const uint32_t lanes = static_cast<uint32_t>(memories.size()), parts = kLanes / lanes;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    uint8_t& there = memories[lane % lanes][word * parts + lane / lanes];
    if (from) {
      bytes[lane] = there;
    } else {
      there = bytes[lane];
    }
  }
}

// Place of a word among the `written` bits: banks start at powers of two, where there are banks.
uint32_t written_index(const PianolaRtlModel& model, uint32_t word) {
  constexpr uint32_t kBank = target_config::kWordsPerSlice / 2;
  if (!model.parts.empty()) return word;
  return word / kBank * (target_config::kWrittenBits / 2) + word % kBank;
}

void set_slice(PianolaRtlModel* model, uint32_t slice, const uint8_t* bytes,
               const uint8_t* written) {
  for (uint32_t i = 0; i < target_config::kWordsPerSlice; ++i) {
    std::array<uint8_t, kLanes> word;
    std::memcpy(word.data(), bytes + i * kLanes, kLanes);
    move_word(*model, slice, i, word.data(), false);
    if (!model->written.empty()) {
      model->written[slice][written_index(*model, i)] = written && written[i];
    }
  }
}

void get_slice(PianolaRtlModel* model, uint32_t slice, uint8_t* bytes, uint8_t* written) {
  for (uint32_t i = 0; i < target_config::kWordsPerSlice; ++i) {
    move_word(*model, slice, i, bytes + i * kLanes, true);
    if (written) {
      written[i] = model->written.empty() ? 1 : model->written[slice][written_index(*model, i)];
    }
  }
}

const PianolaRtlFunctions kFunctions = {
    [] { return static_cast<int>(PIANOLA_RTL_ABI); },
    [] { return static_cast<int>(VM_TRACE); },
    [] { return uint32_t{kLanes}; },
    [] { return uint32_t{target_config::kSlices}; },
    [] { return uint32_t{target_config::kWordsPerSlice}; },
    [] { return new PianolaRtlModel; },
    [](PianolaRtlModel* model) {
      // Destructors of scopes refer to the thread's context, which may be another model's, and gone.
      Verilated::threadContextp(&model->context);
      delete model;
    },
    set_slice,
    get_slice,
    [](PianolaRtlModel* model, const PianolaRtlLaunch* launch, PianolaRtlResult* result) {
      model->launch(*launch, *result);
    },
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const PianolaRtlFunctions*
pianola_rtl_functions(void) {
  return &kFunctions;
}
