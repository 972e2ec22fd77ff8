#include "pellucid/stats/summary.h"

#include <algorithm>
#include <cmath>

namespace pellucid::stats {

Summary summarise(std::span<const double> sample, const BootstrapOptions& options) {
  Summary summary{.n = static_cast<std::int64_t>(sample.size()),
                  .mean = mean_interval(sample, options),
                  .median = median_interval(sample, options)};
  const auto [least, greatest] = std::minmax_element(sample.begin(), sample.end());
  summary.min = *least;
  summary.max = *greatest;
  double squares = 0;
  for (const double x : sample) squares += std::pow(x - summary.mean.value, 2);
  if (sample.size() > 1) summary.sd = std::sqrt(squares / static_cast<double>(sample.size() - 1));
  return summary;
}

}  // namespace pellucid::stats
