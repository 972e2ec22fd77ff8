// The fast gradient attacks: one step, and steps with momentum.
#pragma once

#include "pellucid/evasion/ball.h"
#include "pellucid/evasion/objective.h"

namespace pellucid::evasion {

/// One step of length epsilon along the direction of steepest ascent: x + epsilon * sign(grad_x objective) for
/// L-infinity. Source: Goodfellow et al. 2015, arXiv:1412.6572, section 4; its L2 form (Dong et al. 2018, eq. 3) moves
/// along the gradient. Nothing is random.
/// @param images (B, C, H, W) in [0, 1].   @param objective of these B images' logits.
/// @return (B, C, H, W), in the ball and in [0, 1].
[[nodiscard]] Tensor fgsm(const Model& model, const Tensor& images, const Objective& objective, const Ball& ball);

struct MiFgsmOptions {
  std::int64_t iterations = 10;
  double decay = 1;  ///< of the momentum; 0 forgets
};

[[nodiscard]] core::Fields fields(MiFgsmOptions& options);

/// FGSM in steps of epsilon / iterations along a momentum g <- decay * g + grad / ||grad||_1.
/// Source: Dong et al. 2018, arXiv:1710.06081, algorithm 1; the L2 form is its section 3.3. Nothing is random.
/// Shapes as for `fgsm`.
[[nodiscard]] Tensor mi_fgsm(const Model& model, const Tensor& images, const Objective& objective, const Ball& ball,
                             const MiFgsmOptions& options);

}  // namespace pellucid::evasion
