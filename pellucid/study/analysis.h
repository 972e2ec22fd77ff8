// What a study's cells say: summaries of each group, paired comparisons, a sentence.
#pragma once

#include "pellucid/stats/interval.h"
#include "pellucid/study/plan.h"

#include <set>

namespace pellucid::study {

/// A finished cell: which it is, and what came out.
struct Cell {
  std::size_t group = 0;
  std::int64_t seed = 0;
  std::int64_t place = 0;  ///< of the image among the study's: 0 to images - 1
  std::int64_t image = 0;  ///< its number in the test set
  std::string name;
  core::Json result;  ///< as `read_back` gives it, with "guess_psnr" and "gain"; or {"status": "failed", "reason"}
};

/// {"value", "low", "high"}.
[[nodiscard]] core::Json to_json(const stats::Interval& interval);

/// True for a cell without an image: it failed, or the attack does not apply. One rule for every count of failures.
[[nodiscard]] bool nothing_came_out(const Cell& cell);

/// The parts of result.json that follow from the cells: "metrics", "groups", "contrasts", "main_contrast" (the index of
/// the one that the headline names, or null), "diagnoses", "headline" (one sentence; empty where no image is
/// reconstructed) and "summary" (the sentences below it).
///
/// @param untaught groups whose networks learnt nothing: the headline does not lead with them where there are others.
///
/// Groups: mean and median of each score with intervals over images and training seeds (`stats::Crossed`), and
/// "psnr_of_mean_error", the PSNR of the mean squared error over all cells, where "psnr" is the mean of each cell's PSNR.
///
/// Contrasts, if the study compares along an axis: each of its levels against the first one, all else equal, paired by
/// image and seed.
/// - "difference" in mean PSNR, with Wilcoxon's test over the images' means, Holm's correction over all contrasts of the
///   study, "significant" where the corrected p is below 0.05 and the interval leaves out zero, and "needed", the images
///   that would detect a difference of this size, where more would help;
/// - "of_mean_error", the difference in PSNR of the mean error; "ssim", the difference in SSIM; neither is tested;
/// - "loss_ratio", the group's mean matching loss over the reference's: 1 where both descents come equally far;
/// - "at_equal_loss" and "at_equal_margin", the difference where both have the same matching loss, or margins of the same
///   size: the intercept of the regression of the differences in PSNR on those in log10 of the loss, or in |margin|. Each
///   with "pairs", how many of them "overlap" (losses within a factor of 2, sizes within 1 logit) and a "note". Where fewer
///   than 30 overlap, the one at equal loss is called extrapolated and the one at equal margin is left out (null). Losses
///   of different objectives are not compared: null.
///
/// What it does not show: seeds and images beyond the study's; the tests take the trainings as given. The loss is itself
/// an outcome, so the difference at equal loss is a description and no causal effect.
[[nodiscard]] core::Json analyse(const Study& study, const std::vector<Cell>& cells,
                                 const std::set<std::size_t>& untaught = {});

/// The scores that are summarised, PSNR first: {"key", "label", "unit", "better", "oracle"}.
[[nodiscard]] core::Json metrics();

}  // namespace pellucid::study
