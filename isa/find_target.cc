// Targets by name: files of the target folders.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "isa/target.h"
#include "isa/target_keys.h"

namespace pianola {
namespace {

// Where targets are looked for, in this order.
std::vector<std::string> target_folders() {
  std::vector<std::string> folders;
  if (const char* folder = std::getenv("PIANOLA_TARGETS")) folders.push_back(folder);
  folders.push_back(PIANOLA_TARGET_DIR);
  folders.push_back(PIANOLA_TARGET_INSTALL_DIR);
  return folders;
}

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{ErrorCode::NotFound, "cannot open the target file", path};
  std::string text(kTargetBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return Error{ErrorCode::Io, "cannot read the target file", path};
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

}  // namespace

Result<std::vector<std::string>> target_names() {
  std::set<std::string> names;
  for (const std::string& folder : target_folders()) {
    // A folder that is absent, unreadable or vanishes meanwhile has no more names.
    std::error_code error;
    for (std::filesystem::directory_iterator file(folder, error), end; !error && file != end;
         file.increment(error)) {
      const std::filesystem::path& path = file->path();
      if (path.extension() == ".toml") names.insert(path.stem().string());
    }
  }
  if (names.empty()) {
    return Error{ErrorCode::NotFound, "no targets found; set PIANOLA_TARGETS to their folder", ""};
  }
  return std::vector<std::string>(names.begin(), names.end());
}

Result<Target> load_target(std::string_view name_or_path) {
  const std::string name(name_or_path);
  if (name.find('/') != std::string::npos || name.ends_with(".toml")) {
    TRY(const std::string text, read_text(name));
    return parse_target(text, name);
  }
  std::string tried;
  for (const std::string& folder : target_folders()) {
    const std::string path = folder + "/" + name + ".toml";
    auto text = read_text(path);
    if (!text.ok()) {
      tried += (tried.empty() ? "" : ", ") + path;
      continue;
    }
    TRY(Target target, parse_target(*text, path));
    if (target.name != name) {
      return Error{ErrorCode::Mismatch,
                   "expected name = " + quote(name) + " like the file, got " + quote(target.name),
                   path};
    }
    return target;
  }
  return Error{ErrorCode::NotFound,
               "no target " + quote(name) + "; tried " + tried +
                   "; give one of these names, a path ending in .toml, or set PIANOLA_TARGETS",
               ""};
}

}  // namespace pianola
