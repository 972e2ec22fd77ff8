// Projected gradient ascent in a ball around the image, and its one-step forms.
#pragma once

#include "pellucid/evasion/ball.h"
#include "pellucid/evasion/objective.h"

#include <optional>

namespace pellucid::evasion {

/// The attack's budget. With one iteration, no random start and step = epsilon it is FGSM (Goodfellow et al. 2015);
/// with one iteration and a random start it is the one-step attack of Wong et al. 2020 (step 1.25 epsilon there).
struct PgdOptions {
  core::Number epsilon{"0.3"};            ///< radius of the ball, in pixels' units
  std::optional<core::Number> step = {};  ///< step size, in pixels' units; none: as `step_size` says
  std::int64_t iterations = 40;
  bool random_start = true;  ///< begin at a random point of the ball instead of at the image
  Norm norm = Norm::kLinf;

  [[nodiscard]] Ball ball() const { return {.norm = norm, .epsilon = epsilon}; }

  /// The step that is taken: the one that was set, else one whose iterations together reach past the ball's surface.
  /// For L-infinity 4/3 epsilon / iterations, which is 0.01 for 0.3 in 40 (Madry et al. 2018, MNIST); for L2
  /// 2.5 epsilon / iterations, from any point of the ball to any other (the same, section 5).
  [[nodiscard]] double step_size() const;
};

[[nodiscard]] core::Fields fields(PgdOptions& options);

/// "PGD-40, L-inf, eps 0.3, step 0.01, random start", the numbers as typed; a step that was not set to 4 digits.
[[nodiscard]] std::string describe(const PgdOptions& options);

/// Images near the given ones at which the objective is high, as far as the attack finds them.
///
/// x <- P(x + step * d(grad_x objective(f(x)))), where P projects on the ball and on [0, 1] (`project`) and d is the
/// direction of steepest ascent: the sign for L-infinity, the gradient over its length for L2.
/// Source: Madry et al. 2018, arXiv:1706.06083, section 2.1. The last iterate is returned.
///
/// @param images (B, C, H, W) in [0, 1].
/// @param objective of the logits of these B images: `cross_entropy(labels)`, or `towards(targets)` for a targeted
/// attack.
/// @param noise (B, C, H, W) as from `start_noise`. The start is the image plus epsilon * noise for L-infinity; for L2
///   the noise is scaled to length epsilon. Not used without a random start.
/// @return (B, C, H, W), each within epsilon of its image and in [0, 1].
[[nodiscard]] Tensor pgd(const Model& model, const Tensor& images, const Objective& objective,
                         const PgdOptions& options, const Tensor& noise);

/// The same with the cross-entropy of a network evaluated in a mode, as in adversarial training.
/// @param labels (B) int64.
[[nodiscard]] Tensor pgd(const nets::Network& network, const Tensor& images, const Tensor& labels,
                         const PgdOptions& options, const Tensor& noise, nets::Mode mode = nets::Mode::kEvaluation);

/// PGD from several random starts of each image at once, packed into one batch of restarts * B.
///
/// Start r of image i depends on (seed, r, ids[i]) alone; start 0 is that of `robust_accuracy`. For each image the
/// first restart at which the model errs is returned, or the one with the highest cross-entropy if there is none.
/// @param ids (B) int64: the images' numbers.   @param restarts at least 1; without a random start one is enough.
[[nodiscard]] Tensor pgd_restarts(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                                  const PgdOptions& options, std::int64_t restarts, std::uint64_t seed);

}  // namespace pellucid::evasion
