#include "pellucid/stats/interval.h"

#include "pellucid/core/error.h"
#include "pellucid/core/random.h"
#include "pellucid/stats/distribution.h"
#include "pellucid/stats/resample.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace pellucid::stats {
namespace {

using core::Error;
using core::ErrorKind;

void check_sample(std::span<const double> sample) {
  if (sample.empty()) throw Error(ErrorKind::kInternal, "sample: got no values, expected at least one");
  for (std::size_t i = 0; i < sample.size(); ++i) {
    if (!std::isfinite(sample[i])) {
      throw Error(ErrorKind::kInternal, "sample: value {} of {}: got {}, expected a finite number", i, sample.size(),
                  sample[i]);
    }
  }
}

void check_level(double level) {
  if (!(level > 0 && level < 1))
    throw Error(ErrorKind::kUsage, "level: got {}, expected a number between 0 and 1", level);
}

double mean_of(std::span<const double> sample) {
  return std::accumulate(sample.begin(), sample.end(), 0.0) / static_cast<double>(sample.size());
}

// Reorders the sample.
double median_of(std::span<double> sample) {
  const auto middle = sample.begin() + static_cast<std::ptrdiff_t>(sample.size() / 2);
  std::nth_element(sample.begin(), middle, sample.end());
  if (sample.size() % 2 == 1) return *middle;
  return std::midpoint(*std::max_element(sample.begin(), middle), *middle);
}

// The statistic of each of the samples that leave one value out.
template <typename Statistic>
std::vector<double> jackknife(std::span<const double> sample, Statistic statistic) {
  std::vector<double> results, rest;
  for (std::size_t left_out = 0; left_out < sample.size(); ++left_out) {
    rest.assign(sample.begin(), sample.end());
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(left_out));
    results.push_back(statistic(rest));
  }
  return results;
}

// Efron's acceleration: the skewness of the jackknife over six; 0 where the jackknife does not vary.
double acceleration(std::span<const double> jackknifed) {
  const double centre = mean_of(jackknifed);
  double squares = 0, cubes = 0;
  for (const double x : jackknifed) {
    squares += std::pow(centre - x, 2);
    cubes += std::pow(centre - x, 3);
  }
  return squares > 0 ? cubes / (6 * std::pow(squares, 1.5)) : 0;
}

template <typename Statistic>
Interval bca(std::span<const double> sample, const BootstrapOptions& options, Statistic statistic) {
  check_sample(sample);
  check(options);
  std::vector<double> copy(sample.begin(), sample.end());
  const double estimate = statistic(copy);
  const auto [least, greatest] = std::minmax_element(sample.begin(), sample.end());
  if (*least == *greatest) return {estimate, estimate, estimate, options.level};

  // The order in which a sum is rounded must not tell a resample that equals the sample from the sample.
  const double tie = 1e-12 * std::max(std::abs(*least), std::abs(*greatest));
  core::Stream stream(options.seed, "bootstrap");
  std::vector<double> estimates(static_cast<std::size_t>(options.resamples));
  double below = 0;
  for (double& resampled : estimates) {
    for (double& x : copy) x = sample[stream.below(sample.size())];
    resampled = statistic(copy);
    below += std::abs(resampled - estimate) <= tie ? 0.5 : resampled < estimate ? 1 : 0;
  }
  std::sort(estimates.begin(), estimates.end());

  const double share = std::clamp(below, 0.5, options.resamples - 0.5) / options.resamples;
  const double bias = normal_quantile(share);
  const double a = acceleration(jackknife(sample, statistic));
  auto end = [&](double centred) {
    const double z = bias + centred;
    return quantile(estimates, normal_cdf(bias + z / (1 - a * z)));
  };
  const double tail = normal_quantile((1 - options.level) / 2);
  return {estimate, end(tail), end(-tail), options.level};
}

}  // namespace

void check(const BootstrapOptions& options) {
  check_level(options.level);
  if (options.resamples < 1) {
    throw Error(ErrorKind::kUsage, "resamples: got {}, expected a whole number from 1", options.resamples);
  }
}

double quantile(const std::vector<double>& sorted, double p) {
  const double position = p * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const auto above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], position - static_cast<double>(below));
}

Interval percentile_interval(double estimate, const BootstrapOptions& options, const std::function<double()>& draw) {
  check(options);
  std::vector<double> estimates(static_cast<std::size_t>(options.resamples));
  for (double& resampled : estimates) resampled = draw();
  std::sort(estimates.begin(), estimates.end());
  return {estimate, quantile(estimates, (1 - options.level) / 2), quantile(estimates, (1 + options.level) / 2),
          options.level};
}

double mean(std::span<const double> sample) {
  check_sample(sample);
  return mean_of(sample);
}

double median(std::span<const double> sample) {
  check_sample(sample);
  std::vector<double> copy(sample.begin(), sample.end());
  return median_of(copy);
}

Interval mean_interval(std::span<const double> sample, const BootstrapOptions& options) {
  return bca(sample, options, mean_of);
}

Interval median_interval(std::span<const double> sample, const BootstrapOptions& options) {
  return bca(sample, options, median_of);
}

Interval proportion_interval(std::int64_t k, std::int64_t n, double level) {
  check_level(level);
  if (n < 1 || k < 0 || k > n) {
    throw Error(ErrorKind::kInternal, "proportion: got {} of {}, expected a count from 0 to a total of at least 1", k,
                n);
  }
  const double hits = static_cast<double>(k), misses = static_cast<double>(n - k), tail = (1 - level) / 2;
  return {hits / static_cast<double>(n), k == 0 ? 0 : beta_quantile(tail, hits, misses + 1),
          k == n ? 1 : beta_quantile(1 - tail, hits + 1, misses), level};
}

}  // namespace pellucid::stats
