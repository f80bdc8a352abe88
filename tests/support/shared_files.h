// Tests that need the models of ../shared, which is no part of the repository.
//
//   if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
//
// With PIANOLA_REQUIRE_SHARED=1 in the environment their absence is a failure.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace pianola {

inline constexpr const char* kSharedSkip =
    "needs the models in " PIANOLA_SHARED_DIR ", which are not there";

inline bool shared_is_missing() {
  std::error_code ignored;
  if (std::filesystem::exists(PIANOLA_SHARED_DIR "/models/README.md", ignored)) return false;
  const char* required = std::getenv("PIANOLA_REQUIRE_SHARED");
  if (required != nullptr && std::string_view(required) == "1") ADD_FAILURE() << kSharedSkip;
  return true;
}

inline std::filesystem::path shared_path(const std::string& path) {
  return std::filesystem::path(PIANOLA_SHARED_DIR) / path;
}

// The bytes of a file; empty where it cannot be read.
inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace pianola
