// How fast one core is at what the matching engine does.
#pragma once

namespace pellucid::inversion {

/// The highest float32 rate, in floating-point operations per second, that oneDNN reaches on one core: the best of its
/// matrix product and of convolutions as residual networks have them, each run several times. Takes about a second.
/// @param seconds a clock; the thread's own processor time is disturbed less by neighbours.
[[nodiscard]] double measure_peak(double (*seconds)());

}  // namespace pellucid::inversion
