// `pianola score`: mean negative log likelihood of given ids, and their logits.
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/executors.h"
#include "cli/input_options.h"
#include "cli/progress.h"
#include "formats/mapped_file.h"
#include "host/engine.h"
#include "reference/float_reference.h"

namespace pianola {
namespace {

struct ScoreOptions {
  InputOptions input;
  ExecutorOptions executor;
  std::string ids_file, output;
  bool json = false;
};

using Logits = std::vector<std::vector<float>>;

Error bad_ids(const std::string& path, size_t line, const std::string& what) {
  return Error{ErrorCode::Malformed, what, path + ":" + std::to_string(line)};
}

// A line of decimal ids per sequence, separated by blanks or commas; empty lines are skipped.
Result<std::vector<std::vector<int>>> read_ids(const std::string& path) {
  TRY(std::unique_ptr<MappedFile> file, MappedFile::open(path));
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  std::vector<std::vector<int>> sequences;
  std::vector<int> ids;
  size_t line = 1;
  for (size_t i = 0; i <= text.size();) {
    if (i == text.size() || text[i] == '\n') {
      if (!ids.empty()) sequences.push_back(std::move(ids));
      ids.clear();
      ++line;
      ++i;
      continue;
    }
    if (std::string_view(" \t\r,[]").find(text[i]) != std::string_view::npos) {
      ++i;
      continue;
    }
    int id = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + text.size(), id);
    if (error != std::errc() || id < 0) {
      return bad_ids(path, line, "expected token ids, decimal numbers from 0, separated by blanks");
    }
    ids.push_back(id);
    i = static_cast<size_t>(end - text.data());
  }
  if (sequences.empty()) return bad_ids(path, 1, "no ids; expected a line of ids per sequence");
  return sequences;
}

double log_likelihood(std::span<const float> logits, int id) {
  double largest = logits[0];
  for (float value : logits) largest = std::max<double>(largest, value);
  double sum = 0;
  for (float value : logits) sum += std::exp(value - largest);
  return logits[static_cast<size_t>(id)] - largest - std::log(sum);
}

// Writes rows of logits to a temporary file that gets its name at the end.
class LogitsWriter {
 public:
  explicit LogitsWriter(std::string path) : path_(std::move(path)) {}
  ~LogitsWriter() {
    if (file_ == nullptr) return;
    std::fclose(file_);
    std::remove(temporary().c_str());
  }
  Status open() {
    if (path_.empty()) return Ok{};
    file_ = std::fopen(temporary().c_str(), "wb");
    if (file_ == nullptr) return Error{ErrorCode::Io, "cannot be written", path_};
    return Ok{};
  }
  void write(std::span<const float> row) {
    if (file_ != nullptr) failed_ |= std::fwrite(row.data(), 4, row.size(), file_) != row.size();
  }
  Status finish() {
    if (file_ == nullptr) return Ok{};
    const bool closed = std::fclose(file_) == 0;
    file_ = nullptr;
    std::error_code error;
    if (closed && !failed_) std::filesystem::rename(temporary(), path_, error);
    if (!closed || failed_ || error) {
      std::remove(temporary().c_str());
      return Error{ErrorCode::Io, "cannot be written; is the disk full?", path_};
    }
    return Ok{};
  }

 private:
  std::string temporary() const { return path_ + ".tmp"; }
  std::string path_;
  std::FILE* file_ = nullptr;
  bool failed_ = false;
};

struct Score {
  uint64_t tokens = 0;
  double nll = 0;
  std::vector<LaunchRecord> launches;  // none by the float reference
};

Result<Score> score_all(const ScoreOptions& options, const std::vector<std::vector<int>>& sequences,
                        size_t vocabulary,
                        const std::function<Result<Logits>(std::span<const int>)>& evaluate) {
  LogitsWriter writer(options.output);
  TRY_STATUS(writer.open());
  Progress progress("scoring", "sequences");
  Score score;
  double sum = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    const std::vector<int>& ids = sequences[s];
    for (int id : ids) {
      if (static_cast<size_t>(id) >= vocabulary) {
        return Error{ErrorCode::OutOfRange,
                     "id " + std::to_string(id) + " is not in the vocabulary of " +
                         std::to_string(vocabulary),
                     options.ids_file};
      }
    }
    TRY(Logits logits, evaluate(ids));
    for (size_t i = 0; i < ids.size(); ++i) {
      writer.write(logits[i]);
      if (i + 1 == ids.size()) break;
      sum -= log_likelihood(logits[i], ids[i + 1]);
      ++score.tokens;
    }
    progress.update(s + 1, sequences.size());
  }
  TRY_STATUS(writer.finish());
  score.nll = score.tokens > 0 ? sum / static_cast<double>(score.tokens) : 0;
  return score;
}

