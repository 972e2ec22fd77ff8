// The controls of a study: where the attack must win, where it must fail, and the score of no attack at all.
#pragma once

#include "pellucid/study/analysis.h"
#include "pellucid/study/trained.h"

namespace pellucid::study {

/// A control run: a cell of the trained networks' store, so that studies share it.
struct Control {
  std::string kind;    ///< "positive", "network" or "null"
  std::string attack;  ///< for the reader: "residual (residual, l2)"; of a network control `attack_name`
  Training training;   ///< whose data and network it takes, and for the null control also its weights
  core::Json determinants;
};

/// An attack with its budget, and the network where the study has several: "residual (residual, l2), 600 iterations".
[[nodiscard]] std::string attack_name(const Study& study, const Settings& settings);

/// The controls that a study runs, each on the study's first images, four at most:
/// - positive, for each kind of attack (functional and objective): an untrained LeNet, which gives its images away (Zhu et
///   al. 2019), one image after the other until one is reconstructed; at least 2,000 iterations and 4 restarts, so that it
///   fails where the attack is broken and not where the study is small. The best must reach 30 dB.
/// - network, for each network and each attack as the study runs it: that network, untrained, at the study's own budget.
///   Layers that begin at zero are initialised as others are: through them nothing would pass. The mean must reach 30 dB;
///   where it does not, low scores at this budget are no evidence of privacy.
/// - null, for each kind of attack: a random gradient of the same norm in every tensor, from the first network that the
///   study attacks so, as long as the study attacks. The mean must not beat the mean training image.
[[nodiscard]] std::vector<Control> controls(const Study& study, Datasets& datasets);

/// Runs one. @return {"value": dB: the best score, for the network control the mean, for the null control the mean gain over
/// the mean image; "n"}, or "failed".
[[nodiscard]] core::Json run_control(const Study& study, const Control& control, const std::filesystem::path& trained,
                                     Datasets& datasets);

/// What they say, with the guess control (the mean image's mean score on each data set) from the cells: rows of
/// "controls" in result.json.
/// @param results of `run_control`, in order.
[[nodiscard]] core::Json control_rows(const Study& study, const std::vector<Control>& controls,
                                      const std::vector<core::Json>& results, const std::vector<Cell>& cells);

}  // namespace pellucid::study
