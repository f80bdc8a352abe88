#include "emulator/emulator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "emulator/copy_vector.h"
#include "isa/arithmetic_fast.h"

namespace pianola {
namespace {

using Registers = std::array<uint32_t, kLaunchRegisters>;

uint8_t* bytes_at(Place place) { return reinterpret_cast<uint8_t*>(place); }

Registers machine_registers(const LaunchRequest& request) {
  Registers registers{};
  const size_t count = std::min<size_t>(request.registers.size(), kLaunchRegisters);
  for (size_t i = 1; i < count; ++i) registers[i] = request.registers[i];
  return registers;
}

void copy_vectors(const CopyStep* steps, uint32_t count, int lanes) {
  for (uint32_t i = 0; i < count; ++i) {
    copy_vector(bytes_at(steps[i].to), bytes_at(steps[i].from), lanes);
  }
}

// A WRITE with rows.
bool write_row(const MemoryStep& step, const Registers& registers, int words, int lanes) {
  const int64_t row = int64_t{step.row} + registers[step.reg];
  const int64_t address = int64_t{step.address} + (row >> step.rows);
  if (row < 0 || address >= words) return false;
  if ((row & ((1 << step.rows) - 1)) != step.turn) return true;
  copy_vector(step.slice + address * lanes, bytes_at(step.vector), lanes);
  return true;
}

// The steps whose address depends on registers or data. False: the address is out of bounds.
bool access_memory(OperationKind kind, const MemoryStep& step, const Registers& registers,
                   int words, int lanes) {
  if (step.rows != 0) return write_row(step, registers, words, lanes);
  int64_t address = int64_t{step.address} + registers[step.reg];
  uint64_t lane = 0;
  if (kind == OperationKind::Gather) {
    const uint32_t index = bytes_at(step.index_low)[0] |
                           static_cast<uint32_t>(bytes_at(step.index_high)[0]) << 8;
    address += std::min(index, step.limit);
  } else if (kind == OperationKind::WriteLane) {
    lane = uint64_t{step.lane} + registers[step.lane_reg];
    if (lane >= static_cast<uint64_t>(lanes)) {
      lane -= lanes;
      ++address;
    }
    if (lane >= static_cast<uint64_t>(lanes)) return false;
  }
  if (address < 0 || address >= words) return false;
  uint8_t* word = step.slice + address * lanes;
  if (kind == OperationKind::WriteLane) {
    word[lane] = bytes_at(step.vector)[lane];
  } else if (kind == OperationKind::Write) {
    copy_vector(word, bytes_at(step.vector), lanes);
  } else {
    copy_vector(bytes_at(step.vector), word, lanes);
  }
  return true;
}

bool receive_vector(const SegmentStep& step, std::span<const uint32_t> registers, int lanes) {
  const uint32_t value = step.parameter < registers.size() ? registers[step.parameter] : 0;
  const uint64_t vector =
      step.vector + uint64_t{std::min(value, step.limit)} * step.parameter_stride;
  if (vector >= step.region_vectors) return false;
  copy_vector(bytes_at(step.to), step.region + vector * lanes, lanes);
  return true;
}

void move_lanes(const SxmStep& step, int lanes) {
  for (int b = 0; b < step.width; ++b) {
    uint8_t* to = bytes_at(step.to[b]);
    const uint8_t* from = bytes_at(step.from[b]);
    if (to == nullptr) continue;
    switch (step.op) {
      case SxmOp::Shift:
        for (int first = 0; first < lanes; first += step.segment) {
          for (int i = 0; i < step.segment; ++i) {
            const int j = i + step.amount;
            to[first + i] = j >= 0 && j < step.segment ? from[first + j] : uint8_t{0};
          }
        }
        break;
      case SxmOp::Rotate: {
        const int turn = step.amount < 0 ? step.amount + step.segment : step.amount;
        for (int first = 0; first < lanes; first += step.segment) {
          std::memcpy(to + first, from + first + turn, step.segment - turn);
          std::memcpy(to + first + step.segment - turn, from + first, turn);
        }
        break;
      }
      case SxmOp::Permute:
        for (int i = 0; i < lanes; ++i) to[i] = from[bytes_at(step.index)[i] % lanes];
        break;
      case SxmOp::Distribute: std::memset(to, from[step.amount], lanes); break;
      case SxmOp::TransposeIn: break;  // a copy
      case SxmOp::TransposeOut: {
        const int rows = lanes > 64 ? 16 : lanes;
        for (int first = 0; first < lanes; first += rows) {
          for (int i = 0; i < rows; ++i) {
            to[first + i] = step.rows[i * lanes + first + step.amount];
          }
        }
        break;
      }
    }
  }
}

Error out_of_bounds(const char* what) {
  return Error{ErrorCode::OutOfRange,
               std::string("address_range: ") + what +
                   " leaves its region for these launch registers; the roll was not verified",
               "emulator"};
}

}  // namespace

Emulator::Emulator(const Kernels* kernels, bool fuse)
    : kernels_(kernels != nullptr ? kernels : &fastest_kernels()), fuse_(fuse) {}

Status Emulator::load(const Roll& roll, uint64_t poison) {
  programs_.clear();
  roll_ = &roll;
  const Target& target = roll.target;
  const size_t slice_bytes = static_cast<size_t>(target.words_per_slice) * target.lanes;
  memory_.resize(slice_bytes * target.slices());
  for (int slice = 0; slice < target.slices(); ++slice) {
    for (size_t i = 0; i < slice_bytes; ++i) {
      memory_[slice * slice_bytes + i] =
          static_cast<uint8_t>(poison_byte(poison, 0x4d454d + slice, i));
    }
  }
  packed_ = std::make_unique<PackedWeights>(target.lanes, memory_);
  kv_.resize(roll.metadata.kv_vectors * target.lanes);
  for (size_t i = 0; i < kv_.size(); ++i) kv_[i] = poison_byte(poison, 0x4b56, i);
  programs_.resize(roll.metadata.entries.size());
  return Ok{};
}

LiftMemory Emulator::lift_memory() {
  LiftMemory memory;
  const Target& target = roll_->target;
  const size_t slice_bytes = static_cast<size_t>(target.words_per_slice) * target.lanes;
  for (int slice = 0; slice < target.slices(); ++slice) {
    memory.slices.push_back(memory_.data() + slice * slice_bytes);
  }
  memory.mem = memory_;
  memory.kv = kv_.data();
  memory.packed = packed_.get();
  return memory;
}

Result<const Entry*> Emulator::checked_entry(const LaunchRequest& request) const {
  if (roll_ == nullptr) {
    return Error{ErrorCode::InvalidArgument, "no roll is loaded; load one first", "emulator"};
  }
  const auto& entries = roll_->metadata.entries;
  if (request.entry < 0 || request.entry >= static_cast<int>(entries.size())) {
    return Error{ErrorCode::InvalidArgument,
                 "no entry " + std::to_string(request.entry) + "; the roll has " +
                     std::to_string(entries.size()),
                 "emulator"};
  }
  const Entry& entry = entries[request.entry];
  TRY_STATUS(check_registers(entry, request.registers));
  const size_t expected = static_cast<size_t>(entry.host_receive_vectors) * roll_->target.lanes;
  if (request.host_input.size() != expected) {
    return Error{ErrorCode::InvalidArgument,
                 "host input has " + std::to_string(request.host_input.size()) +
                     " bytes, the entry takes " + std::to_string(expected),
                 entry.name};
  }
  return &entry;
}

Result<const Program*> Emulator::program(int number) {
  CHECK(roll_ != nullptr && number >= 0 && number < static_cast<int>(programs_.size()));
  if (programs_[number] == nullptr) {
    const LiftMemory memory = lift_memory();
    TRY(programs_[number], lift(*roll_, roll_->metadata.entries[number], memory, {.fuse = fuse_}));
  }
  return programs_[number].get();
}

Result<LaunchResult> Emulator::launch(const LaunchRequest& request) {
  TRY(const Entry* entry, checked_entry(request));
  TRY(const Program* lifted, program(request.entry));
  (void)lifted;
  return play(*entry, *programs_[request.entry], request, nullptr);
}

Result<std::vector<DriveEvent>> Emulator::drive_events(const LaunchRequest& request,
                                                       LaunchResult* result) {
  TRY(const Entry* entry, checked_entry(request));
  const LiftMemory memory = lift_memory();
  TRY(const std::unique_ptr<Program> recorded,
      lift(*roll_, *entry, memory, {.record_drives = true}));
  std::vector<DriveEvent> events;
  TRY(LaunchResult launched, play(*entry, *recorded, request, &events));
  if (result != nullptr) *result = std::move(launched);
  return events;
}

Result<LaunchResult> Emulator::play(const Entry& entry, Program& program,
                                    const LaunchRequest& request,
                                    std::vector<DriveEvent>* events) {
  if (!request.host_input.empty()) {
    std::memcpy(program.host_input.data, request.host_input.data(), request.host_input.size());
  }
  if (!program.products.empty()) packed_->refresh();
  TRY_STATUS(run_operations(program, request));
  if (program.stretches_seen != packed_->stretches_packed()) {
    program.stretches_seen = packed_->stretches_packed();
    program.changes_weights = packed_->reads(program.written_words);
  }
  if (program.changes_weights) packed_->outdate();
  const size_t lanes = static_cast<size_t>(program.lanes);
  if (events != nullptr) {
    events->reserve(program.drives.size());
    for (const RecordedDrive& drive : program.drives) {
      const auto* from = reinterpret_cast<const std::byte*>(drive.from);
      events->push_back({drive.cycle, drive.position, drive.direction, drive.stream,
                         std::vector<std::byte>(from, from + lanes)});
    }
  }
  // New rows reach the KV region at END.
  const std::vector<uint64_t> rows = expand_segments(entry.kv_write, request.registers);
  for (size_t i = 0; i < program.kv_sent; ++i) {
    if (rows[i] >= roll_->metadata.kv_vectors) return out_of_bounds("a KV write");
    std::memcpy(kv_.data() + rows[i] * lanes, program.kv_output.data + i * lanes, lanes);
  }
  LaunchResult result;
  result.cycles = program.cycles;
  const auto* output = reinterpret_cast<const std::byte*>(program.host_output.data);
  result.host_output.assign(output, output + program.host_sent * lanes);
  return result;
}

Status Emulator::run_operations(Program& program, const LaunchRequest& request) {
  const arith::FlushDenormalsScope flush;
  const Registers registers = machine_registers(request);
  program.late_places.bind(registers);
  const Target& target = roll_->target;
  const int lanes = program.lanes;
  for (const Operation& operation : program.operations) {
    switch (operation.kind) {
      case OperationKind::Copy:
        copy_vectors(program.copies.data() + operation.first, operation.count, lanes);
        break;
      case OperationKind::Read:
      case OperationKind::Write:
      case OperationKind::WriteLane:
      case OperationKind::Gather:
        for (uint32_t i = 0; i < operation.count; ++i) {
          if (!access_memory(operation.kind, program.memory_steps[operation.first + i], registers,
                             target.words_per_slice, lanes)) {
            return out_of_bounds("a MEM access");
          }
        }
        break;
      case OperationKind::Receive:
        if (!receive_vector(program.segment_steps[operation.first], request.registers, lanes)) {
          return out_of_bounds("an indirect segment");
        }
        break;
      case OperationKind::Vxm:
        kernels_->vxm(program, program.vxm_batches[operation.first], registers.data(),
                      target.vxm_accumulators);
        break;
      case OperationKind::Mac: {
        const MacRun& run = program.mac_runs[operation.first];
        if (run.unpacks && !(run.whole_rows && kernels_->takes_rows)) unpack_tile(program, run);
        kernels_->mac(program, run, target.mxm_accumulators);
        break;
      }
      case OperationKind::Sxm: move_lanes(program.sxm_steps[operation.first], lanes); break;
      case OperationKind::ProductInput:
        gather_input(program, program.product_inputs[operation.first], *kernels_);
        break;
      case OperationKind::Product:
        kernels_->products(program,
                           std::span(program.products).subspan(operation.first, operation.count),
                           target.vxm_accumulators);
        break;
    }
  }
  return Ok{};
}

}  // namespace pianola
