#include "pellucid/aggregation/fixed_point.h"

#include "pellucid/core/error.h"

#include <algorithm>
#include <cmath>

namespace pellucid::aggregation {

using core::Error;
using core::ErrorKind;

void check(const FixedPoint& code) {
  if (!(code.range > 0 && std::isfinite(code.range)))
    throw Error(ErrorKind::kUsage, "range: got {}, expected a number above 0", code.range);
  if (code.clients < 2 || code.clients > kMostClients)
    throw Error(ErrorKind::kUsage, "clients: got {}, expected 2 to {}", code.clients, kMostClients);
}

std::vector<std::uint32_t> encode(const FixedPoint& code, std::span<const double> values, std::int64_t& clipped) {
  const auto levels = static_cast<double>(code.levels());
  const double step = code.step();
  std::vector<std::uint32_t> codes;
  codes.reserve(values.size());
  for (const double x : values) {
    if (!std::isfinite(x)) throw Error(ErrorKind::kModel, "the update: got {}, expected finite values", x);
    if (std::abs(x) > code.range) ++clipped;
    codes.push_back(static_cast<std::uint32_t>(std::clamp(std::round(x / step), -levels, levels) + levels));
  }
  return codes;
}

std::vector<double> decode_mean(const FixedPoint& code, std::span<const std::uint32_t> sums, std::uint32_t added) {
  const std::int64_t zero = std::int64_t{added} * code.levels();
  std::vector<double> means;
  means.reserve(sums.size());
  for (const auto sum : sums) {
    if (sum > 2 * zero) {
      throw Error(ErrorKind::kIo, "the sum: got {}, expected at most {}: a client did not keep to the protocol", sum,
                  2 * zero);
    }
    means.push_back(static_cast<double>(sum - zero) * code.step() / added);
  }
  return means;
}

}  // namespace pellucid::aggregation
