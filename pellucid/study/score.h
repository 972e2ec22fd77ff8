// How good a reconstruction is: the one place where it meets the truth.
#pragma once

#include "pellucid/nets/network.h"
#include "pellucid/sharing/confidence.h"

#include <filesystem>

namespace pellucid::study {

/// The images behind an update and their labels: what a client keeps and an attacker never sees.
struct Truth {
  Tensor images;  ///< (B, C, H, W) float32 in [0, 1]
  Tensor labels;  ///< (B) int64
};

/// @throws Error(kIo) if the file cannot be written.
void save_truth(const Truth& truth, const std::filesystem::path& path);
/// @throws Error(kIo) if the file cannot be read.
/// @throws Error(kModel) if it does not hold images in [0, 1] of the network's shape and a label for each.
[[nodiscard]] Truth load_truth(const std::filesystem::path& path, const nets::Spec& spec);

/// The scores of one image; see metrics/ for the conventions.
struct Score {
  double psnr, mse, ssim, fmse_logits, fmse_features;
};

/// Scores each image of a batch, in the order of the truth.
/// @param reconstruction (B, C, H, W) in [0, 1].
[[nodiscard]] std::vector<Score> score(const nets::Network& network, const Tensor& reconstruction, const Truth& truth);

/// {"psnr": .., "mse": .., "ssim": .., "fmse_logits": .., "fmse_features": ..}
[[nodiscard]] core::Json to_json(const Score& score);

}  // namespace pellucid::study
