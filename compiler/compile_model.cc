#include "compiler/compile_model.h"

#include <malloc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "compiler/lower/lower_graph.h"
#include "compiler/lower_bounds.h"
#include "compiler/schedule_entry.h"
#include "scheduler/schedule.h"

namespace pianola {
namespace {

constexpr int kSmallestBucket = 128;
constexpr int kDefaultContextMax = 512;
constexpr int kDefaultVerify = 4;
constexpr std::array kPrefillTokens = {32, 24, 16, 12, 10, 8, 6, 5, 4, 3, 2};  // where the most do not fit
constexpr int kReturnedBytes = 1 << 18;  // blocks of this size go back to the system when they are freed

std::string entry_name(const EntryShape& shape) {
  switch (shape.kind) {
    case EntryKind::Load: return "load";
    case EntryKind::Decode: return "decode@" + std::to_string(shape.context);
    case EntryKind::Verify:
      return "verify" + std::to_string(shape.tokens) + "@" + std::to_string(shape.context);
    case EntryKind::Prefill:
      return "prefill" + std::to_string(shape.tokens) + "@" + std::to_string(shape.context);
  }
  return "";
}

std::vector<EntryShape> entry_shapes(const QuantizedGraph& graph, const Target& target,
                                     const CompileOptions& options) {
  std::vector<EntryShape> shapes;
  if (target.weights == Residence::Mem || target.kv == KvResidence::Mem) {
    shapes.push_back({EntryKind::Load, 1, graph.model.context, EntryOutput::None});
  }
  const int most = max_tokens(target);
  const int verify = options.verify < 0 ? kDefaultVerify : options.verify;
  for (int context : context_buckets(graph.model.context, target.lanes)) {
    shapes.push_back({EntryKind::Decode, 1, context, options.output});
    if (verify > 1 && verify <= most && verify <= context) {
      shapes.push_back({EntryKind::Verify, verify, context, options.output});
    }
    if (most > 1 && most <= context) {
      shapes.push_back({EntryKind::Prefill, most, context, options.output});
    }
  }
  return shapes;
}

struct Built : ScheduledEntry {
  LayerCycles layer_cycles;
};

LayerCycles layer_cycles(const LoweredEntry& lowered, int layers,
                         const std::vector<Schedule::Placement>& placements) {
  const size_t middle = static_cast<size_t>(layers) / 2;
  if (middle == 0 || lowered.residuals.size() != 2 * static_cast<size_t>(layers)) return {};
  const auto done = [&](size_t residual) {
    for (const Schedule::Placement& placement : placements) {
      if (placement.operation == lowered.residuals[residual]) return placement.last;
    }
    return int64_t{0};
  };
  const int64_t before = done(2 * middle - 1), between = done(2 * middle);
  return {static_cast<uint64_t>(between - before),
          static_cast<uint64_t>(done(2 * middle + 1) - between)};
}

// With attention in as large parts as memory has room for.
Result<LoweredEntry> lower_into_memory(const QuantizedGraph& graph, const Target& target,
                                       EntryShape shape, const DataTape& tape) {
  shape.attention_tokens = std::min(shape.tokens, attention_tokens(graph, target));
  while (true) {
    LoweredEntry lowered = lower_entry(graph, target, shape, tape);
    const Status status = allocate_memory(lowered.program, target);
    if (status.ok()) return lowered;
    // There is no need for a prefill entry of so many tokens.
    if (shape.attention_tokens == 1 || shape.kind == EntryKind::Prefill) return status.error();
    shape.attention_tokens /= 2;
  }
}

Result<Built> build_entry(const QuantizedGraph& graph, const Target& target,
                          const EntryShape& shape, const DataTape& tape) {
  TRY(LoweredEntry lowered, lower_into_memory(graph, target, shape, tape));
  TRY(ScheduledEntry scheduled, schedule_entry(lowered.program, target));
  Built built{std::move(scheduled), {}};
  built.layer_cycles = layer_cycles(lowered, graph.model.layers, built.placements);
  built.placements = std::vector<Schedule::Placement>();  // frees them: other entries are made meanwhile
  Entry& entry = built.entry;
  entry.kind = shape.kind;
  entry.name = entry_name(shape);
  entry.tokens = shape.tokens;
  entry.context = shape.context;
  entry.tape = std::move(lowered.tape);
  entry.kv_read = std::move(lowered.kv_read);
  entry.kv_write = std::move(lowered.kv_write);
  entry.output = shape.output;
  if (entry.output != EntryOutput::None) {
    entry.host_send_vectors = static_cast<uint32_t>(
        output_vectors(entry.output, graph.model.vocabulary, target.lanes, shape.tokens));
    entry.bounds = lower_bounds(graph, target, shape.tokens, shape.context, entry.word_count);
  }
  return built;
}

// As many tokens at once as there is room for; nobody asked for a number. Nothing: there is room for no more than
// `verify`, whose entry does the same, or for none.
std::optional<Result<Built>> build_prefill(const QuantizedGraph& graph, const Target& target,
                                           EntryShape shape, const DataTape& tape, int verify) {
  for (const int tokens : kPrefillTokens) {
    if (tokens > shape.tokens) continue;
    if (tokens <= verify) break;
    shape.tokens = tokens;
    Result<Built> built = build_entry(graph, target, shape, tape);
    if (built.ok() || built.error().code != ErrorCode::OutOfRange) return built;
  }
  return std::nullopt;
}

// A prefill entry that does what the verify entry before it does.
Built prefill_as(const Built& verify) {
  Built built = verify;
  EntryShape shape{EntryKind::Prefill, verify.entry.tokens, verify.entry.context};
  built.entry.kind = shape.kind;
  built.entry.name = entry_name(shape);
  return built;
}

Error in_entry(const EntryShape& shape, Error error) {
  error.where = "entry " + entry_name(shape) + (error.where.empty() ? "" : ", " + error.where);
  return error;
}

// Whether the entry that needs most memory finds it. Schedules take longer to make; what does not fit is refused
// before that.
Status check_memory(const QuantizedGraph& graph, const Target& target,
                    const std::vector<EntryShape>& shapes, const DataTape& tape) {
  // In order of context, and a prefill entry is content with less.
  const auto most = std::find_if(shapes.rbegin(), shapes.rend(), [](const EntryShape& shape) {
    return shape.kind != EntryKind::Prefill;
  });
  const Result<LoweredEntry> lowered = lower_into_memory(graph, target, *most, tape);
  return lowered.ok() ? Status(Ok{}) : in_entry(*most, lowered.error());
}

Result<std::vector<Built>> build_entries(const QuantizedGraph& graph, const Target& target,
                                         const std::vector<EntryShape>& shapes,
                                         const DataTape& tape, const CompileOptions& options) {
  std::vector<std::optional<Result<Built>>> results(shapes.size());
  std::atomic<size_t> next = 0;
  std::mutex progress;
  int done = 0;
  const auto work = [&] {
    // The longest first: they come last in the list.
    for (size_t i = next++; i < shapes.size(); i = next++) {
      const size_t index = shapes.size() - 1 - i;
      const EntryShape& shape = shapes[index];
      if (shape.kind == EntryKind::Prefill) {
        const bool verified = index > 0 && shapes[index - 1].kind == EntryKind::Verify;
        const int verify = verified ? shapes[index - 1].tokens : 0;
        results[index] = build_prefill(graph, target, shape, tape, verify);
      } else {
        results[index] = build_entry(graph, target, shape, tape);
      }
      const std::lock_guard lock(progress);
      ++done;
      if (options.on_progress) options.on_progress(done, static_cast<int>(shapes.size()));
    }
  };
  const unsigned processors = std::max(1u, std::thread::hardware_concurrency());
  const size_t threads =
      std::min<size_t>(shapes.size(), options.threads > 0 ? options.threads : processors);
  std::vector<std::thread> pool;
  for (size_t i = 1; i < threads; ++i) pool.emplace_back(work);
  work();
  for (std::thread& thread : pool) thread.join();

  std::vector<Built> built;
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (!results[i]) {
      if (built.back().entry.kind == EntryKind::Verify) built.push_back(prefill_as(built.back()));
      continue;
    }
    if (!results[i]->ok()) return in_entry(shapes[i], results[i]->error());
    built.push_back(std::move(**results[i]));
  }
  return built;
}

// Everything about a roll but the weights, on which nothing else depends. They come last, so that they are not
// in memory while entries are made.
struct Composition {
  QuantizedGraph graph;  // of dimensions
  DataTape tape;
  std::vector<Built> entries;
};

const Tensor* embedding_table(const Graph& graph) {
  for (const Node& node : graph.nodes) {
    if (node.kind() == OpKind::Embedding) {
      return &graph.tensor(std::get<Embedding>(node.op).table);
    }
  }
  return nullptr;
}

QuantizeOptions quantize_options(const CompileOptions& options, int context) {
  QuantizeOptions quantize;
  quantize.weights = options.weights;
  quantize.context = context;
  return quantize;
}

Result<Composition> compose(const Graph& graph, const Target& target,
                            const CompileOptions& options, int context) {
  QuantizeOptions quantize =
      quantize_options(options, (context + target.lanes - 1) / target.lanes * target.lanes);
  quantize.dimensions_only = true;
  TRY(QuantizedGraph quantized, quantize_graph(graph, target, quantize));
  TRY_STATUS(check_fits(quantized, target));
  if (options.output == EntryOutput::Tokens && quantized.model.vocabulary > kChosenFromMax) {
    return Error{ErrorCode::Unsupported,
                 "a machine chooses from at most " + std::to_string(kChosenFromMax) +
                     " tokens, this model has " + std::to_string(quantized.model.vocabulary) +
                     "; compile it for logits",
                 "target " + target.name};
  }
  const int most = max_tokens(target);
  if (options.verify < -1 || options.verify > most) {
    return Error{ErrorCode::InvalidArgument,
                 "a launch of this machine can verify 2 to " + std::to_string(most) +
                     " tokens, or none with 0; got " + std::to_string(options.verify),
                 "target " + target.name};
  }
  DataTape tape = build_data_tape(quantized, target);
  const std::vector<EntryShape> shapes = entry_shapes(quantized, target, options);
  TRY_STATUS(check_memory(quantized, target, shapes, tape));
  TRY(std::vector<Built> built, build_entries(quantized, target, shapes, tape, options));
  return Composition{std::move(quantized), std::move(tape), std::move(built)};
}

// The longest context that fits, if the options leave it open.
Result<Composition> compose(const Graph& graph, const Target& target,
                            const CompileOptions& options) {
  if (options.context > 0) return compose(graph, target, options, options.context);
  int context = default_context(graph, target);
  while (true) {
    Result<Composition> result = compose(graph, target, options, context);
    const int half = context / 2 / target.lanes * target.lanes;
    if (result.ok() || result.error().code != ErrorCode::OutOfRange || half < kSmallestBucket) {
      return result;
    }
    context = half;
  }
}

}  // namespace

