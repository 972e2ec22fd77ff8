#include "pellucid/evasion/pgd.h"

#include "pellucid/core/tensor.h"

namespace pellucid::evasion {

core::Fields fields(PgdOptions& o) {
  return {
      core::field("epsilon", o.epsilon, "radius of the L-infinity ball, in units of the pixels' range [0, 1]", 0, 1),
      core::field("step", o.step, "step size, in the same units", 0, 1),
      core::field("iterations", o.iterations, "gradient steps; 1 is the one-step attack", 0, 100000),
      core::field("random_start", o.random_start, "begin at a random point of the ball"),
  };
}

std::string describe(const PgdOptions& o) {
  return fmt::format("PGD-{}, L-inf, eps {}, step {}{}", o.iterations, o.epsilon.typed, o.step.typed,
                     o.random_start ? ", random start" : "");
}

Tensor start_noise(std::uint64_t seed, std::string_view purpose, const Tensor& ids, at::IntArrayRef image_shape) {
  std::vector<Tensor> rows;
  for (std::int64_t i = 0; i < ids.size(0); ++i) {
    rows.push_back(core::uniform(core::Stream(seed, purpose, ids[i].item<std::int64_t>()), image_shape, -1, 1));
  }
  return torch::stack(rows);
}

Tensor pgd(const nets::Network& network, const Tensor& images, const Tensor& labels, const PgdOptions& options, const Tensor& noise,
           nets::Mode mode) {
  const double epsilon = options.epsilon.value;
  const Tensor low = (images - epsilon).clamp(0, 1), high = (images + epsilon).clamp(0, 1);
  Tensor x = options.random_start ? torch::min(torch::max(images + epsilon * noise, low), high) : images.clone();
  for (std::int64_t i = 0; i < options.iterations; ++i) {
    x = x.detach().requires_grad_(true);
    const Tensor logits = nets::evaluate(network.architecture, network.state, x, mode).logits;
    const Tensor loss = at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum);
    const Tensor gradient = torch::autograd::grad({loss}, {x})[0];
    x = torch::min(torch::max(x.detach() + options.step.value * gradient.sign(), low), high);
  }
  return x.detach();
}

}  // namespace pellucid::evasion
