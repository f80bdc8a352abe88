#include "compiler/import/import_model.h"

#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "compiler/import/import_gguf.h"
#include "compiler/import/import_hugging_face.h"
#include "formats/quote.h"
#include "formats/read_gguf.h"
#include "formats/read_safetensors.h"

namespace pianola {
namespace {

namespace fs = std::filesystem;

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

struct Shards {
  std::vector<std::unique_ptr<MappedFile>> files;
  std::vector<SafetensorsFile> parsed;
};

Status add_shard(const fs::path& path, Shards& shards) {
  TRY(std::unique_ptr<MappedFile> file, MappedFile::open(path));
  TRY(SafetensorsFile parsed, SafetensorsFile::parse(file->bytes(), file->path()));
  shards.files.push_back(std::move(file));
  shards.parsed.push_back(std::move(parsed));
  return Ok{};
}

// Index and shards must name the same tensors in the same files.
Status check_index(const std::map<std::string, std::string>& index, const Shards& shards,
                   const fs::path& directory, const std::string& index_path) {
  std::size_t found = 0;
  for (const SafetensorsFile& shard : shards.parsed) {
    for (const SafetensorsTensor& tensor : shard.tensors()) {
      const auto entry = index.find(tensor.name);
      if (entry == index.end() || (directory / entry->second).string() != shard.name()) {
        return Error{ErrorCode::Malformed,
                     "the index does not place tensor " + quote_name(tensor.name) + " in " +
                         quote_name(shard.name()),
                     index_path};
      }
      ++found;
    }
  }
  if (found == index.size()) return Ok{};
  return Error{ErrorCode::Malformed,
               "the index names " + std::to_string(index.size()) + " tensors, its files hold " +
                   std::to_string(found),
               index_path};
}

Result<Shards> open_shards(const fs::path& directory) {
  Shards shards;
  if (is_there(directory / "model.safetensors")) {
    TRY_STATUS(add_shard(directory / "model.safetensors", shards));
    return shards;
  }
  const fs::path index_path = directory / "model.safetensors.index.json";
  if (!is_there(index_path)) {
    return Error{ErrorCode::NotFound,
                 "neither model.safetensors nor model.safetensors.index.json is there; weights in "
                 "other formats must be converted to safetensors first",
                 directory.string()};
  }
  TRY(const std::unique_ptr<MappedFile> index_file, MappedFile::open(index_path));
  TRY(const auto index, parse_safetensors_index(text_of(*index_file), index_file->path()));
  std::set<std::string> names;
  for (const auto& [tensor, file] : index) names.insert(file);
  for (const std::string& name : names) TRY_STATUS(add_shard(directory / name, shards));
  TRY_STATUS(check_index(index, shards, directory, index_file->path()));
  return shards;
}

Result<Model> import_directory(const fs::path& directory) {
  TRY(const std::unique_ptr<MappedFile> config, MappedFile::open(directory / "config.json"));
  std::unique_ptr<MappedFile> generation;
  if (is_there(directory / "generation_config.json")) {
    TRY(generation, MappedFile::open(directory / "generation_config.json"));
  }
  TRY(Shards shards, open_shards(directory));
  const std::string_view generation_text =
      generation != nullptr ? text_of(*generation) : std::string_view();
  TRY(Graph graph,
      import_hugging_face(text_of(*config), generation_text, shards.parsed, directory.string()));
  return Model{std::move(shards.files), {}, std::move(graph)};
}

}  // namespace

Result<Model> import_model(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return import_directory(path);
  TRY(std::unique_ptr<MappedFile> file, MappedFile::open(path));
  if (path.extension() != ".gguf" && !text_of(*file).starts_with("GGUF")) {
    return Error{ErrorCode::InvalidArgument,
                 "expected a .gguf file or the directory of a Hugging Face model", path.string()};
  }
  TRY(const GgufFile gguf, GgufFile::parse(file->bytes(), file->path()));
  TRY(Graph graph, import_gguf(gguf));
  Model model;
  model.files.push_back(std::move(file));
  model.graph = std::move(graph);
  return model;
}

}  // namespace pianola
