#include "pellucid/evasion/cw.h"

#include "pellucid/core/adam.h"

#include <limits>

namespace pellucid::evasion {
namespace {

constexpr double kInside = 0.999999;  // keeps black and white pixels off the ends of tanh
const double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

core::Fields fields(CwOptions& o) {
  return {
      core::field("iterations", o.iterations, "steps of Adam for each constant", 1, 1000000),
      core::field("searches", o.searches, "constants tried for each image", 1, 100),
      core::field("learning_rate", o.learning_rate, "Adam's learning rate", 0, 100),
      core::field("constant", o.constant, "the first weight of the error against the distance", 0),
      core::field("confidence", o.confidence, "how far past the border to push, in logits", 0),
  };
}

Tensor cw(const Model& model, const Tensor& images, const Tensor& labels, const CwOptions& options) {
  const Tensor start = ((2 * images - 1) * kInside).atanh();
  Tensor nearest = images, distance = torch::full(labels.sizes(), kInfinity, images.options());
  Tensor low = torch::zeros_like(distance), high = torch::full_like(distance, kInfinity);
  Tensor constant = torch::full_like(distance, options.constant);
  for (std::int64_t search = 0; search < options.searches; ++search) {
    Tensor w = start.clone(), first = torch::zeros_like(w), second = torch::zeros_like(w);
    Tensor broken = torch::zeros_like(labels, torch::kBool);
    for (std::int64_t i = 1; i <= options.iterations; ++i) {
      const Tensor leaf = w.detach().requires_grad_(true);
      const Tensor x = (leaf.tanh() + 1) / 2;
      const Tensor logits = model(x);
      const Tensor squared = (x - images).square().flatten(1).sum(1);
      const Tensor loss = squared + constant * margins(logits, labels).clamp_min(-options.confidence);
      const Tensor gradient = torch::autograd::grad({loss.sum()}, {leaf})[0];

      const torch::NoGradGuard no_gradient;
      const Tensor wrong = errs(logits, labels), nearer = wrong.logical_and(squared < distance);
      nearest = torch::where(per_image(nearer), x.detach(), nearest);
      distance = torch::where(nearer, squared.detach(), distance);
      broken = broken.logical_or(wrong);
      core::adam_step(w, gradient, first, second, i, options.learning_rate);
    }
    high = torch::where(broken, torch::min(high, constant), high);
    low = torch::where(broken, low, torch::max(low, constant));
    constant = torch::where(high.isfinite(), (low + high) / 2, constant * 10);
  }
  return nearest;
}

}  // namespace pellucid::evasion
