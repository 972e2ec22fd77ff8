// Independent pieces of work over the cores.
#pragma once

#include <cstdint>
#include <functional>

namespace pellucid::core {

/// Calls `work(i)` for every i in 0, ..., count-1, at most `threads` at a time (fewer where the machine has no more),
/// each on one core's thread.
///
/// libtorch's own threading is off inside: pieces of work are parallel before operations are. Which thread takes which
/// piece is not fixed, so `work` must depend on `i` alone. With threads = 1 the caller's thread does everything.
///
/// @throws the first exception that a piece threw; pieces not yet begun are dropped.
void parallel_for(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work);

/// Gives libtorch's operations this many threads. An OpenBLAS that keeps threads of its own (the pthread build) gets
/// one: its pool and OpenMP's spin against each other, measured at more than ten times slower than either alone.
void set_threads(int threads);

/// The number of cores this process may use.
[[nodiscard]] int available_cores();

}  // namespace pellucid::core
