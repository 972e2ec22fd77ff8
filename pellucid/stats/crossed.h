// Estimates over two kinds of chance at once: which images were taken, and which training seeds.
#pragma once

#include "pellucid/stats/interval.h"

#include <vector>

namespace pellucid::stats {

/// A value for each (image, seed), images in rows; NaN where there is none.
struct Crossed {
  std::size_t images = 0, seeds = 0;
  std::vector<double> values;  ///< images * seeds

  [[nodiscard]] double at(std::size_t image, std::size_t seed) const { return values[image * seeds + seed]; }
};

/// The mean of each image over its seeds; images without any value are left out.
[[nodiscard]] std::vector<double> image_means(const Crossed& sample);

/// The mean of all values with an interval over images *and* seeds.
///
/// With one seed it is `mean_interval`, over images alone. With several, images and seeds are resampled independently
/// of one another and the interval is that of the percentiles (the pigeonhole bootstrap). What it does not show: with r
/// seeds the part of the variance that is theirs is estimated too small by a factor of (r - 1)/r, so an interval over
/// two or three seeds is somewhat narrow. It is never narrower for more seeds' sake alone.
///
/// Source: Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2).
/// @throws Error(kInternal) if there is no value, one is infinite, or there are not images * seeds of them.
/// @throws Error(kUsage) if an option is out of its range.
[[nodiscard]] Interval mean_interval(const Crossed& sample, const BootstrapOptions& options = {});

/// The median of all values, likewise.
[[nodiscard]] Interval median_interval(const Crossed& sample, const BootstrapOptions& options = {});

/// The mean of `a` over the mean of `b`, both over the (image, seed) that have both, with a percentile interval over
/// images and seeds, resampled as in `mean_interval`. Without a pair, or where `b` has the mean 0, all three numbers
/// are NaN.
/// @pre no value is negative.
/// @throws Error(kInternal) if the sizes differ or a value is infinite.
[[nodiscard]] Interval mean_ratio_interval(const Crossed& a, const Crossed& b, const BootstrapOptions& options = {});

/// The intercept of the least-squares line of `y` on `x` through all (image, seed) that have both, with a percentile
/// interval over images and seeds, resampled as in `mean_interval`: what y is where x = 0. With y the differences in a
/// score and x the differences in a covariate, it is the difference at equal covariate.
///
/// What it does not show: the line is extrapolated where no x is near 0, and the interval does not know that it may not
/// be straight. Without at least three pairs and two different x there is no line, and all three numbers are NaN.
/// @throws Error(kInternal) if the sizes differ or a value is infinite.
[[nodiscard]] Interval intercept_interval(const Crossed& x, const Crossed& y, const BootstrapOptions& options = {});

}  // namespace pellucid::stats
