// The losses of robust training: functions of logits, one number for each image.
#pragma once

#include "pellucid/core/torch.h"

namespace pellucid::training {

/// KL(softmax(clean) || softmax(moved)), (B): how far the answers move. Both (B, classes).
[[nodiscard]] Tensor divergence(const Tensor& clean, const Tensor& moved);

/// TRADES: CE(clean, y) + beta * KL(clean || moved), (B).
/// Source: Zhang et al. 2019, arXiv:1901.08573, eq. 5, with the logits of the images and of points near them.
[[nodiscard]] Tensor trades(const Tensor& clean, const Tensor& moved, const Tensor& labels, double beta);

/// MART: BCE(moved, y) + beta * KL(clean || moved) * (1 - p_y(clean)), (B), with the boosted cross-entropy
/// BCE = -log p_y - log(1 - max_{k != y} p_k) of the moved points.
/// Source: Wang et al. 2020, "Improving adversarial robustness requires revisiting misclassified examples", eq. 11. The
/// small constants (1.0001, 1e-12, 1.0000001) are those of its code.
[[nodiscard]] Tensor mart(const Tensor& clean, const Tensor& moved, const Tensor& labels, double beta);

}  // namespace pellucid::training
