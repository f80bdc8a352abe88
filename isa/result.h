// Errors as values. What a user can cause (a bad file, a wrong option, a roll for another machine)
// comes back as a Result; what only a programmer can cause is a CHECK, which stays on in release.
//
//   Result<Graph> import_model(const std::filesystem::path& path);
//   TRY(Graph graph, import_model(path));      // returns the error to the caller
//
// A message says what is wrong, where, what was expected, what was found and what to do.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>

namespace pianola {

enum class ErrorCode {
  InvalidArgument,  // an option or a value the user gave
  NotFound,         // a file or a named thing that is not there
  Malformed,        // a file whose bytes are not what its format says
  Unsupported,      // well-formed, but not something this build can do
  OutOfRange,       // does not fit: memory, bandwidth, context, a field
  Mismatch,         // two things that must agree do not (roll and target, version, lockstep)
  Io,               // the operating system refused
};

struct Error {
  ErrorCode code = ErrorCode::InvalidArgument;
  std::string message;  // what, expected, got, what to do
  std::string where;    // file, offset, tensor, cycle: the place; may be empty
};

// "where: message", or the message alone where no place is known.
inline std::string to_string(const Error& error) {
  return error.where.empty() ? error.message : error.where + ": " + error.message;
}

[[noreturn]] inline void check_failed(const char* file, int line, const char* text) {
  std::fprintf(stderr, "%s:%d: internal error: CHECK(%s) failed\n", file, line, text);
  std::abort();
}

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) ::pianola::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    CHECK(ok());
    return std::get<0>(state_);
  }
  const T& value() const& {
    CHECK(ok());
    return std::get<0>(state_);
  }
  T&& value() && {
    CHECK(ok());
    return std::get<0>(std::move(state_));
  }
  const Error& error() const {
    CHECK(!ok());
    return std::get<1>(state_);
  }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> state_;
};

// A result without a value.
struct Ok {};
using Status = Result<Ok>;

#define PIANOLA_CONCAT_(a, b) a##b
#define PIANOLA_CONCAT(a, b) PIANOLA_CONCAT_(a, b)
#define PIANOLA_TRY_(result, declaration, ...)   \
  auto result = (__VA_ARGS__);                   \
  if (!result.ok()) return result.error();       \
  declaration = std::move(result).value()
// TRY(declaration, expression): declares or assigns the value, or returns the error.
#define TRY(declaration, ...) \
  PIANOLA_TRY_(PIANOLA_CONCAT(try_result_, __LINE__), declaration, __VA_ARGS__)
// TRY_STATUS(expression): returns the error, if there is one.
#define TRY_STATUS(...)                                          \
  do {                                                           \
    auto try_status_ = (__VA_ARGS__);                            \
    if (!try_status_.ok()) return try_status_.error();           \
  } while (false)

}  // namespace pianola
