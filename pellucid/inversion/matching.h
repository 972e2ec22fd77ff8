// How far the gradient of a trial image is from the observed one, and the direction in which to move the image.
#pragma once

#include "pellucid/inversion/options.h"
#include "pellucid/sharing/update.h"

#include <optional>

namespace pellucid::inversion {

/// What is matched: all that the matching loss depends on, checked, and scaled so that nothing under- or overflows.
struct Problem {
  nets::Architecture architecture;
  nets::TensorMap state;
  nets::Mode mode;
  std::int64_t batch_size;
  Functional functional;
  Objective objective;
  std::vector<Tensor> observed;  ///< g* over its norm, float64, in the order of `nets::parameter_names`
  std::vector<double> weights;   ///< of each parameter in the distance, in that order; 0 leaves it out
  double scale;                  ///< 1 / |g*|: what the functional is multiplied by
  Tensor labels;                 ///< (B, classes) float64, one-hot; not used by the residual functional
  Tensor residual;               ///< (1, classes) float64, over |g*|; undefined for the loss
  std::string features_of = {};  ///< the linear layer whose input is matched too; empty: none
  Tensor features = {};          ///< that input h*, (in) float64, in PyTorch's order
  double features_weight = 0;    ///< of |h - h*|^2 / |h*|^2 in the matching loss
};

/// What a linear layer took, read off the update of one image exactly: its weight's gradient is d h^T and its bias's is
/// d, so h = (grad W)^T d / |d|^2, least squares over the rows. Source: Phong et al. 2017, section 3; Geiping et al.
/// 2020, proposition 3.1.
/// @return (in) float64. @throws Error(kModel) if the bias's gradient is zero everywhere.
[[nodiscard]] Tensor linear_input(const sharing::Update& update, const std::string& layer);

/// @param labels of the batch; not used by the residual functional.
/// @throws Error(kUsage) if the residual functional or the features are asked for but the batch is not one image.
/// @throws Error(kUsage) if they are asked for but the network does not end in a linear layer, or has none.
/// @throws Error(kModel) if the observed gradient is zero everywhere or not finite: nothing can be matched.
/// @throws Error(kData) if the labels of the batch need more memory than is allowed.
[[nodiscard]] Problem make_problem(const sharing::Observation& observation, const InversionOptions& options,
                                   const std::vector<std::int64_t>& labels);

/// The problem with its tensors there.
[[nodiscard]] Problem on(Problem problem, const torch::Device& device);

/// The objective at one trial.
struct Matched {
  double matching_loss;  ///< the distance of the gradients, and of the features where they are matched; comparable
                         ///< between restarts of one attack
  Tensor gradient;       ///< its gradient by the images, (B, C, H, W), in pixels' units
};

/// The matching loss and its gradient by double backward: the reference for the engine (engine.h), and what runs where
/// the engine cannot.
///
/// Scaled arithmetic: the observed gradient is divided by its norm and so is what is differentiated at the trial, so
/// that gradients of norm 1e-30 are matched as well as those of norm 1; norms are taken after dividing by the largest
/// entry.
///
/// Holds no state that `operator()` changes: threads may share it.
class Matching {
 public:
  /// @param precision kFloat32 or kFloat64.
  Matching(const Problem& problem, Precision precision);
  /// @throws as `make_problem`.
  Matching(const sharing::Observation& observation, const InversionOptions& options,
           const std::vector<std::int64_t>& labels);

  [[nodiscard]] Matched operator()(const Tensor& images) const;

 private:
  [[nodiscard]] Tensor functional(const Tensor& logits) const;
  [[nodiscard]] Tensor distance(const std::vector<Tensor>& gradients) const;

  nets::Architecture architecture_;
  nets::Mode mode_;
  Functional functional_;
  Objective objective_;
  nets::TensorMap state_;
  std::vector<Tensor> parameters_;
  std::vector<Tensor> observed_;  // over the norm
  std::vector<double> weights_;
  double scale_;                        // 1 / norm
  Tensor labels_;                       // (B, classes)
  Tensor residual_;                     // (1, classes), over the norm
  nets::Architecture before_features_;  // the layers up to the features
  Tensor features_;
  double features_weight_;  // over |h*|^2
};

/// The derivative of the loss by the logits as the client's float32 left it: the gradient of the last layer's bias.
/// For a batch of one it is p - onehot(label), rounded.
/// @throws Error(kUsage) if the network does not end in a linear layer.
[[nodiscard]] Tensor residual_at_logits(const sharing::Observation& observation);

/// The label of the one image as the last bias's gradient shows it, which is negative for the true class alone; nothing
/// where none is, for a batch, or where the network does not end in a linear layer.
[[nodiscard]] std::optional<std::int64_t> label_read(const sharing::Observation& observation);

/// The labels of the batch: those that were shared, or for one image the class whose bias has the lowest gradient.
///
/// Source: iDLG (Zhao et al. 2020, arXiv:2001.02610) for the sign; for cross-entropy only the true class's is negative.
/// Where float32 rounded the true class's away (0, all others positive) it is still the lowest.
/// @throws Error(kUsage) if the batch has more than one image and the labels were not shared.
[[nodiscard]] std::vector<std::int64_t> infer_labels(const sharing::Observation& observation);

}  // namespace pellucid::inversion
