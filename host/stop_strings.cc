#include "host/stop_strings.h"

#include <algorithm>
#include <utility>

namespace pianola {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  std::erase(strings_, std::string());
}

std::string StopStrings::push(std::string_view piece) {
  if (found()) return {};
  held_ += piece;
  // The stop string that is complete first ends the text; of two that end together, the longer.
  std::size_t end = std::string::npos, begin = 0;
  for (const std::string& string : strings_) {
    const std::size_t at = held_.find(string);
    if (at == std::string::npos || at + string.size() > end) continue;
    if (at + string.size() < end || at < begin) {
      begin = at;
      end = at + string.size();
      matched_ = string;
    }
  }
  if (found()) {
    held_.resize(begin);
    return std::exchange(held_, {});
  }
  std::size_t held = 0;  // the longest end of the text that begins a stop string
  for (const std::string& string : strings_) {
    for (std::size_t size = std::min(string.size() - 1, held_.size()); size > held; --size) {
      if (std::string_view(held_).ends_with(std::string_view(string).substr(0, size))) held = size;
    }
  }
  std::string certain = held_.substr(0, held_.size() - held);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopStrings::flush() { return std::exchange(held_, {}); }

}  // namespace pianola
