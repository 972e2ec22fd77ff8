// The small random numbers of lattice encryption, from a cryptographic source, in a time that tells nothing of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pellucid::aggregation {

__extension__ typedef __int128 Signed;  // a sum of signed words

/// n numbers, each -1, 0 or 1 with the same probability (up to 2^-64).
[[nodiscard]] std::vector<std::int8_t> ternary(std::size_t n);

inline constexpr double kNoiseDeviation = 3.2;  ///< of `gaussian`
inline constexpr int kNoiseBound = 19;          ///< its largest magnitude: 6 deviations

/// n numbers k with probability proportional to e^(-k^2 / (2 3.2^2)), cut at 6 deviations (up to 2^-63 each).
[[nodiscard]] std::vector<std::int8_t> gaussian(std::size_t n);

/// n numbers that are each the sum of four uniform signed words: of magnitude at most 2^65, of deviation 2^64 /
/// sqrt(3). As a family of shifts, in units of 2^64, its Fisher information is 3.12 (a cubic B-spline; the integral
/// over f'^2 / f, numerically).
[[nodiscard]] std::vector<Signed> smudging(std::size_t n);

}  // namespace pellucid::aggregation
