// The groups of a study as samples, and their paired comparisons.
#pragma once

#include "pellucid/grid/analysis.h"
#include "pellucid/stats/crossed.h"

namespace pellucid::grid {

/// The cells of each group.
using Groups = std::vector<std::vector<const Cell*>>;

inline constexpr stats::BootstrapOptions kSummary = {.resamples = 2000};  ///< for what is looked at and not tested

/// One score of one group over (item, seed), NaN where there is none.
/// @param change applied to each value; may be empty.
[[nodiscard]] stats::Crossed crossed(const Study& study, const std::vector<const Cell*>& cells,
                                     const std::string& score, const std::function<double(double)>& change = {});

/// Whether there is no value at all.
[[nodiscard]] bool empty(const stats::Crossed& sample);

/// The score that is averaged for `pooled`, each value at least its least.
[[nodiscard]] stats::Crossed pooled_sample(const Study& study, const std::vector<const Cell*>& cells,
                                           const Pooled& pooled);

/// An interval through a decreasing function.
[[nodiscard]] core::Json through(double (*decreasing)(double), const stats::Interval& interval);

/// "contrasts" of result.json; see `analyse`.
[[nodiscard]] core::Json contrast_rows(const System& system, const Study& study, const Groups& cells);

}  // namespace pellucid::grid
