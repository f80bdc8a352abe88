#include "cli/model_input.h"

#include <cstdio>

#include "cli/progress.h"
#include "compiler/compile_model.h"
#include "formats/mapped_file.h"
#include "formats/read_gguf.h"
#include "verifier/verify_roll.h"

namespace pianola {
namespace {

namespace fs = std::filesystem;

// The bytes of a file that may be absent (empty then).
Result<std::unique_ptr<MappedFile>> open_optional(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::unique_ptr<MappedFile>();
  return MappedFile::open(path);
}

Result<std::optional<Tokenizer>> read_directory_tokenizer(const fs::path& directory) {
  TRY(std::unique_ptr<MappedFile> json, open_optional(directory / "tokenizer.json"));
  TRY(std::unique_ptr<MappedFile> config, open_optional(directory / "tokenizer_config.json"));
  TRY(std::unique_ptr<MappedFile> generation, open_optional(directory / "generation_config.json"));
  if (json) {
    HfSideFiles side;
    if (config) side.config = config->bytes();
    if (generation) side.generation_config = generation->bytes();
    TRY(Tokenizer tokenizer, tokenizer_from_hf_json(json->bytes(), side));
    return std::optional<Tokenizer>(std::move(tokenizer));
  }
  TRY(std::unique_ptr<MappedFile> pieces, open_optional(directory / "tokenizer.model"));
  if (pieces) {
    TRY(Tokenizer tokenizer, tokenizer_from_sentencepiece(pieces->bytes()));
    return std::optional<Tokenizer>(std::move(tokenizer));
  }
  return std::optional<Tokenizer>();
}

uint64_t count_macs(const Target& target, const EntryFacts& facts) {
  uint64_t vectors = 0;
  for (size_t q = 0; q < facts.queues.size(); ++q) {
    if (target.queues[q].kind == QueueKind::MxmMac) vectors += facts.queues[q].issues;
  }
  return vectors * static_cast<uint64_t>(target.lanes) * static_cast<uint64_t>(target.lanes);
}

Status verify_loaded(CompiledInput& input, const std::string& where) {
  const VerifyReport report = verify_roll(input.roll);
  for (const EntryFacts& facts : report.entries) {
    input.macs.push_back(count_macs(input.roll.target, facts));
  }
  if (report.ok()) return Ok{};
  std::string text = "the roll breaks the rules of its machine and is not played:";
  size_t shown = 0;
  for (const Violation& violation : report.violations) {
    if (shown++ == 5) break;
    text += "\n  " + to_string(violation);
  }
  for (const std::string& problem : report.problems) text += "\n  " + problem;
  return Error{ErrorCode::Mismatch, text, where};
}

}  // namespace

bool is_roll(const fs::path& path) { return path.extension() == ".roll"; }

Result<std::optional<Tokenizer>> read_tokenizer(const fs::path& model) {
  std::error_code ignored;
  if (fs::is_directory(model, ignored)) return read_directory_tokenizer(model);
  TRY(std::unique_ptr<MappedFile> file, MappedFile::open(model));
  TRY(GgufFile gguf, GgufFile::parse(file->bytes(), model.string()));
  if (gguf.find("tokenizer.ggml.model") == nullptr) return std::optional<Tokenizer>();
  TRY(Tokenizer tokenizer, tokenizer_from_gguf(gguf));
  return std::optional<Tokenizer>(std::move(tokenizer));
}

Result<EntryOutput> parse_output(const std::string& name) {
  if (name == "logits") return EntryOutput::Logits;
  if (name == "tokens") return EntryOutput::Tokens;
  return Error{ErrorCode::InvalidArgument, "expected logits or tokens, got " + name, "--send"};
}

Result<CompileOptions> compile_options(const InputOptions& options) {
  CompileOptions compile;
  TRY(compile.weights, parse_quantization(options.quantization));
  TRY(compile.output, parse_output(options.send));
  compile.context = options.context;
  compile.verify = options.verify;
  compile.threads = options.threads;
  return compile;
}

Result<CompiledInput> open_input(const InputOptions& options) {
  CompiledInput input;
  if (is_roll(options.path)) {
    TRY(input.roll, read_roll(options.path));
    if (options.target_given) {
      TRY(Target target, load_target(options.target));
      if (canonical_text(target) != input.roll.metadata.target_text) {
        return Error{ErrorCode::Mismatch,
                     "this roll was cut for target " + input.roll.metadata.target_name +
                         ", not for " + target.name +
                         "; compile the model for it with `pianola compile -t`",
                     options.path};
      }
    }
    TRY_STATUS(verify_loaded(input, options.path));
    if (!input.roll.tokenizer.empty()) {
      TRY(Tokenizer tokenizer, load_tokenizer(input.roll.tokenizer));
      input.tokenizer = std::move(tokenizer);
    }
    return input;
  }
  TRY(Target target, load_target(options.target));
  TRY(Model model, import_model(options.path));
  TRY(input.tokenizer, read_tokenizer(options.path));
  TRY(CompileOptions compile, compile_options(options));
  std::vector<std::byte> serialized;
  if (input.tokenizer) serialized = input.tokenizer->serialize();
  compile.tokenizer = serialized;
  Progress progress("compiling for " + target.name, "entries");
  compile.on_progress = [&](int done, int total) {
    progress.update(static_cast<uint64_t>(done), static_cast<uint64_t>(total));
  };
  TRY(Compilation compilation, compile_model(model.graph, target, compile));
  progress.clear();
  for (const std::string& note : compilation.notes) {
    std::fprintf(stderr, "note: %s\n", note.c_str());
  }
  input.roll = std::move(compilation.roll);
  TRY_STATUS(verify_loaded(input, options.path));
  return input;
}

}  // namespace pianola
