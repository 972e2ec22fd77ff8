// The controls of a study: an attack that must win, one that must lose, and the score of knowing nothing.
#pragma once

#include "pellucid/study/analysis.h"
#include "pellucid/study/trained.h"

namespace pellucid::study {

/// A control run: a cell of the trained networks' store, so that studies share it.
struct Control {
  std::string kind;    ///< "positive" or "null"
  std::string attack;  ///< for the reader: "residual"
  Training training;   ///< whose data it takes, and for the null control whose network
  core::Json determinants;
};

/// The controls that a study runs, for each kind of attack in it (functional and objective):
/// - positive: an untrained LeNet, which gives its images away (Zhu et al. 2019), on the study's images until one is
/// read back, four at most; at least 2,000
///   iterations and 4 restarts, so that it fails where the attack is broken and not where the study is small. Must
///   reach 30 dB.
/// - null: a random gradient of the same norm in every tensor, from the first network that the study attacks so, on its
/// first images
///   (four at most), as long as the study attacks. Must not beat the mean training image.
[[nodiscard]] std::vector<Control> controls(const Study& study, Datasets& datasets);

/// Runs one. @return {"value": dB: the best score, or for the null control the mean gain over the mean image, "n"}, or
/// "failed".
[[nodiscard]] core::Json run_control(const Study& study, const Control& control, const std::filesystem::path& trained,
                                     Datasets& datasets);

/// What they say, with the guess control (the mean image's mean score on each data set) from the cells: rows of
/// "controls" in result.json.
/// @param results of `run_control`, in order.
[[nodiscard]] core::Json control_rows(const Study& study, const std::vector<Control>& controls,
                                      const std::vector<core::Json>& results, const std::vector<Cell>& cells);

}  // namespace pellucid::study