Result<Compilation> compile_model(const Graph& graph, const Target& target,
                                  const CompileOptions& options) {
  // What the entries take while they are made goes back, and so does each matrix when it is packed.
  ::mallopt(M_MMAP_THRESHOLD, kReturnedBytes);
  TRY(Composition composition, compose(graph, target, options));
  ::malloc_trim(0);
  QuantizeOptions quantize = quantize_options(options, composition.graph.model.context);
  quantize.with_embedding = false;
  TRY(QuantizedGraph quantized, quantize_graph(graph, target, quantize));
  Compilation out;
  out.notes = std::move(quantized.notes);
  DataTape tape = build_data_tape(std::move(quantized), target, embedding_table(graph));
  CHECK(tape.vectors == composition.tape.vectors);
  Roll& roll = out.roll;
  roll.target = target;
  roll.metadata.target_name = target.name;
  roll.metadata.target_text = canonical_text(target);
  roll.metadata.model = composition.graph.model;
  roll.metadata.kv_vectors = kv_region_vectors(composition.graph, target);
  roll.metadata.persistent = composition.entries.front().persistent;
  size_t words = 0;
  for (const Built& b : composition.entries) words += b.words.size();
  roll.owned_words.reserve(words);
  for (Built& b : composition.entries) {
    CHECK(b.persistent.size() == roll.metadata.persistent.size());
    b.entry.first_word = roll.owned_words.size();
    roll.owned_words.insert(roll.owned_words.end(), b.words.begin(), b.words.end());
    b.words = std::vector<Word>();
    roll.metadata.entries.push_back(std::move(b.entry));
  }
  roll.owned_data = std::move(tape.bytes);
  roll.owned_tokenizer.assign(options.tokenizer.begin(), options.tokenizer.end());
  roll.words = roll.owned_words;
  roll.data = roll.owned_data;
  roll.tokenizer = roll.owned_tokenizer;
  return out;
}

