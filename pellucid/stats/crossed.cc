#include "pellucid/stats/crossed.h"

#include "pellucid/core/error.h"
#include "pellucid/core/random.h"
#include "pellucid/stats/resample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

namespace pellucid::stats {
namespace {

using core::Error;
using core::ErrorKind;

// All values but the missing ones, row by row.
std::vector<double> present(const Crossed& sample) {
  std::vector<double> values = sample.values;
  std::erase_if(values, [](double x) { return std::isnan(x); });
  return values;
}

void check(const Crossed& sample) {
  if (sample.values.size() != sample.images * sample.seeds) {
    throw Error(ErrorKind::kInternal, "crossed sample: got {} values, expected {} images x {} seeds",
                sample.values.size(), sample.images, sample.seeds);
  }
  if (std::any_of(sample.values.begin(), sample.values.end(), [](double x) { return std::isinf(x); })) {
    throw Error(ErrorKind::kInternal, "crossed sample: got an infinite value");
  }
}

// Places in the values of a table whose images and seeds were drawn independently of one another.
std::vector<std::size_t> draw(const Crossed& sample, core::Stream& stream) {
  std::vector<std::size_t> seeds(sample.seeds), places;
  for (auto& seed : seeds) seed = stream.below(sample.seeds);
  places.reserve(sample.values.size());
  for (std::size_t i = 0; i < sample.images; ++i) {
    const auto image = stream.below(sample.images);
    for (const auto seed : seeds) places.push_back(image * sample.seeds + seed);
  }
  return places;
}

template <typename Estimate, typename OneSeed>
Interval crossed_interval(const Crossed& sample, const BootstrapOptions& options, Estimate estimate, OneSeed one_seed) {
  check(sample);
  const auto all = present(sample);
  if (sample.seeds == 1) return one_seed(all, options);
  core::Stream stream(options.seed, "crossed bootstrap");
  std::vector<double> drawn;
  return percentile_interval(estimate(all), options, [&] {
    do {  // a draw of nothing but missing values says nothing
      drawn.clear();
      for (const auto place : draw(sample, stream)) {
        if (!std::isnan(sample.values[place])) drawn.push_back(sample.values[place]);
      }
    } while (drawn.empty());
    return estimate(drawn);
  });
}

// Of the least-squares line of y on x: its value at x = 0. Nothing where there are fewer than three points, or all x
// are equal but for rounding.
std::optional<double> intercept(const std::vector<double>& x, const std::vector<double>& y) {
  if (x.size() < 3) return std::nullopt;
  const double mean_x = mean(x), mean_y = mean(y);
  double xx = 0, xy = 0, size = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
    size += x[i] * x[i];
  }
  if (xx <= 1e-20 * size) return std::nullopt;
  return mean_y - xy / xx * mean_x;
}

// An estimate from all (image, seed) that have both values, with its interval over images and seeds. Three NaN where
// the estimate does not exist; a draw for which it does not is drawn again.
template <typename Estimate>
Interval pairs_interval(const Crossed& a, const Crossed& b, const BootstrapOptions& options, Estimate estimate) {
  check(a), check(b);
  if (a.images != b.images || a.seeds != b.seeds) {
    throw Error(ErrorKind::kInternal, "pairs: got {} x {} and {} x {} values", a.images, a.seeds, b.images, b.seeds);
  }
  std::vector<double> as, bs;
  const auto estimate_at = [&](const std::vector<std::size_t>& places) -> std::optional<double> {
    as.clear(), bs.clear();
    for (const auto place : places) {
      if (std::isnan(a.values[place]) || std::isnan(b.values[place])) continue;
      as.push_back(a.values[place]);
      bs.push_back(b.values[place]);
    }
    return estimate(as, bs);
  };
  std::vector<std::size_t> all(a.values.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const auto whole = estimate_at(all);
  if (!whole) return {kNone, kNone, kNone, options.level};
  core::Stream stream(options.seed, "regression bootstrap");
  return percentile_interval(*whole, options, [&] {
    std::optional<double> drawn;
    while (!drawn) drawn = estimate_at(draw(a, stream));
    return *drawn;
  });
}

}  // namespace

std::vector<double> image_means(const Crossed& sample) {
  std::vector<double> means;
  for (std::size_t image = 0; image < sample.images; ++image) {
    std::vector<double> row;
    for (std::size_t seed = 0; seed < sample.seeds; ++seed) {
      if (!std::isnan(sample.at(image, seed))) row.push_back(sample.at(image, seed));
    }
    if (!row.empty()) means.push_back(mean(row));
  }
  return means;
}

Interval mean_interval(const Crossed& sample, const BootstrapOptions& options) {
  return crossed_interval(
      sample, options, [](const auto& values) { return mean(values); },
      [](const auto& values, const auto& o) { return mean_interval(std::span(values), o); });
}

Interval median_interval(const Crossed& sample, const BootstrapOptions& options) {
  return crossed_interval(
      sample, options, [](const auto& values) { return median(values); },
      [](const auto& values, const auto& o) { return median_interval(std::span(values), o); });
}

Interval mean_ratio_interval(const Crossed& a, const Crossed& b, const BootstrapOptions& options) {
  return pairs_interval(a, b, options, [](const auto& as, const auto& bs) -> std::optional<double> {
    if (bs.empty() || mean(bs) == 0) return std::nullopt;
    return mean(as) / mean(bs);
  });
}

Interval intercept_interval(const Crossed& x, const Crossed& y, const BootstrapOptions& options) {
  return pairs_interval(x, y, options, intercept);
}

}  // namespace pellucid::stats
