// How good a reconstruction is: the one place where it meets the truth.
#pragma once

#include "pellucid/nets/network.h"
#include "pellucid/sharing/confidence.h"
#include "pellucid/sharing/update.h"

#include <filesystem>
#include <optional>

namespace pellucid::study {

/// The images behind an update and their labels: what a client keeps and an attacker never sees.
struct Truth {
  Tensor images;            ///< (B, C, H, W) float32 in [0, 1]
  Tensor labels;            ///< (B) int64
  std::string update = {};  ///< `sharing::digest` of the update that was computed from them; empty where it is not known
};

/// Writes the truth so that others on the machine cannot read it.
/// @throws Error(kIo) if the file cannot be written.
void save_truth(const Truth& truth, const std::filesystem::path& path);
/// @throws Error(kIo) if the file cannot be read.
/// @throws Error(kModel) if it is damaged, or does not hold images in [0, 1] of the network's shape and a label for each.
[[nodiscard]] Truth load_truth(const std::filesystem::path& path, const nets::Spec& spec);
[[nodiscard]] Truth load_truth(const nets::SafeTensorsFile& file, const nets::Spec& spec);

/// Holds a truth against what the attacker is given: the number of images, the labels where they are shared, and the
/// update's digest where the truth holds it.
/// @throws Error(kModel) if it is not the truth of this update.
void check_belongs(const Truth& truth, const sharing::Observation& observation);

/// The scores of one image; see metrics/ for the conventions.
struct Score {
  double psnr = 0, mse = 0;
  std::optional<double> ssim = {};  ///< nothing where the images are smaller than its window
  double fmse_logits = 0, fmse_features = 0;
  std::int64_t original = 0;  ///< which image of the truth it was compared with
};

/// Scores each reconstruction of a batch against an original of its own: an update says nothing of the images' order, so
/// they are matched (`metrics::match`).
/// @param reconstruction (B, C, H, W) in [0, 1].
/// @return one for each reconstruction, in their order.
/// @throws Error(kData) if matching needs more memory than is allowed.
[[nodiscard]] std::vector<Score> score(const nets::Network& network, const Tensor& reconstruction, const Truth& truth);

/// {"psnr": .., "mse": .., "ssim": .. or null, "fmse_logits": .., "fmse_features": ..}
[[nodiscard]] core::Json to_json(const Score& score);

}  // namespace pellucid::study
