// One image read back from the update of its batch, and scored.
#pragma once

#include "pellucid/gradients/metrics.h"
#include "pellucid/gradients/settings.h"
#include "pellucid/record/reading.h"
#include "pellucid/sharing/fisher.h"

#include <memory>

namespace pellucid::gradients {

struct ReadBack {
  record::Reading reading;  ///< see `read_back`; without its picture
  Tensor image;             ///< (C, H, W) in [0, 1]; undefined where nothing came out
};

/// What a client does, and what it says of it.
struct Client {
  sharing::Protocol protocol = {};  ///< its batch size is that of the images
  bool share_labels = false;
  /// Rounds that it takes part in with the same batch. Between two the server moves the network by what it was sent,
  /// and by nothing else (`sharing::next`); dropout, noise and the order of images are drawn anew.
  std::int64_t rounds = 1;
  double server_rate = 1e-3;  ///< of that step, where it was sent a gradient
  /// Where given, the scores say what noise leaves of the image to who knows that prior.
  std::shared_ptr<const sharing::Prior> bound = {};
};

/// That of a study, without a prior.
[[nodiscard]] Client client(const Settings& settings);

/// Takes the update of a batch, or one of each round, hands it to the attack, and scores what came out against the
/// truth.
///
/// @param truth the batch; the reading is of its first image, the others are its company.
/// @param index that image's number: start noise, dropout and mechanisms depend on it.
/// @param others see `score`.
/// @return the scores of `score`, "oracle_psnr" (the best restart's, chosen with the truth in hand), "matching_loss",
///   "margin", "p_true" and "gradient_norm"; more: "method", "restart", "restarts", "label_read" (null where the last
///   layer does not show it), with a prior "unbiased_psnr" and "linear_psnr", or why not in more: "bound", and of a
///   batch "batch": the scores of each reconstruction and whose they are.
[[nodiscard]] ReadBack read_back(const nets::Network& network, const Truth& truth, std::int64_t index,
                                 const inversion::Attack& attack, const Client& client = {}, const Truth& others = {});

/// The same from an observation that was made before. The truth scores; the attack does not see it.
[[nodiscard]] ReadBack read_back(const sharing::Observation& observation, const Truth& truth,
                                 const inversion::Attack& attack, const Truth& others = {});

}  // namespace pellucid::gradients
