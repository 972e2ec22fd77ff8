// A model as attacks see it, and what they raise: functions of its logits.
#pragma once

#include "pellucid/nets/network.h"

#include <functional>

namespace pellucid::evasion {

/// Logits (B, classes) of images (B, C, H, W) in [0, 1], differentiable by the images; it answers each image by itself.
using Model = std::function<Tensor(const Tensor& images)>;

/// A network as a model; dropout passes everything. It computes where its tensors lie and
/// in their type; images and logits stay where and what the images are.
[[nodiscard]] Model model_of(nets::Network network, nets::Mode mode = nets::Mode::kEvaluation);

/// What an attack raises: one number for each image, (B), from its logits (B, classes).
using Objective = std::function<Tensor(const Tensor& logits)>;

/// Cross-entropy at the true labels, (B) int64.
[[nodiscard]] Objective cross_entropy(const Tensor& labels);

/// Minus the cross-entropy at the target labels, (B) int64: a targeted attack raises it.
[[nodiscard]] Objective towards(const Tensor& targets);

/// The difference of logits ratio, -(z_y - max_{i != y} z_i) / (z_(1) - z_(3) + 1e-12), z_(k) the k-th largest logit;
/// it does not change when the logits are scaled or shifted. Source: Croce and Hein 2020, arXiv:2003.01690, eq. 6; the
/// 1e-12 is from its code.
/// @throws Error(kUsage), when called, if there are fewer than 3 classes.
[[nodiscard]] Objective dlr(const Tensor& labels);

/// Its targeted form, -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2 + 1e-12). Source: the same, eq. 7.
/// @throws Error(kUsage), when called, if there are fewer than 4 classes.
[[nodiscard]] Objective dlr_towards(const Tensor& labels, const Tensor& targets);

/// The true class's logit minus the largest other one, (B): negative where the model errs.
[[nodiscard]] Tensor margins(const Tensor& logits, const Tensor& labels);

/// (B) bool: where the largest logit is not the label's, or is not a number.
[[nodiscard]] Tensor errs(const Tensor& logits, const Tensor& labels);

/// The wrong classes with the k largest logits, largest first, (B, k); fewer columns if there are fewer wrong classes.
[[nodiscard]] Tensor likely_targets(const Tensor& logits, const Tensor& labels, std::int64_t k);

/// An objective at some points: the logits there (B, classes), its values (B), and its gradient by the points. All
/// detached; the gradient is zero where the model does not depend on the image.
struct Slope {
  Tensor logits, values, gradient;
};
[[nodiscard]] Slope slope(const Model& model, const Objective& objective, const Tensor& points);

}  // namespace pellucid::evasion