void print(const ScoreOptions& options, const Score& score) {
  const double perplexity = std::exp(score.nll);
  uint64_t cycles = 0, frozen = 0;
  for (const LaunchRecord& launch : score.launches) {
    cycles += launch.cycles;
    frozen += launch.frozen_cycles;
  }
  if (!options.json) {
    std::printf("%llu tokens, nll %.6f nats, perplexity %.6f\n",
                static_cast<unsigned long long>(score.tokens), score.nll, perplexity);
    if (score.launches.empty()) return;
    std::fprintf(stderr, "%llu machine cycles in %zu launches, %llu frozen\n",
                 static_cast<unsigned long long>(cycles), score.launches.size(),
                 static_cast<unsigned long long>(frozen));
    return;
  }
  nlohmann::ordered_json json;
  json["executor"] = options.executor.name;
  json["tokens"] = score.tokens;
  json["nll"] = score.nll;
  json["perplexity"] = perplexity;
  if (!score.launches.empty()) {
    json["cycles"] = cycles;
    json["frozen_cycles"] = frozen;
  }
  std::printf("%s\n", json.dump(2).c_str());
}

Status score_reference(const ScoreOptions& options,
                       const std::vector<std::vector<int>>& sequences) {
  if (is_roll(options.input.path)) {
    return Error{ErrorCode::InvalidArgument, "the float reference takes a model, not a roll",
                 options.input.path};
  }
  TRY(Model model, import_model(options.input.path));
  FloatReference reference(model.graph);
  TRY(Score score, score_all(options, sequences, model.graph.facts.vocab,
                             [&](std::span<const int> ids) -> Result<Logits> {
                               const Eigen::MatrixXf all = reference.logits(ids);
                               Logits rows;
                               for (Eigen::Index t = 0; t < all.cols(); ++t) {
                                 rows.emplace_back(all.col(t).data(),
                                                   all.col(t).data() + all.rows());
                               }
                               return rows;
                             }));
  print(options, score);
  return Ok{};
}

Status score(ScoreOptions options) {
  TRY_STATUS(check_executor_options(options.executor));
  TRY(std::vector<std::vector<int>> sequences, read_ids(options.ids_file));
  if (options.executor.name == "reference") return score_reference(options, sequences);
  size_t longest = 0;
  for (const auto& ids : sequences) longest = std::max(longest, ids.size());
  if (options.input.context == 0 && !is_roll(options.input.path)) {
    options.input.context = static_cast<int>(std::min<size_t>(longest, 1 << 20));
  }
  TRY(CompiledInput input, open_input(options.input));
  if (longest > static_cast<size_t>(input.roll.metadata.model.context)) {
    return Error{ErrorCode::OutOfRange,
                 "a sequence of " + std::to_string(longest) + " ids, the roll has a context of " +
                     std::to_string(input.roll.metadata.model.context) +
                     "; compile with a longer --context",
                 options.ids_file};
  }
  if (sends_tokens(input.roll)) {
    return Error{ErrorCode::Unsupported,
                 "its entries send tokens, a score needs logits; compile with --send logits",
                 options.input.path};
  }
  TRY(std::unique_ptr<Device> device, make_executor(input.roll, options.executor));
  TRY(Engine engine, Engine::create(input.roll, *device));
  TRY(Score result,
      score_all(options, sequences, static_cast<size_t>(input.roll.metadata.model.vocabulary),
                [&](std::span<const int> ids) -> Result<Logits> {
                  TRY_STATUS(engine.rewind(0));
                  return engine.extend(ids);
                }));
  result.launches = engine.launches();
  print(options, result);
  return Ok{};
}

}  // namespace

void add_score_command(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("score", "perplexity and logits of given token ids");
  auto o = std::make_shared<ScoreOptions>();
  add_input_options(*command, o->input);
  command->add_option("--ids-file", o->ids_file, "a line of ids per sequence")->required();
  command->add_option("-o,--output", o->output,
                      "float32 logits, [ids][vocabulary]: row p follows id p of its line");
  command->add_option("--executor", o->executor.name, "emulator, naive, rtl, systemc or reference")
      ->capture_default_str();
  add_systemc_options(*command, o->executor.systemc);
  command->add_flag("--json", o->json, "one JSON object instead of text");
  command->callback([&chosen, o] { chosen = [o] { return score(*o); }; });
}

}  // namespace pianola
