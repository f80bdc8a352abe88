#include "emulator/rtl_device.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>

#include "isa/instructions.h"

namespace pianola {
namespace {

constexpr uint64_t kMemTag = 0x4d454d, kKvTag = 0x4b56;

void poison_bytes(std::span<std::byte> bytes, uint64_t poison, uint64_t tag) {
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = poison_byte(poison, tag, i);
}

const char* unit_name(UnitKind kind) {
  switch (kind) {
    case UnitKind::Port: return "PORT";
    case UnitKind::Vxm: return "VXM";
    case UnitKind::Mem: return "MEM";
    case UnitKind::Sxm: return "SXM";
    case UnitKind::Mxm: return "MXM";
  }
  return "?";
}

std::string hex_bytes(const uint8_t* bytes, int count) {
  std::string text;
  char digits[3];
  for (int i = 0; i < count; ++i) {
    std::snprintf(digits, sizeof digits, "%02x", bytes[i]);
    text += (i > 0 && i % 4 == 0 ? " " : "") + std::string(digits);
  }
  return text;
}

std::string describe_difference(const Target& target, const PianolaRtlResult& result) {
  const char* kind = result.difference_kind == PIANOLA_RTL_DIFFERS_EXTRA ? "unexpected drive"
                     : result.difference_kind == PIANOLA_RTL_DIFFERS_MISSING ? "missing drive"
                                                                             : "other value";
  const auto position = static_cast<size_t>(result.difference_position);
  return std::string("lockstep: ") + kind + " in cycle " + std::to_string(result.difference_cycle) +
         ", position " + std::to_string(position) + " (" + unit_name(target.floorplan[position]) +
         "), " + (result.difference_direction ? "west" : "east") + " stream " +
         std::to_string(result.difference_stream) + ": expected " +
         (result.difference_kind == PIANOLA_RTL_DIFFERS_EXTRA
              ? "nothing"
              : hex_bytes(result.expected, target.lanes)) +
         ", got " +
         (result.difference_kind == PIANOLA_RTL_DIFFERS_MISSING
              ? "nothing"
              : hex_bytes(result.got, target.lanes));
}

// Verilator's name of a variable as it stands in the source.
std::string source_name(std::string name) {
  for (const auto& [coded, plain] : {std::pair{"__BRA__", "["}, std::pair{"__KET__", "]"}}) {
    for (size_t at; (at = name.find(coded)) != std::string::npos;) {
      name.replace(at, std::strlen(coded), plain);
    }
  }
  return name;
}

class RtlDevice final : public Device {
 public:
  explicit RtlDevice(RtlDeviceOptions options) : options_(std::move(options)) {}

  std::string_view name() const override { return "rtl"; }

  Status load(const Roll& roll, uint64_t poison) override {
    const Target& target = roll.target;
    BuildRtlOptions build = options_.build;
    if (!core_ || canonical_text(target) != target_text_) {
      TRY(const std::filesystem::path library, build_rtl(target, build));
      TRY(core_, RtlCore::open(library));
      tracing_core_.reset();
      target_text_ = canonical_text(target);
    }
    roll_ = &roll;
    launches_ = 0;
    const size_t lanes = static_cast<size_t>(target.lanes);
    std::vector<std::byte> words(static_cast<size_t>(target.words_per_slice) * lanes);
    for (int slice = 0; slice < target.slices(); ++slice) {
      poison_bytes(words, poison, kMemTag + static_cast<uint64_t>(slice));
      core_->set_slice(slice, {reinterpret_cast<const uint8_t*>(words.data()), words.size()}, {});
    }
    kv_.resize(roll.metadata.kv_vectors * lanes);
    poison_bytes(kv_, poison, kKvTag);
    return Ok{};
  }

  Result<LaunchResult> launch(const LaunchRequest& request) override;

  std::span<std::byte> kv_region() override { return kv_; }

 private:
  Status check_request(const LaunchRequest& request) const;
  Error failure(const Entry& entry, const PianolaRtlLaunch& launch, const PianolaRtlResult& result);
  Error difference(const Entry& entry, const PianolaRtlLaunch& launch,
                   const PianolaRtlResult& result, const std::string& text);
  Status compare(const Entry& entry, const PianolaRtlLaunch& launch, const PianolaRtlResult& result,
                 const ExpectedDrives& expected, const LaunchResult& out);
  std::string trace_failure(PianolaRtlLaunch launch, const PianolaRtlResult& result,
                            uint64_t cycle);
  void snapshot_memory();

