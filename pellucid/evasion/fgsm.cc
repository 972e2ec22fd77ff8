#include "pellucid/evasion/fgsm.h"

namespace pellucid::evasion {

Tensor fgsm(const Model& model, const Tensor& images, const Objective& objective, const Ball& ball) {
  const Tensor gradient = slope(model, objective, images).gradient;
  return project(images + ball.epsilon.value * ascent(gradient, ball.norm), images, ball);
}

core::Fields fields(MiFgsmOptions& o) {
  return {
      core::field("iterations", o.iterations, "steps, each of epsilon / iterations", 1, 100000),
      core::field("decay", o.decay, "how much of the momentum a step keeps", 0, 10),
  };
}

Tensor mi_fgsm(const Model& model, const Tensor& images, const Objective& objective, const Ball& ball,
               const MiFgsmOptions& options) {
  const double step = ball.epsilon.value / static_cast<double>(options.iterations);
  Tensor x = images.clone(), momentum = torch::zeros_like(images);
  for (std::int64_t i = 0; i < options.iterations; ++i) {
    const Tensor gradient = slope(model, objective, x).gradient;
    const Tensor size = gradient.abs().flatten(1).sum(1).clamp_min(1e-12);
    momentum = options.decay * momentum + gradient / per_image(size);
    x = project(x + step * ascent(momentum, ball.norm), images, ball);
  }
  return x;
}

}  // namespace pellucid::evasion
