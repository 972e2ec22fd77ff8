#include "pellucid/evasion/objective.h"

#include "pellucid/core/error.h"
#include "pellucid/evasion/ball.h"

#include <limits>

namespace pellucid::evasion {
namespace {

Tensor at_labels(const Tensor& logits, const Tensor& labels) {
  return logits.gather(1, labels.unsqueeze(1)).squeeze(1);
}

// The logits with the labels' own out of the way.
Tensor without(const Tensor& logits, const Tensor& labels) {
  return logits.scatter(1, labels.unsqueeze(1), -std::numeric_limits<double>::infinity());
}

Tensor sorted_down(const Tensor& logits, std::int64_t at_least, const char* what) {
  if (logits.size(1) < at_least) {
    throw core::Error(core::ErrorKind::kUsage, "{}: got {} classes, expected at least {}; attack with apgd-ce instead",
                      what, logits.size(1), at_least);
  }
  return std::get<0>(logits.sort(1, /*descending=*/true));
}

}  // namespace

Model model_of(nets::Network network, nets::Mode mode) {
  return [network = std::move(network), mode](const Tensor& images) {
    const Tensor there = images.to(nets::device_of(network));
    return nets::evaluate(network.architecture, network.state, there, mode).logits.to(images.options());
  };
}

Objective cross_entropy(const Tensor& labels) {
  return [labels](const Tensor& logits) { return at::cross_entropy_loss(logits, labels, {}, at::Reduction::None); };
}

Objective towards(const Tensor& targets) {
  return [targets](const Tensor& logits) { return -at::cross_entropy_loss(logits, targets, {}, at::Reduction::None); };
}

Objective dlr(const Tensor& labels) {
  return [labels](const Tensor& logits) {
    const Tensor z = sorted_down(logits, 3, "DLR");
    return -margins(logits, labels) / (z.select(1, 0) - z.select(1, 2) + kTiny);
  };
}

Objective dlr_towards(const Tensor& labels, const Tensor& targets) {
  return [labels, targets](const Tensor& logits) {
    const Tensor z = sorted_down(logits, 4, "targeted DLR");
    return (at_labels(logits, targets) - at_labels(logits, labels)) /
           (z.select(1, 0) - (z.select(1, 2) + z.select(1, 3)) / 2 + kTiny);
  };
}

Tensor margins(const Tensor& logits, const Tensor& labels) {
  return at_labels(logits, labels) - without(logits, labels).amax(1);
}

Tensor errs(const Tensor& logits, const Tensor& labels) {
  return logits.argmax(1).ne(labels).logical_or(logits.isfinite().all(1).logical_not());
}

Tensor likely_targets(const Tensor& logits, const Tensor& labels, std::int64_t k) {
  return std::get<1>(without(logits, labels).topk(std::min(k, logits.size(1) - 1), 1));
}

Slope slope(const Model& model, const Objective& objective, const Tensor& points) {
  const Tensor leaf = points.detach().requires_grad_(true);
  const Tensor logits = model(leaf);
  const Tensor values = objective(logits);
  Tensor gradient;
  if (values.requires_grad()) {
    gradient = torch::autograd::grad({values.sum()}, {leaf}, {}, /*retain_graph=*/false, /*create_graph=*/false,
                                     /*allow_unused=*/true)[0];
  }
  return {.logits = logits.detach(),
          .values = values.detach(),
          .gradient = gradient.defined() ? gradient : torch::zeros_like(points)};
}

}  // namespace pellucid::evasion