  RtlDeviceOptions options_;
  std::unique_ptr<RtlCore> core_, tracing_core_;
  std::string target_text_;
  const Roll* roll_ = nullptr;
  uint64_t launches_ = 0;  // since load()
  std::vector<std::byte> kv_;
  std::vector<uint8_t> saved_words_, saved_written_;  // before the launch, for lockstep
};

Status RtlDevice::check_request(const LaunchRequest& request) const {
  if (!roll_) return Error{ErrorCode::InvalidArgument, "no roll is loaded", "rtl device"};
  if (request.entry < 0 || static_cast<size_t>(request.entry) >= roll_->metadata.entries.size()) {
    return Error{ErrorCode::InvalidArgument,
                 "entry " + std::to_string(request.entry) + " of a roll with " +
                     std::to_string(roll_->metadata.entries.size()),
                 "rtl device"};
  }
  const Entry& entry = roll_->metadata.entries[static_cast<size_t>(request.entry)];
  const size_t need = size_t{entry.host_receive_vectors} * static_cast<size_t>(roll_->target.lanes);
  if (request.host_input.size() != need) {
    return Error{ErrorCode::InvalidArgument,
                 "host input has " + std::to_string(request.host_input.size()) +
                     " bytes, the entry takes " + std::to_string(need),
                 "entry " + entry.name};
  }
  return check_registers(entry, request.registers);
}

void RtlDevice::snapshot_memory() {
  const Target& target = roll_->target;
  const auto words = static_cast<size_t>(target.words_per_slice);
  const size_t bytes = words * static_cast<size_t>(target.lanes);
  saved_words_.resize(bytes * static_cast<size_t>(target.slices()));
  saved_written_.resize(words * static_cast<size_t>(target.slices()));
  for (int slice = 0; slice < target.slices(); ++slice) {
    const auto at = static_cast<size_t>(slice);
    core_->get_slice(slice, std::span(saved_words_).subspan(at * bytes, bytes),
                     std::span(saved_written_).subspan(at * words, words));
  }
}

// Plays the launch again with a waveform; says where it is or why there is none.
std::string RtlDevice::trace_failure(PianolaRtlLaunch launch, const PianolaRtlResult& result,
                                     uint64_t cycle) {
  const Target& target = roll_->target;
  if (!tracing_core_) {
    BuildRtlOptions build = options_.build;
    build.trace = true;
    auto library = build_rtl(target, build);
    if (!library.ok()) return "no waveform: " + to_string(library.error());
    auto core = RtlCore::open(*library);
    if (!core.ok()) return "no waveform: " + to_string(core.error());
    tracing_core_ = std::move(*core);
  }
  const auto words = static_cast<size_t>(target.words_per_slice);
  const size_t bytes = words * static_cast<size_t>(target.lanes);
  for (int slice = 0; slice < target.slices(); ++slice) {
    const auto at = static_cast<size_t>(slice);
    tracing_core_->set_slice(slice, std::span(saved_words_).subspan(at * bytes, bytes),
                             std::span(saved_written_).subspan(at * words, words));
  }
  const std::string path = options_.waveform.string();
  launch.trace_path = path.c_str();
  launch.trace_first = cycle - std::min(cycle, options_.waveform_cycles_around);
  launch.trace_last = cycle + options_.waveform_cycles_around;
  launch.keep_going = 1;
  launch.expected = nullptr;
  launch.edges_max = result.edges + options_.waveform_cycles_around;
  PianolaRtlResult ignored;
  std::error_code error;
  std::filesystem::remove(options_.waveform, error);
  tracing_core_->launch(launch, ignored);
  if (!std::filesystem::exists(options_.waveform, error)) return "no waveform: cannot write " + path;
  return "waveform of cycles " + std::to_string(launch.trace_first) + ".." +
         std::to_string(launch.trace_last) + " in " + path;
}

Error RtlDevice::failure(const Entry& entry, const PianolaRtlLaunch& launch,
                         const PianolaRtlResult& result) {
  const std::string where = "entry " + entry.name;
  std::string text;
  uint64_t cycle = 0;
  ErrorCode code = ErrorCode::Mismatch;
  if (result.status == PIANOLA_RTL_FAULT) {
    code = ErrorCode::Malformed;
    for (uint32_t i = 0; i < result.fault_count; ++i) {
      text += (i ? "; " : "") + describe_fault(roll_->target, result.faults[i]);
    }
    cycle = result.faults[0].cycle;
  } else if (result.status == PIANOLA_RTL_DIFFERENCE) {
    text = describe_difference(roll_->target, result);
    cycle = result.difference_cycle;
  } else {
    return Error{ErrorCode::Io,
                 "no machine cycle was granted for " + std::to_string(options_.stuck_edges_max) +
                     " clock edges, after cycle " + std::to_string(result.cycles) +
                     ": a port is starved",
                 where};
  }
  if (!options_.waveform.empty() && !saved_words_.empty()) {
    text += "; " + trace_failure(launch, result, cycle);
  }
  return Error{code, text, where};
}

// A difference that no drive shows: the waveform is of the injected fault, or else of the end.
Error RtlDevice::difference(const Entry& entry, const PianolaRtlLaunch& launch,
                            const PianolaRtlResult& result, const std::string& text) {
  std::string waveform;
  if (!options_.waveform.empty() && !saved_words_.empty()) {
    const uint64_t cycle = launch.inject_classes ? launch.inject_cycle : result.cycles;
    waveform = "; " + trace_failure(launch, result, cycle);
  }
  return Error{ErrorCode::Mismatch, "lockstep: " + text + waveform, "entry " + entry.name};
}

// What the launch left behind against what is expected.
Status RtlDevice::compare(const Entry& entry, const PianolaRtlLaunch& launch,
                          const PianolaRtlResult& result, const ExpectedDrives& expected,
                          const LaunchResult& out) {
  const size_t lanes = static_cast<size_t>(roll_->target.lanes);
  const auto first_difference = [&](std::span<const std::byte> want, std::span<const std::byte> got,
                                    const std::string& what) -> Status {
    if (want.size() != got.size()) {
      return difference(entry, launch, result,
                        what + " has " + std::to_string(got.size()) + " bytes, expected " +
                            std::to_string(want.size()));
    }
    const auto at = static_cast<size_t>(
        std::mismatch(want.begin(), want.end(), got.begin()).first - want.begin());
    if (at == want.size()) return Ok{};
    const auto byte = [&](std::span<const std::byte> bytes) {
      const auto value = std::to_integer<uint8_t>(bytes[at]);
      return hex_bytes(&value, 1);
    };
    return difference(entry, launch, result,
                      what + ": vector " + std::to_string(at / lanes) + ", lane " +
                          std::to_string(at % lanes) + ": expected " + byte(want) + ", got " +
                          byte(got));
  };
  if (expected.result) {
    if (out.cycles != expected.result->cycles) {
      return difference(entry, launch, result,
                        "the RTL took " + std::to_string(out.cycles) + " machine cycles, expected " +
                            std::to_string(expected.result->cycles));
    }
    TRY_STATUS(first_difference(expected.result->host_output, out.host_output, "host output"));
  }
  if (expected.kv.empty()) return Ok{};
  return first_difference(expected.kv, kv_, "KV region");
}

Result<LaunchResult> RtlDevice::launch(const LaunchRequest& request) {
  TRY_STATUS(check_request(request));
  const Roll& roll = *roll_;
  const Entry& entry = roll.metadata.entries[static_cast<size_t>(request.entry)];
  const size_t lanes = static_cast<size_t>(roll.target.lanes);
  const std::vector<uint64_t> tape = expand_segments(entry.tape, request.registers);
  const std::vector<uint64_t> kv_read = expand_segments(entry.kv_read, request.registers);
  const std::vector<uint64_t> kv_write = expand_segments(entry.kv_write, request.registers);
  for (const uint64_t index : tape) {
    if ((index + 1) * lanes > roll.data.size()) {
      return Error{ErrorCode::OutOfRange, "tape segments reach beyond the data tape",
                   "entry " + entry.name};
    }
  }
  for (const auto* indices : {&kv_read, &kv_write}) {
    for (const uint64_t index : *indices) {
      if (index >= roll.metadata.kv_vectors) {
        return Error{ErrorCode::OutOfRange, "KV segments reach beyond the KV region",
                     "entry " + entry.name};
      }
    }
  }
  uint32_t registers[kLaunchRegisters] = {};
  for (size_t i = 1; i < request.registers.size() && i < size_t{kLaunchRegisters}; ++i) {
    registers[i] = request.registers[i];
  }
  LaunchResult out;
  out.host_output.resize(entry.host_send_vectors * lanes);
  std::vector<uint8_t> kv_sent(kv_write.size() * lanes);

  PianolaRtlLaunch launch = {};
  const std::span<const Word> words = roll.entry_words(entry);
  launch.words = words.empty() ? nullptr : words[0].data();
  launch.word_count = words.size();
  launch.registers = registers;
  launch.receive[0] = {reinterpret_cast<const uint8_t*>(roll.data.data()), tape.data(), tape.size()};
  launch.receive[1] = {reinterpret_cast<const uint8_t*>(kv_.data()), kv_read.data(), kv_read.size()};
  launch.receive[2] = {reinterpret_cast<const uint8_t*>(request.host_input.data()), nullptr,
                       entry.host_receive_vectors};
  launch.send[0] = kv_sent.data();
  launch.send[1] = reinterpret_cast<uint8_t*>(out.host_output.data());
  launch.send_count[0] = kv_write.size();
  launch.send_count[1] = entry.host_send_vectors;
  launch.stuck_edges_max = options_.stuck_edges_max;
  launch.allow = options_.allow;
  launch.allow_context = options_.allow_context;
  ExpectedDrives expected;
  if (options_.lockstep) {
    expected = options_.lockstep(request);
    launch.expected = expected.drives.data();
    launch.expected_count = expected.drives.size();
    launch.expected_complete = expected.complete;
  }
  if (!options_.waveform.empty()) snapshot_memory();
  std::optional<FaultInjection> fault;
  if (options_.inject) fault = options_.inject(launches_);
  ++launches_;
  if (fault) {
    launch.inject_classes = fault->classes;
    launch.inject_cycle = fault->cycle;
    launch.inject_seed = fault->seed;
  }

  PianolaRtlResult result;
  core_->launch(launch, result);
  if (fault && result.injected[0] == '\0') {
    return Error{ErrorCode::InvalidArgument,
                 "no fault was injected: the launch has " + std::to_string(result.cycles) +
                     " machine cycles, cycle " + std::to_string(fault->cycle) + " is not one of them",
                 "entry " + entry.name};
  }
  if (fault && options_.on_injected) options_.on_injected(source_name(result.injected), fault->cycle);
  if (result.status != PIANOLA_RTL_DONE) return failure(entry, launch, result);
  for (const auto& [what, sent, declared] :
       {std::tuple{"KV", result.sent[0], uint64_t{kv_write.size()}},
        std::tuple{"host", result.sent[1], uint64_t{entry.host_send_vectors}}}) {
    if (sent != declared) {
      return difference(entry, launch, result,
                        std::string(what) + " port sent " + std::to_string(sent) +
                            " vectors, the entry declares " + std::to_string(declared));
    }
  }
  for (size_t i = 0; i < kv_write.size(); ++i) {
    std::memcpy(kv_.data() + kv_write[i] * lanes, kv_sent.data() + i * lanes, lanes);
  }
  out.cycles = result.cycles;
  out.frozen_cycles = result.frozen;
  out.frozen_after_first = result.frozen_after_first;
  TRY_STATUS(compare(entry, launch, result, expected, out));
  return out;
}

}  // namespace

Result<std::unique_ptr<RtlCore>> RtlCore::open(const std::filesystem::path& library) {
  std::unique_ptr<RtlCore> core(new RtlCore);
  core->handle_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!core->handle_) {
    const char* reason = dlerror();
    return Error{ErrorCode::Io, std::string("cannot load: ") + (reason ? reason : "unknown"),
                 library.string()};
  }
  using Entry = const PianolaRtlFunctions* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(core->handle_, "pianola_rtl_functions"));
  if (!entry || entry()->abi() != PIANOLA_RTL_ABI) {
    return Error{ErrorCode::Mismatch, "not a core of this version; clear the cache",
                 library.string()};
  }
  core->functions_ = entry();
  core->model_ = core->functions_->create();
  return core;
}

