// Floats as whole numbers modulo 2^32 whose sum cannot overflow.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pellucid::aggregation {

/// How values are coded, the same for all clients of a round.
///
/// A value x is clipped to [-range, range] and sent as round(x / step) + levels, a whole number from 0 to 2 levels,
/// with levels = floor((2^32 - 1) / (2 clients)) and step = range / levels. Zero is exact.
///
/// No overflow: a sum of k <= clients codes is at most clients * 2 levels <= 2^32 - 1, so that the sum modulo 2^32 is
/// the sum, whatever the clients sent that keep to 2 levels.
///
/// Error: of a value within the range at most step / 2, so of a mean too: range * clients / (2^32 - 1 - 2 clients), for
/// 16 clients less than range * 2^-27.9. (Computed in float64, which adds less than range * 2^-50.)
struct FixedPoint {
  double range = 8;           ///< of a value, to both sides; in the values' units
  std::uint32_t clients = 1;  ///< whose codes a sum may hold

  [[nodiscard]] std::uint32_t levels() const { return 0xFFFFFFFFU / (2 * clients); }
  [[nodiscard]] double step() const { return range / levels(); }
};

/// The largest number of clients of a round.
inline constexpr std::uint32_t kMostClients = 256;

/// @throws Error(kUsage) unless the range is finite and above 0.
/// @throws Error(kUsage) unless there are 2 to `kMostClients` clients.
void check(const FixedPoint& code);

/// The codes of some values; how many were beyond the range and clipped is added to `clipped`.
/// @throws Error(kModel) if a value is not finite.
[[nodiscard]] std::vector<std::uint32_t> encode(const FixedPoint& code, std::span<const double> values,
                                                std::int64_t& clipped);

/// The mean of `added` clients' values, from the sums of their codes.
/// @throws Error(kIo) if a sum is more than `added` clients can send: somebody did not keep to the protocol.
[[nodiscard]] std::vector<double> decode_mean(const FixedPoint& code, std::span<const std::uint32_t> sums,
                                              std::uint32_t added);

}  // namespace pellucid::aggregation
