// The controls of a study: where the attack must win, where it must fail, and the score of no attack at all.
#pragma once

#include "pellucid/gradients/datasets.h"
#include "pellucid/grid/system.h"

namespace pellucid::gradients {

/// An attack with its budget, and the network where the study has several: "residual (residual, l2), 600 iterations".
[[nodiscard]] std::string attack_name(const grid::Study& study, const Settings& settings);

/// The controls that a study runs, each on the study's first images, four at most:
/// - positive, for each kind of attack (functional and objective): an untrained LeNet, whose images can be
///   reconstructed (Zhu et al. 2019), or SmallCNN where the attack needs a hidden linear layer, one image after the
///   other until one is reconstructed; at least 2,000 iterations and 4 restarts, so that it fails where the attack is
///   broken and not where the study is small. The best must reach 30 dB.
/// - network, for each network and each attack as the study runs it: that network, untrained, at the study's own
///   budget. Layers that begin at zero are initialised as others are: through them nothing would pass. The mean must
///   reach 30 dB, or 90 % of the images where the study tests the share isolated; where it does not, low scores at this
///   budget are no evidence of privacy.
/// - null, for each kind of attack: a random gradient of the same norm in every tensor, from the first network that the
///   study attacks so, as long as the study attacks. The mean must not beat the mean training image.
///
/// A result's "value" is the best score, for the network control the mean, for the null control the mean gain over the
/// mean image, in dB.
/// @param datasets must outlive the controls.
[[nodiscard]] std::vector<grid::Control> controls(const grid::Study& study, Datasets& datasets);

/// The guess control: the mean image's mean score on each data set.
[[nodiscard]] std::vector<record::Control> baselines(const grid::Study& study, const std::vector<grid::Cell>& cells);

}  // namespace pellucid::gradients
