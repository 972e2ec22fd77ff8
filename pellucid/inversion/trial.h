// What one restart of an attack came to.
#pragma once

#include "pellucid/core/torch.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace pellucid::inversion {

enum class Status {
  kOk,             ///< ran to the end
  kDiverged,       ///< the loss or its gradient stopped being finite; the best iterate before that is the result
  kNotApplicable,  ///< the attack does not apply to this observation
};
[[nodiscard]] std::string to_string(Status status);

/// The matching loss along a descent.
struct Curve {
  std::vector<std::int64_t> iteration;
  std::vector<double> matching_loss;
};

struct Trial {
  Status status = Status::kOk;
  std::string reason;  ///< why, where the status is not ok
  Tensor images;       ///< (B, C, H, W) float32 in [0, 1]; undefined where nothing came out
  /// Of these images, as `judge` (reconstruct.h) takes it; NaN where nothing came out.
  double matching_loss = std::numeric_limits<double>::quiet_NaN();
  double prior = 0;                       ///< what the attack's terms cost on these images
  std::vector<std::int64_t> labels = {};  ///< of each image, as the solver read them off, or else `infer_labels`
  std::vector<bool> isolated = {};        ///< of each image, where the solver finds some and not others: which it found
  std::string method;                     ///< what computed it: "engine, float32", or double backward and why
  Curve curve;                            ///< as the solver computed it; empty for one that does not descend
};

}  // namespace pellucid::inversion
