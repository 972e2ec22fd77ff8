// Where memory or threads run out: one sentence and exit code 3, whatever library it happens in.
#pragma once

#include <exception>
#include <string>

namespace pellucid::cli {

/// True for what libraries throw when memory or threads run out.
[[nodiscard]] bool is_shortage(const std::exception& error);

/// "out of memory: X; ..." with what helps.
[[nodiscard]] std::string shortage_message(const std::string& what);

/// From now on an exception that nobody can catch (in a library's thread, in a destructor) ends the program with a
/// sentence and an exit code, not with a signal.
void catch_termination();

}  // namespace pellucid::cli
