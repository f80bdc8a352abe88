// pianola_write_roll OUT TARGET [MODEL]: compiles a model, or one of odd dimensions made here if none is
// given, and writes the roll: what compare_compilers.cmake compares.
#include <cstdio>
#include <filesystem>

#include "compiler/compile_model.h"
#include "compiler/import/import_model.h"
#include "tests/support/make_llama.h"

namespace pianola {
namespace {

Status write(const std::filesystem::path& out, const char* target_name, std::filesystem::path path) {
  if (path.empty()) {
    const LlamaShape shape{.hidden = 72, .heads = 6, .kv_heads = 2, .head_dim = 12, .ffn = 101,
                           .vocab = 509, .tied = false};
    path = out.string() + ".model";
    TRY_STATUS(write_llama_directory(path, shape));
  }
  TRY(const Model model, import_model(path));
  TRY(const Target target, load_target(target_name));
  TRY(const Compilation compilation, compile_model(model.graph, target, {}));
  return write_roll(compilation.roll, out);
}

}  // namespace
}  // namespace pianola

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: pianola_write_roll OUT TARGET [MODEL]\n");
    return 2;
  }
  const pianola::Status done = pianola::write(argv[1], argv[2], argc == 4 ? argv[3] : "");
  if (done.ok()) return 0;
  std::fprintf(stderr, "%s\n", pianola::to_string(done.error()).c_str());
  return 1;
}
