// What a client keeps and an attacker never sees.
#pragma once

#include "pellucid/nets/network.h"
#include "pellucid/nets/safetensors.h"
#include "pellucid/sharing/update.h"

#include <filesystem>

namespace pellucid::gradients {

/// The images behind an update and their labels.
struct Truth {
  Tensor images;  ///< (B, C, H, W) float32 in [0, 1]
  Tensor labels;  ///< (B) int64
  /// `sharing::digest` of the update that was computed from them; empty where it is not known.
  std::string update = {};
};

/// Writes the truth so that others on the machine cannot read it.
/// @throws Error(kIo) if the file cannot be written.
void save_truth(const Truth& truth, const std::filesystem::path& path);
/// @throws Error(kIo) if the file cannot be read.
/// @throws Error(kModel) if it is damaged, or does not hold images in [0, 1] of the network's shape and a label for
/// each.
[[nodiscard]] Truth load_truth(const std::filesystem::path& path, const nets::Spec& spec);
[[nodiscard]] Truth load_truth(const nets::SafeTensorsFile& file, const nets::Spec& spec);

/// Holds a truth against what the attacker is given: the number of images, the labels where they are shared, and the
/// update's digest, of any of its rounds, where the truth holds it.
/// @throws Error(kModel) if it is not the truth of this update.
void check_belongs(const Truth& truth, const sharing::Observation& observation);

}  // namespace pellucid::gradients
