// What a study's cells say: summaries of each group, paired comparisons, a sentence.
#pragma once

#include "pellucid/grid/system.h"
#include "pellucid/stats/interval.h"

namespace pellucid::grid {

/// {"value", "low", "high"}.
[[nodiscard]] core::Json to_json(const stats::Interval& interval);

/// The parts of result.json that follow from the cells: "metrics", "groups", "contrasts", "main_contrast" (the index of
/// the one that the headline names, or null), "diagnoses", "headline" (one sentence; empty where no item is read back)
/// and "summary" (the sentences below it).
///
/// @param meaningless groups whose subjects say nothing: the headline does not lead with them where there are others.
///
/// Groups: mean and median of each score with intervals over items and seeds (`stats::Crossed`), and, where the system
/// has it, the tested score of the pooled mean (`Pooled`).
///
/// Contrasts, if the study compares along an axis: each of its levels against the first one, all else equal, paired by
/// item and seed.
/// - "difference" in the mean of the tested score, with Wilcoxon's test over the items' means, Holm's correction over
///   all contrasts of the study, "significant" where the corrected p is below 0.05 and the interval leaves out zero,
///   and "needed", the items that would detect a difference of this size, where more would help;
/// - of the pooled mean, and of each metric with `contrast`; none of these is tested;
/// - for each covariate of the system, the difference where both groups have the same value of it, and, where it asks
///   for that, the ratio of their means. Each with "pairs", how many of them "overlap", and a "note". Where fewer than
///   30 overlap, it is called extrapolated or left out (null), as the covariate says.
///
/// What it does not show: seeds and items beyond the study's; the tests take the repetitions as given. A covariate is
/// itself an outcome, so the difference at its equal values is a description and no causal effect.
[[nodiscard]] core::Json analyse(const System& system, const Study& study, const std::vector<Cell>& cells,
                                 const std::set<std::size_t>& meaningless = {});

}  // namespace pellucid::grid