// The library stays loaded: Verilator's statics do not survive being unloaded and loaded again.
RtlCore::~RtlCore() {
  if (model_) functions_->destroy(model_);
}

void RtlCore::check_slice(int slice, size_t word_bytes, size_t written_bytes) const {
  CHECK(slice >= 0 && static_cast<uint32_t>(slice) < functions_->slices());
  const size_t words = functions_->words_per_slice();
  CHECK(word_bytes == words * functions_->lanes());
  CHECK(written_bytes == 0 || written_bytes == words);
}

void RtlCore::set_slice(int slice, std::span<const uint8_t> words,
                        std::span<const uint8_t> written) {
  check_slice(slice, words.size(), written.size());
  functions_->set_slice(model_, static_cast<uint32_t>(slice), words.data(),
                        written.empty() ? nullptr : written.data());
}

void RtlCore::get_slice(int slice, std::span<uint8_t> words, std::span<uint8_t> written) const {
  check_slice(slice, words.size(), written.size());
  functions_->get_slice(model_, static_cast<uint32_t>(slice), words.data(),
                        written.empty() ? nullptr : written.data());
}

std::unique_ptr<Device> make_rtl_device(RtlDeviceOptions options) {
  return std::make_unique<RtlDevice>(std::move(options));
}

std::string describe_fault(const Target& target, const PianolaRtlFault& fault) {
  const auto position = static_cast<size_t>(fault.position);
  const std::string_view rule = rule_name(static_cast<Rule>(fault.rule));
  return "rule " + std::string(rule) + " broken in cycle " + std::to_string(fault.cycle) +
         (position < target.floorplan.size()
              ? " at position " + std::to_string(position) + " (" +
                    unit_name(target.floorplan[position]) + ")"
              : std::string(" in the front (dispatcher, port queues)"));
}

}  // namespace pianola
