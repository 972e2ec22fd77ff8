// The attack of Carlini and Wagner: the nearest image in L2 on which the model errs, by Adam.
#pragma once

#include "pellucid/evasion/ball.h"
#include "pellucid/evasion/objective.h"

namespace pellucid::evasion {

struct CwOptions {
  std::int64_t iterations = 1000;  ///< steps of Adam for each constant
  std::int64_t searches = 9;       ///< constants tried: ten times larger until one breaks the image, then halving
  double learning_rate = 0.01;
  double constant = 1e-3;  ///< the first one
  double confidence = 0;   ///< kappa: how far past the border the loss pushes, in logits
};

[[nodiscard]] core::Fields fields(CwOptions& options);

/// Minimises ||x' - x||_2^2 + c max(z_y - max_{i != y} z_i, -kappa) over w, x' = (tanh w + 1) / 2, searching c for each
/// image. Source: Carlini and Wagner 2017, arXiv:1608.04644, sections V and VI-A, untargeted. Deviation: no early
/// abort, since the authors' looks at the whole batch. Nothing is random.
/// @param images (B, C, H, W) in [0, 1].   @param labels (B) int64.
/// @return (B, C, H, W): the nearest points met at which the model errs, at any distance; the image where there is
/// none.
[[nodiscard]] Tensor cw(const Model& model, const Tensor& images, const Tensor& labels, const CwOptions& options);

}  // namespace pellucid::evasion
