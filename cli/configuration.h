// Models by their dimensions: a config.json, or the name of one that comes with Pianola.
#pragma once

#include <memory>
#include <string>

#include "compiler/import/import_model.h"
#include "formats/mapped_file.h"
#include "isa/result.h"

namespace pianola {

// The text of a config.json: `path` is the file, or NAME for models/configs/NAME.json. Errors:
// NotFound with the names that there are.
Result<std::unique_ptr<MappedFile>> open_configuration(const std::string& path);

// The graph of a configuration, without weights, or of a model (directory or .gguf).
Result<Model> import_dimensions(const std::string& path);

}  // namespace pianola
