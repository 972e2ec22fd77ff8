#include "pellucid/inversion/matching.h"

#include "pellucid/core/error.h"

#include <cmath>

namespace pellucid::inversion {
namespace {

using core::Error;
using core::ErrorKind;

// <a, b> over all tensors together.
Tensor inner(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  Tensor sum = (a[0] * b[0]).sum();
  for (std::size_t i = 1; i < a.size(); ++i) sum = sum + (a[i] * b[i]).sum();
  return sum;
}

// The largest absolute value over all tensors together, as a constant.
Tensor largest(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> each;
  for (const auto& tensor : tensors) each.push_back(tensor.detach().abs().max());
  return torch::stack(each).max();
}

}  // namespace

Matching::Matching(const sharing::Observation& observation, const InversionOptions& options, const std::vector<std::int64_t>& labels)
    : architecture_(observation.network.architecture),
      mode_(observation.update.mode),
      functional_(options.functional),
      objective_(options.objective),
      labels_(torch::tensor(labels, torch::kInt64)) {
  const auto type = options.precision == Precision::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const double norm = sharing::gradient_norm(observation.update);
  if (!std::isfinite(norm)) throw Error(ErrorKind::kModel, "the observed gradient: got values that are not finite, nothing can be matched");
  if (norm == 0) throw Error(ErrorKind::kModel, "the observed gradient is zero everywhere: nothing can be matched");
  scale_ = 1 / norm;

  const auto leaves =
      nets::with_gradients({.architecture = architecture_, .state = nets::converted(observation.network.state, type)});
  state_ = leaves.state;
  parameters_ = leaves.parameters;
  auto scaled = [&](const Tensor& tensor) { return (tensor.to(torch::kFloat64) * scale_).to(type); };
  for (const auto& name : nets::parameter_names(architecture_)) observed_.push_back(scaled(observation.update.gradient.at(name)));

  if (functional_ == Functional::kResidual) {
    if (observation.update.batch_size != 1) {
      throw Error(ErrorKind::kUsage, "the residual attack: got a batch of {}, expected one image; use ig", observation.update.batch_size);
    }
    residual_ = scaled(residual_at_logits(observation)).unsqueeze(0);
  }
}

Tensor Matching::functional(const Tensor& logits) const {
  if (functional_ == Functional::kResidual) return (residual_ * logits).sum();
  return at::cross_entropy_loss(logits, labels_) * scale_;
}

Tensor Matching::distance(const std::vector<Tensor>& gradients) const {
  if (objective_ == Objective::kCosine) {
    const Tensor unit = largest(gradients);
    std::vector<Tensor> scaled;
    for (const auto& gradient : gradients) scaled.push_back(gradient / unit);
    return 1 - inner(scaled, observed_) / (inner(scaled, scaled).sqrt() * inner(observed_, observed_).sqrt());
  }
  std::vector<Tensor> difference;
  for (std::size_t i = 0; i < gradients.size(); ++i) difference.push_back(gradients[i] - observed_[i]);
  return inner(difference, difference);
}

Matched Matching::operator()(const Tensor& images) const {
  const Tensor x = images.detach().requires_grad_(true);
  const Tensor logits = nets::evaluate(architecture_, state_, x, mode_).logits;
  const auto gradients =
      torch::autograd::grad({functional(logits)}, parameters_, {}, /*retain_graph=*/true, /*create_graph=*/true);
  const Tensor loss = distance(gradients);
  return {.matching_loss = loss.item<double>(), .gradient = torch::autograd::grad({loss}, {x})[0]};
}

Tensor residual_at_logits(const sharing::Observation& observation) {
  const auto& last = observation.network.architecture.layers.back();
  if (!std::holds_alternative<nets::Linear>(last.op)) {
    throw Error(ErrorKind::kUsage, "the residual attack: {} does not end in a linear layer; use ig",
                observation.network.architecture.spec.net);
  }
  return observation.update.gradient.at(last.name + ".bias");
}

std::vector<std::int64_t> infer_labels(const sharing::Observation& observation) {
  if (!observation.labels.empty()) return observation.labels;
  if (observation.update.batch_size != 1) {
    throw Error(ErrorKind::kUsage, "labels: not shared, and they can be read off a batch of one only (got {})",
                observation.update.batch_size);
  }
  return {residual_at_logits(observation).argmin().item<std::int64_t>()};
}

}  // namespace pellucid::inversion
