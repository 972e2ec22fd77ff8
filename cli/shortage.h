// Where memory or threads run out: one sentence and exit code 3, whatever library it happens in.
#pragma once

#include <exception>
#include <string>

namespace pellucid::cli {

/// True for what libraries throw when memory or threads run out.
[[nodiscard]] bool is_shortage(const std::exception& error);

/// "out of memory: X; ..." with what helps.
[[nodiscard]] std::string shortage_message(const std::string& what);

/// From now on a crash where less than 128 MiB of the address space are left is a shortage: a library did not look
/// whether it got memory. Anywhere else it stays the signal that it is.
void catch_crash();

/// From now on an exception that nobody can catch (in a library's thread, in a destructor) ends the program with a
/// sentence and an exit code, not with a signal.
void catch_termination();

/// Takes the memory of the main thread's stack now. It grows as it is used, and where the address space ends by then
/// that is signal 11 (setrlimit(2), RLIMIT_AS); other threads have theirs from the start.
void take_stack();

}  // namespace pellucid::cli
