// Ends a text at the first of some strings, wherever the borders of its pieces fall. What may yet
// become a stop string is held back.
//
//   StopStrings stop({"\n\n", "END"});
//   show(stop.push(piece));        // up to what may be the beginning of a stop string
//   if (stop.found()) ...          // the text ended before it
//   show(stop.flush());            // at the end: what was held back
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pianola {

class StopStrings {
 public:
  // Empty strings are ignored.
  explicit StopStrings(std::vector<std::string> strings);

  // The text that is certain now. After a stop string was found: nothing.
  std::string push(std::string_view piece);
  std::string flush();
  bool found() const { return !matched_.empty(); }
  const std::string& matched() const { return matched_; }  // empty: none

 private:
  std::vector<std::string> strings_;
  std::string held_;
  std::string matched_;
};

}  // namespace pianola
