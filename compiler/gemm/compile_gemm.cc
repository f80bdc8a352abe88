#include "compiler/gemm/compile_gemm.h"

#include <algorithm>

#include "compiler/gemm/gemm_data.h"
#include "compiler/gemm/lower_gemm.h"
#include "compiler/schedule_entry.h"

namespace pianola {
namespace {

double macs(const GemmShape& shape) { return 1.0 * shape.m * shape.k * shape.n; }

struct Composition {
  GemmLayout layout;
  std::vector<ScheduledEntry> entries;
};

Result<Composition> compose(const GemmShape& shape, const Target& target) {
  Composition out;
  TRY(out.layout, lay_out_gemm(shape, target));
  for (const auto& lower : {&lower_gemm_load, &lower_gemm, &lower_gemm_fetch}) {
    VectorProgram program = lower(out.layout);
    TRY_STATUS(allocate_memory(program, target));
    TRY(ScheduledEntry scheduled, schedule_entry(program, target));
    out.entries.push_back(std::move(scheduled));
  }
  const auto name = [&](int index, EntryKind kind, const char* text) {
    Entry& entry = out.entries[static_cast<size_t>(index)].entry;
    entry.kind = kind;
    entry.name = text;
    entry.output = EntryOutput::None;
  };
  name(kGemmLoadEntry, EntryKind::Load, "load");
  name(kGemmEntry, EntryKind::Decode, "gemm");
  name(kGemmFetchEntry, EntryKind::Decode, "fetch");
  Segment operands;
  operands.count = static_cast<uint32_t>(gemm_tape_vectors(out.layout));
  out.entries[kGemmLoadEntry].entry.tape = {operands};
  out.entries[kGemmFetchEntry].entry.host_send_vectors =
      static_cast<uint32_t>(gemm_result_vectors(out.layout));
  const uint64_t lanes = static_cast<uint64_t>(target.lanes), units = target.mxm_positions.size();
  const uint64_t m = static_cast<uint64_t>(shape.m), k = static_cast<uint64_t>(shape.k),
                 n = static_cast<uint64_t>(shape.n);
  const auto over = [](uint64_t amount, uint64_t rate) { return (amount + rate - 1) / rate; };
  const uint64_t load = lanes * static_cast<uint64_t>(target.mxm_load_streams);
  out.entries[kGemmEntry].entry.bounds = {{"mac", over(m * k * n, lanes * lanes * units)},
                                          {"weight_load", over(std::min(m, n) * k, load * units)}};
  return out;
}

}  // namespace

Result<GemmPlan> plan_gemm(const GemmShape& shape, const Target& target) {
  TRY(Composition composition, compose(shape, target));
  GemmPlan plan;
  plan.layout = std::move(composition.layout);
  plan.words_used = composition.entries[kGemmEntry].words_used;
  for (ScheduledEntry& scheduled : composition.entries) plan.entries.push_back(std::move(scheduled.entry));
  return plan;
}

Result<GemmRoll> compile_gemm(const GemmShape& shape, const Target& target, std::span<const int8_t> a,
                              std::span<const int8_t> b) {
  TRY(Composition composition, compose(shape, target));
  GemmRoll out;
  out.layout = std::move(composition.layout);
  Roll& roll = out.roll;
  roll.target = target;
  roll.metadata.target_name = target.name;
  roll.metadata.target_text = canonical_text(target);
  roll.metadata.persistent = composition.entries[kGemmEntry].persistent;
  for (ScheduledEntry& scheduled : composition.entries) {
    CHECK(scheduled.persistent.size() == roll.metadata.persistent.size());
    scheduled.entry.first_word = roll.owned_words.size();
    roll.owned_words.insert(roll.owned_words.end(), scheduled.words.begin(), scheduled.words.end());
    roll.metadata.entries.push_back(std::move(scheduled.entry));
  }
  roll.owned_data = pack_gemm_operands(out.layout, a, b);
  roll.words = roll.owned_words;
  roll.data = roll.owned_data;
  return out;
}

double gemm_utilization(const GemmShape& shape, const Target& target, uint64_t cycles) {
  const double cells = static_cast<double>(target.mxm_positions.size()) * target.lanes * target.lanes;
  return macs(shape) / (cells * static_cast<double>(cycles));
}

double gemm_tera_operations_per_second(const GemmShape& shape, const Target& target, uint64_t cycles) {
  return 2 * macs(shape) * target.clock_mhz * 1e6 / static_cast<double>(cycles) * 1e-12;
}

}  // namespace pianola
