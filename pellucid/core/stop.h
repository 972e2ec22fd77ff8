// Stop signals: SIGINT and SIGTERM ask the running work to save itself and end.
#pragma once

namespace pellucid::core {

/// From now on SIGINT and SIGTERM only set a flag; a second one ends the process at once.
void catch_stop_signals();

/// True once a stop was asked for. Long work looks at it after each step.
[[nodiscard]] bool stop_requested();

/// Sets or clears the flag, as a signal would: for tests and for programs that embed the library.
void request_stop(bool stop = true);

/// @throws Error(kStopped) if a stop was asked for.
void throw_if_stopped();

}  // namespace pellucid::core
