// One line of assembly, split into its parts: bare words and key=value pairs. Every part must be
// taken by somebody before finish(), so that nothing in a line is ignored.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace pianola {

// A decimal or 0x number with an optional sign; nothing else around it.
std::optional<int64_t> parse_signed(std::string_view text);
std::optional<uint64_t> parse_unsigned(std::string_view text);

class AssemblyLine {
 public:
  // The text must outlive the line. A # outside quotes begins a comment.
  static Result<AssemblyLine> split(std::string_view text);

  bool empty() const { return parts_.empty(); }
  // The next bare word, or empty.
  std::string_view take_word();
  bool has(std::string_view key) const;

  // Values by key. Without a fallback the key must be there.
  Result<int64_t> take_signed(std::string_view key, int64_t minimum, int64_t maximum,
                              std::optional<int64_t> fallback = std::nullopt);
  Result<uint64_t> take_unsigned(std::string_view key, uint64_t maximum,
                                 std::optional<uint64_t> fallback = std::nullopt);
  Result<int> take_choice(std::string_view key, std::span<const std::string_view> names,
                          std::optional<int> fallback = std::nullopt);
  Result<std::string> take_text(std::string_view key,
                                std::optional<std::string> fallback = std::nullopt);

  // An error if a part is left.
  Status finish() const;

 private:
  struct Part {
    std::string_view key;  // empty for a bare word
    std::string value;
    bool taken = false;
  };
  Part* find(std::string_view key);

  std::vector<Part> parts_;
};

}  // namespace pianola
