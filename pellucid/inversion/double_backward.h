// The matching loss and its gradient by differentiating twice: the reference for the engine.
#pragma once

#include "pellucid/inversion/problem.h"

namespace pellucid::inversion {

/// The matching loss of one trial, and its gradient by the images, (B, C, H, W), in pixels' units.
struct Matched {
  double matching_loss;  ///< the distance of the gradients, and of the features where they are matched; comparable
                         ///< between restarts of one attack
  Tensor gradient;
  Tensor by_labels = {};  ///< likewise by the labels, (B, classes), where they were given
};

/// What runs where the engine (engine/engine.h) cannot, and what every result is evaluated by.
///
/// Scaled arithmetic: the observed gradient is divided by its norm and so is what is differentiated at the trial, so
/// that gradients of norm 1e-30 are matched as well as those of norm 1; norms are taken after dividing by the largest
/// entry.
///
/// Of several rounds it is the sum over them, each times its share.
///
/// Holds no state that its methods change: threads may share it.
class DoubleBackward {
 public:
  /// @param precision kFloat32 or kFloat64.
  DoubleBackward(const Problem& problem, Precision precision);

  /// @param labels (B, classes), distributions; undefined: the problem's.
  [[nodiscard]] Matched operator()(const Tensor& images, const Tensor& labels = {}) const;
  /// The matching loss alone.
  [[nodiscard]] double loss(const Tensor& images) const;

 private:
  [[nodiscard]] Tensor functional(const Tensor& logits, const Tensor& labels) const;
  [[nodiscard]] Tensor distance(const std::vector<Tensor>& gradients) const;
  [[nodiscard]] Tensor distance_from(const std::vector<Tensor>& observed, const std::vector<Tensor>& gradients) const;
  [[nodiscard]] Tensor matching_loss(const Tensor& images, const Tensor& labels, bool differentiable) const;
  [[nodiscard]] Tensor loss_of_one(const Tensor& images, const Tensor& labels, bool differentiable) const;

  nets::Architecture architecture_;
  sharing::Protocol protocol_;
  Functional functional_;
  Objective objective_;
  nets::Leaves leaves_;
  std::vector<Tensor> observed_, low_, high_;  // over the norm
  std::vector<Tensor> free_;                   // the values of which nothing is known
  bool rounded_, any_size_;
  std::vector<double> weights_;
  double scale_;                                         // 1 / norm
  Tensor labels_;                                        // (B, classes)
  Tensor residual_;                                      // (1, classes), over the norm
  nets::Architecture before_features_;                   // the layers up to the features
  Tensor features_, features_weights_, features_known_;  // (B, in), (B), (B, in); undefined where none are matched
  std::vector<DoubleBackward> further_;                  // of further rounds
  double share_;
};

}  // namespace pellucid::inversion
