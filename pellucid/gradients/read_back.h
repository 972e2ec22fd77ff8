// One image read back from one update, and scored.
#pragma once

#include "pellucid/core/run.h"
#include "pellucid/gradients/metrics.h"
#include "pellucid/inversion/options.h"
#include "pellucid/record/reading.h"

namespace pellucid::gradients {

struct ReadBack {
  record::Reading reading;  ///< see `read_back`; without its picture
  Tensor image;             ///< (C, H, W) in [0, 1]; undefined where nothing came out
};

/// What a client does before it shares.
struct Client {
  /// How it evaluates the network; in training mode with dropout of its own.
  nets::Mode mode = nets::Mode::kEvaluation;
  std::uint64_t seed = 0;  ///< of that dropout
};

/// Takes the update of one image, hands it to the attack without the label, and scores what came out against the truth.
///
/// @param index the image's number: start noise and dropout depend on (seed, index).
/// @return the scores of `score`, "oracle_psnr" (the best restart's, chosen with the truth in hand), "matching_loss",
///   "margin", "p_true" and "gradient_norm"; more: "method", "restart", "restarts" and "label_read" (null where the
///   last layer does not show it).
[[nodiscard]] ReadBack read_back(const nets::Network& network, const Truth& truth, std::int64_t index,
                                 const inversion::InversionOptions& options, const Client& client = {},
                                 const core::Run& run = {});

/// The same from an observation that was made before. The truth scores; the attack does not see it.
[[nodiscard]] ReadBack read_back(const sharing::Observation& observation, const Truth& truth,
                                 const inversion::InversionOptions& options, const core::Run& run = {});

}  // namespace pellucid::gradients
