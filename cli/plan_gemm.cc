#include "cli/plan_gemm.h"

#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "compiler/gemm/compile_gemm.h"
#include "compiler/lower_bounds.h"
#include "isa/target.h"

namespace pianola {
namespace {

using Json = nlohmann::ordered_json;

Result<GemmShape> parse_extents(const std::string& text) {
  GemmShape shape;
  const char* at = text.data();
  const char* const end = at + text.size();
  bool good = true;
  for (int* extent : {&shape.m, &shape.k, &shape.n}) {
    const auto [next, error] = std::from_chars(at, end, *extent);
    good = good && error == std::errc() && (extent == &shape.n ? next == end : next != end && *next == 'x');
    at = good && next != end ? next + 1 : next;
  }
  if (good) return shape;
  return Error{ErrorCode::InvalidArgument,
               "expected MxKxN, three whole numbers such as 2304x4096x1376, got " + text, "--gemm"};
}

Json plan_json(const GemmPlan& plan, const Target& target) {
  const GemmShape& shape = plan.layout.shape;
  Json json;
  json["target"] = target.name;
  json["clock_mhz"] = target.clock_mhz;
  json["clock_source"] = target.clock_source;
  json["m"] = shape.m;
  json["k"] = shape.k;
  json["n"] = shape.n;
  json["entries"] = Json::array();
  for (const Entry& entry : plan.entries) {
    Json one;
    one["name"] = entry.name;
    one["cycles"] = entry.cycles;
    one["bounds"] = Json::object();
    for (const Bound& bound : entry.bounds) one["bounds"][bound.name] = bound.cycles;
    const Bound* active = active_bound(entry.bounds);
    one["active_bound"] = active ? Json(active->name) : Json();
    one["instruction_words"] = entry.word_count;
    if (active) {
      one["mxm_utilization"] = gemm_utilization(shape, target, entry.cycles);
      one["tera_operations_per_second"] = gemm_tera_operations_per_second(shape, target, entry.cycles);
    }
    json["entries"].push_back(std::move(one));
  }
  json["memory_map"] = Json::array();
  for (size_t slice = 0; slice < plan.words_used.size(); ++slice) {
    json["memory_map"].push_back({{"slice", slice},
                                  {"words_used", plan.words_used[slice]},
                                  {"words_per_bank", target.words_per_slice / 2}});
  }
  return json;
}

void print_plan(const GemmPlan& plan, const Target& target) {
  const GemmShape& shape = plan.layout.shape;
  std::printf("int8 [%d x %d] x [%d x %d] -> int32 on %s (%s)\n", shape.m, shape.k, shape.k, shape.n,
              target.name.c_str(), target.doc.c_str());
  for (const Entry& entry : plan.entries) {
    std::printf("%-6s %12llu cycles", entry.name.c_str(), static_cast<unsigned long long>(entry.cycles));
    if (const Bound* active = active_bound(entry.bounds)) {
      std::printf(", bound %llu (%s), %.2f %% of the matrix units, %.1f Tops/s at %.0f MHz (%s)",
                  static_cast<unsigned long long>(active->cycles), active->name.c_str(),
                  100 * gemm_utilization(shape, target, entry.cycles),
                  gemm_tera_operations_per_second(shape, target, entry.cycles), target.clock_mhz,
                  target.clock_source.c_str());
    }
    std::printf("\n");
  }
}

}  // namespace

Status plan_gemm_command(const std::string& extents, const std::string& target_name, bool as_json) {
  TRY(const Target target, load_target(target_name));
  TRY(const GemmShape shape, parse_extents(extents));
  TRY(const GemmPlan plan, plan_gemm(shape, target));
  if (as_json) {
    std::printf("%s\n", plan_json(plan, target).dump(2).c_str());
  } else {
    print_plan(plan, target);
  }
  return Ok{};
}

}  // namespace pianola
