// A file mapped read-only into memory. Its bytes stay where they are until it is destroyed, so
// that tensors can be spans into it; own it by unique_ptr.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "isa/result.h"

namespace pianola {

class MappedFile {
 public:
  // Errors: NotFound, Io; InvalidArgument for a directory or another thing that is no plain file.
  static Result<std::unique_ptr<MappedFile>> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, std::span<const std::byte> bytes);

  std::string path_;
  std::span<const std::byte> bytes_;
};

}  // namespace pianola
