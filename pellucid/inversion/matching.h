// How far the gradient of a trial image is from the observed one, and the direction in which to move the image.
#pragma once

#include "pellucid/inversion/options.h"
#include "pellucid/sharing/update.h"

namespace pellucid::inversion {

/// The objective at one trial.
struct Matched {
  double matching_loss;  ///< the distance of the gradients; comparable between restarts of one attack
  Tensor gradient;       ///< its gradient by the images, (B, C, H, W), in pixels' units
};

/// The matching loss of an observation, compiled once and evaluated at many trial images, by double backward.
///
/// Scaled arithmetic: the observed gradient is divided by its norm and so is what is differentiated at the trial, so that
/// gradients of norm 1e-30 are matched as well as those of norm 1; norms are taken after dividing by the largest entry.
///
/// Holds no state that `operator()` changes: threads may share it.
class Matching {
 public:
  /// @param labels of the batch; not used by the residual functional.
  /// @throws Error(kUsage) if the residual functional is asked for but the batch is not one image, or the network does not
  ///   end in a linear layer with bias.
  /// @throws Error(kModel) if the observed gradient is zero everywhere or not finite: nothing can be matched.
  Matching(const sharing::Observation& observation, const InversionOptions& options, const std::vector<std::int64_t>& labels);

  [[nodiscard]] Matched operator()(const Tensor& images) const;

 private:
  [[nodiscard]] Tensor functional(const Tensor& logits) const;
  [[nodiscard]] Tensor distance(const std::vector<Tensor>& gradients) const;

  const nets::Architecture& architecture_;
  nets::Mode mode_;
  Functional functional_;
  Objective objective_;
  nets::TensorMap state_;
  std::vector<Tensor> parameters_;
  std::vector<Tensor> observed_;  // over the norm
  double scale_;                  // 1 / norm
  Tensor labels_;
  Tensor residual_;  // (1, classes), over the norm
};

/// The derivative of the loss by the logits as the client's float32 left it: the gradient of the last layer's bias.
/// For a batch of one it is p - onehot(label), rounded.
/// @throws Error(kUsage) if the network does not end in a linear layer.
[[nodiscard]] Tensor residual_at_logits(const sharing::Observation& observation);

/// The labels of the batch: those that were shared, or for one image the class whose bias has the lowest gradient.
///
/// Source: iDLG (Zhao et al. 2020, arXiv:2001.02610) for the sign; for cross-entropy only the true class's is negative.
/// Where float32 rounded the true class's away (0, all others positive) it is still the lowest.
/// @throws Error(kUsage) if the batch has more than one image and the labels were not shared.
[[nodiscard]] std::vector<std::int64_t> infer_labels(const sharing::Observation& observation);

}  // namespace pellucid::inversion
