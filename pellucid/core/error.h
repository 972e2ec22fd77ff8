// The one exception type of the library: a kind (which decides the exit code), a message, and where it happened.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <utility>

namespace pellucid::core {

/// Whose fault an error is. The program's exit code follows from it (see `exit_code`).
enum class ErrorKind {
  kUsage,     ///< a flag, a configuration key or an argument is wrong
  kData,      ///< a data set or an image is missing, damaged or of the wrong shape
  kModel,     ///< a weight file or an update is damaged or does not fit the network
  kIo,        ///< the file system or the network failed
  kStopped,   ///< the user asked to stop; the work so far is saved and the same command goes on from there
  kInternal,  ///< a bug of ours
};

/// An error as the user reads it: "context: context: what, got, expected, and the fix" in one line.
///
/// The library throws nothing else on purpose, never prints and never aborts.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

  template <typename... Args>
  Error(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args)
      : Error(kind, fmt::format(format, std::forward<Args>(args)...)) {}

  /// Says where the error happened: `outer` is put in front of the message.
  Error& add_context(const std::string& outer) {
    message_ = outer + ": " + message_;
    return *this;
  }

  [[nodiscard]] ErrorKind kind() const { return kind_; }
  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorKind kind_;
  std::string message_;
};

/// The program's exit code for an error: 2 usage, 3 data, model or I/O, 4 a bug of ours, 75 stopped and resumable.
/// (0 is success.)
[[nodiscard]] constexpr int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage: return 2;
    case ErrorKind::kData:
    case ErrorKind::kModel:
    case ErrorKind::kIo: return 3;
    case ErrorKind::kStopped: return 75;
    case ErrorKind::kInternal: return 4;
  }
  return 4;
}

}  // namespace pellucid::core
