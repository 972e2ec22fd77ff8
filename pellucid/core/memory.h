// How much memory this process may use: asked before something large is allocated, so that a file that claims too much
// is an error and not the end of the process.
#pragma once

#include <cstdint>
#include <string>

namespace pellucid::core {

/// The bytes that this process may use: what `set_memory_budget` said, and otherwise the least of the machine's memory,
/// its control group's limit and its address space's (`ulimit -v`).
[[nodiscard]] std::uint64_t memory_budget();

/// Declares the budget (`--memory`).
/// @param bytes 0 is the default of `memory_budget`.
void set_memory_budget(std::uint64_t bytes);

/// @param what needs it, for the message: "digits.idx: 60000 images of 28 x 28".
/// @throws Error(kData) if `bytes` are more than the budget, saying both and how to raise it.
void require_memory(std::uint64_t bytes, const std::string& what);

/// "1.5 GiB", "200 MiB", "17 bytes".
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);

}  // namespace pellucid::core
