// The solver that reads the input of the last layer for each class of a batch, and each image from that.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/trial.h"
#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// Why `feature` does not apply: local training, or the network does not end in a linear layer.
[[nodiscard]] std::optional<std::string> feature_lacks(const sharing::Observation& observation, const Attack& attack);

/// Reads what the last layer took of each image whose class no other image of the batch has, and inverts it (`invert`,
/// layer_inputs.h). The row of the weight's gradient of such a class, over the bias's, is mostly that image's: the
/// others have a part in it by how likely they look of that class. These parts are then solved for with the network's
/// own weights (`agree`). What the images of a class have in common stands for each of them, and is not isolated.
///
/// Where as many classes are in the batch as there are, or the network is nearly sure of all images, the parts cannot
/// be distinguished, and few images are isolated.
///
/// Source: Zhang, Chen and Li 2022, "Privacy Leakage of Adversarial Training Models in Federated Learning Systems".
/// Deviates: there the row itself is matched, by cosine; the other images' parts stay in it; and each image descends
/// alone, where here the gradient of the whole batch is matched too.
/// @pre `feature_lacks` names nothing.
/// @throws Error(kUsage) as `infer_labels`.
/// @throws Error(kStopped) if a stop was asked for.
[[nodiscard]] std::vector<Trial> feature(const sharing::Observation& observation, const Attack& attack,
                                         std::int64_t first, std::int64_t count, const torch::Device& device);

}  // namespace pellucid::inversion