Result<Plan> plan_model(const Graph& graph, const Target& target, const CompileOptions& options) {
  TRY(Composition composition, compose(graph, target, options));
  Plan plan;
  plan.model = composition.graph.model;
  plan.data_vectors = composition.tape.vectors;
  plan.kv_vectors = kv_region_vectors(composition.graph, target);
  plan.persistent = composition.entries.front().persistent;
  plan.words_used.assign(target.slices(), {0, 0});
  for (Built& b : composition.entries) {
    for (size_t slice = 0; slice < plan.words_used.size(); ++slice) {
      for (int bank : {0, 1}) {
        int& words = plan.words_used[slice][bank];
        words = std::max(words, b.words_used[slice][bank]);
      }
    }
    plan.entries.push_back(std::move(b.entry));
    plan.layer_cycles.push_back(b.layer_cycles);
  }
  return plan;
}

int default_context(const Graph& graph, const Target& target) {
  const int most = std::min<int>(kDefaultContextMax, static_cast<int>(graph.facts.context_max));
  return std::max(target.lanes, most / target.lanes * target.lanes);
}

std::vector<int> context_buckets(int context, int lanes) {
  std::vector<int> buckets;
  for (int bucket = context; bucket >= kSmallestBucket && bucket % lanes == 0; bucket /= 2) {
    buckets.insert(buckets.begin(), bucket);
  }
  if (buckets.empty()) buckets = {context};
  return buckets;
}

}  // namespace pianola
