// What a study's cells say: summaries of each group, paired comparisons, a sentence.
#pragma once

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

/// True for a cell without an image: it failed, or the attack does not apply. One rule for every count of failures.
[[nodiscard]] bool nothing_came_out(const Cell& cell);

/// The parts of result.json that follow from the cells: "metrics", "groups", "contrasts", "main_contrast" (the index of
/// the one that the headline names first, or null), "diagnoses", "headline" (empty where no image is read back).
///
/// @param untaught groups whose networks learnt nothing: the headline does not lead with them where there are others.
/// Groups: mean and median of each score with intervals over images and training seeds (`stats::Crossed`).
/// Contrasts, if the study compares along an axis: each of its levels against the first one, all else equal, paired by
/// image and seed; Wilcoxon's test over the images' means, Holm's correction over all contrasts of the study in PSNR,
/// the images needed where no difference could be told, and the difference at equal margin: the intercept of the
/// regression of the differences in PSNR on those in logit margin. What it does not show: seeds and images beyond the
/// study's; the tests take the trainings as given.
[[nodiscard]] core::Json analyse(const Study& study, const std::vector<Cell>& cells,
                                 const std::set<std::size_t>& untaught = {});

/// The scores that are summarised, PSNR first: {"key", "label", "unit", "better", "oracle"}.
[[nodiscard]] core::Json metrics();

}  // namespace pellucid::study
