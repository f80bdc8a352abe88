#include "cli/configuration.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "compiler/import/import_hugging_face.h"

namespace pianola {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> configuration_folders() {
  return {PIANOLA_CONFIGURATION_DIR, PIANOLA_CONFIGURATION_INSTALL_DIR};
}

std::string configuration_names() {
  std::vector<std::string> names;
  for (const fs::path& folder : configuration_folders()) {
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      if (at->path().extension() == ".json") names.push_back(at->path().stem());
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

Result<std::unique_ptr<MappedFile>> open_configuration(const std::string& path) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return MappedFile::open(path);
  if (path.find('/') == std::string::npos) {
    for (const fs::path& folder : configuration_folders()) {
      const fs::path file = folder / (path + ".json");
      if (fs::is_regular_file(file, error)) return MappedFile::open(file);
    }
  }
  return Error{ErrorCode::NotFound,
               "no such file or configuration; those that come with Pianola are " +
                   configuration_names(),
               path};
}

Result<Model> import_dimensions(const std::string& path) {
  std::error_code error;
  const bool is_model = fs::is_directory(path, error) ||
                        (fs::is_regular_file(path, error) && !path.ends_with(".json"));
  if (is_model) return import_model(path);
  TRY(std::unique_ptr<MappedFile> file, open_configuration(path));
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  Model model;
  TRY(model.graph, import_configuration(text, path));
  return model;
}

}  // namespace pianola
