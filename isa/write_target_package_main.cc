// pianola_target_package <target>: prints target_pkg for the RTL build.
#include <cstdio>

#include "isa/write_target_package.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s <target name or .toml file>\n", argv[0]);
    return 2;
  }
  const auto target = pianola::load_target(argv[1]);
  if (!target.ok()) {
    std::fprintf(stderr, "error: %s\n", pianola::to_string(target.error()).c_str());
    return 1;
  }
  const std::string text = pianola::write_target_package(*target);
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
