#include "pellucid/stats/crossed.h"

#include "pellucid/core/error.h"
#include "pellucid/core/random.h"
#include "pellucid/stats/resample.h"

#include <algorithm>
#include <cmath>
#include <limits>
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

template <typename Estimate, typename OneSeed>
Interval crossed_interval(const Crossed& sample, const BootstrapOptions& options, Estimate estimate, OneSeed one_seed) {
  if (sample.values.size() != sample.images * sample.seeds) {
    throw Error(ErrorKind::kInternal, "crossed sample: got {} values, expected {} images x {} seeds", sample.values.size(), sample.images,
                sample.seeds);
  }
  const auto all = present(sample);
  if (sample.seeds == 1) return one_seed(all, options);
  core::Stream stream(options.seed, "crossed bootstrap");
  std::vector<double> drawn;
  return percentile_interval(estimate(all), options, [&] {
    std::vector<std::size_t> seeds(sample.seeds);
    do {  // a draw of nothing but missing values says nothing
      drawn.clear();
      for (auto& seed : seeds) seed = stream.below(sample.seeds);
      for (std::size_t i = 0; i < sample.images; ++i) {
        const auto image = stream.below(sample.images);
        for (const auto seed : seeds) drawn.push_back(sample.at(image, seed));
      }
      std::erase_if(drawn, [](double x) { return std::isnan(x); });
    } while (drawn.empty());
    return estimate(drawn);
  });
}

struct Line {
  double intercept, slope;
};

// Nothing where all x are equal.
std::optional<Line> fit(std::span<const double> x, std::span<const double> y) {
  const double mean_x = mean(x), mean_y = mean(y);
  double xx = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  if (xx <= 0) return std::nullopt;
  return Line{mean_y - xy / xx * mean_x, xy / xx};
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
  return crossed_interval(sample, options, [](const auto& values) { return mean(values); },
                          [](const auto& values, const auto& o) { return mean_interval(std::span(values), o); });
}

Interval median_interval(const Crossed& sample, const BootstrapOptions& options) {
  return crossed_interval(sample, options, [](const auto& values) { return median(values); },
                          [](const auto& values, const auto& o) { return median_interval(std::span(values), o); });
}

Interval intercept_interval(std::span<const double> x, std::span<const double> y, const BootstrapOptions& options) {
  if (x.size() != y.size()) throw Error(ErrorKind::kInternal, "line: got {} x and {} y", x.size(), y.size());
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const auto line = x.size() < 3 ? std::nullopt : fit(x, y);
  if (!line) return {kNone, kNone, kNone, options.level};
  core::Stream stream(options.seed, "regression bootstrap");
  std::vector<double> xs(x.size()), ys(y.size());
  return percentile_interval(line->intercept, options, [&] {
    std::optional<Line> drawn;
    while (!drawn) {
      for (std::size_t i = 0; i < x.size(); ++i) {
        const auto k = stream.below(x.size());
        xs[i] = x[k];
        ys[i] = y[k];
      }
      drawn = fit(xs, ys);
    }
    return drawn->intercept;
  });
}

}  // namespace pellucid::stats
