// Projected gradient descent in the L-infinity ball, and its one-step forms.
#pragma once

#include "pellucid/nets/network.h"

namespace pellucid::evasion {

/// The attack's budget. With one iteration, no random start and step = epsilon it is FGSM (Goodfellow et al. 2015); with
/// one iteration and a random start it is the one-step attack of Wong et al. 2020 (step 1.25 epsilon there).
struct PgdOptions {
  core::Number epsilon{"0.3"};  ///< radius of the L-infinity ball, in pixels' units
  core::Number step{"0.01"};    ///< step size, in pixels' units
  std::int64_t iterations = 40;
  bool random_start = true;  ///< begin at a uniform point of the ball instead of at the image
};

[[nodiscard]] core::Fields fields(PgdOptions& options);

/// "PGD-40, L-inf, eps 0.3, step 0.01, random start", the numbers as typed.
[[nodiscard]] std::string describe(const PgdOptions& options);

/// Noise for random starts: uniform in [-1, 1], (n, C, H, W); row i depends on (seed, purpose, ids[i]) alone.
[[nodiscard]] Tensor start_noise(std::uint64_t seed, std::string_view purpose, const Tensor& ids, at::IntArrayRef image_shape);

/// Images near the given ones on which the network errs, as far as the attack finds them.
///
/// x <- clip(P(x + step * sign(grad_x CE(f(x), y)))), P the projection on the ball around the image, clip to [0, 1].
/// Source: Madry et al. 2018, arXiv:1706.06083, section 2.1. The last iterate is returned.
///
/// @param images (B, C, H, W) in [0, 1].   @param labels (B) int64.
/// @param noise as from `start_noise`; scaled by epsilon. Not used without a random start.
/// @param mode how the network is evaluated inside the attack.
/// @return (B, C, H, W), each within epsilon of its image and in [0, 1].
[[nodiscard]] Tensor pgd(const nets::Network& network, const Tensor& images, const Tensor& labels, const PgdOptions& options,
                         const Tensor& noise, nets::Mode mode = nets::Mode::kEvaluation);

}  // namespace pellucid::evasion
