// Expects a Result to be an error of one code whose text contains a phrase.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "isa/result.h"

namespace pianola {

template <typename T>
void expect_error(const Result<T>& result, ErrorCode code, const std::string& phrase) {
  if (result.ok()) {
    ADD_FAILURE() << "expected an error with '" << phrase << "', found a value";
    return;
  }
  EXPECT_EQ(static_cast<int>(result.error().code), static_cast<int>(code))
      << to_string(result.error());
  EXPECT_NE(to_string(result.error()).find(phrase), std::string::npos)
      << "expected '" << phrase << "' in: " << to_string(result.error());
}

}  // namespace pianola
