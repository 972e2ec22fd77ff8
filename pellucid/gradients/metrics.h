// The scores of an image that was read back: one row each, and how they are taken. The one place where a reconstruction
// meets the truth.
#pragma once

#include "pellucid/gradients/truth.h"
#include "pellucid/record/metric.h"

#include <map>

namespace pellucid::gradients {

/// Every score, the one that is tested first. `pellucid list metrics`, cells, result.json, tables and charts follow
/// from these rows; a new one is a row in metrics.cc and one in its test.
[[nodiscard]] const std::vector<record::Metric>& metrics();

/// The scores of one image.
struct Score {
  std::map<std::string, double> values;  ///< by `Metric::key`; absent where the metric does not apply
  std::int64_t original = 0;             ///< which image of the truth it was compared with
};

/// Takes every score that follows from a reconstruction and its original alone. Each reconstruction of a batch is
/// compared with an original of its own: an update says nothing of the images' order, so they are matched
/// (`metrics::match`).
/// @param reconstruction (B, C, H, W) in [0, 1].
/// @param others images among which a reconstruction has to be recognised; none leaves out the scores that need them.
/// @return one for each reconstruction, in their order.
/// @throws Error(kData) if matching needs more memory than is allowed.
[[nodiscard]] std::vector<Score> score(const nets::Network& network, const Tensor& reconstruction, const Truth& truth,
                                       const Truth& others = {});

/// {"psnr": .., "ssim": .., ...}: those that `score` takes, null where one does not apply, but optional ones left out.
[[nodiscard]] core::Json to_json(const Score& score);

}  // namespace pellucid::gradients
