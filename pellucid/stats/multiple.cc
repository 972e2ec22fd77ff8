#include "pellucid/stats/multiple.h"

#include "pellucid/stats/distribution.h"
#include "pellucid/stats/interval.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace pellucid::stats {

std::vector<double> holm(std::span<const double> p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return p[a] < p[b]; });
  std::vector<double> corrected(p.size());
  double largest = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    largest = std::max(largest, static_cast<double>(p.size() - rank) * p[order[rank]]);
    corrected[order[rank]] = std::min(1.0, largest);
  }
  return corrected;
}

std::optional<std::int64_t> pairs_needed(std::span<const double> differences, double power, double alpha) {
  if (differences.size() < 2) return std::nullopt;
  const double centre = mean(differences);
  double squares = 0;
  for (const double d : differences) squares += (d - centre) * (d - centre);
  const double sd = std::sqrt(squares / static_cast<double>(differences.size() - 1));
  if (centre == 0) return std::nullopt;
  const double quantiles = normal_quantile(1 - alpha / 2) + normal_quantile(power);
  const double pairs = std::pow(quantiles * sd / centre, 2) * std::numbers::pi / 3;
  if (pairs > 1e9) return std::nullopt;  // as good as never
  const auto least = static_cast<std::int64_t>(std::floor(1 - std::log2(alpha))) + 1;
  return std::max(least, static_cast<std::int64_t>(std::ceil(pairs)));
}

}  // namespace pellucid::stats
