#include "pellucid/inversion/matching.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pellucid::inversion {
namespace {

using core::Error;
using core::ErrorKind;

// <a, b> over all tensors together, each with its weight.
Tensor inner(const std::vector<Tensor>& a, const std::vector<Tensor>& b, const std::vector<double>& weights) {
  Tensor sum = weights[0] * (a[0] * b[0]).sum();
  for (std::size_t i = 1; i < a.size(); ++i) sum = sum + weights[i] * (a[i] * b[i]).sum();
  return sum;
}

// The largest absolute value over all tensors together, as a constant.
Tensor largest(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> each;
  for (const auto& tensor : tensors) each.push_back(tensor.detach().abs().max());
  return torch::stack(each).max();
}

}  // namespace

Problem make_problem(const sharing::Observation& observation, const InversionOptions& options,
                     const std::vector<std::int64_t>& labels) {
  const double norm = sharing::gradient_norm(observation.update);
  if (!std::isfinite(norm))
    throw Error(ErrorKind::kModel, "the observed gradient: got values that are not finite, nothing can be matched");
  if (norm == 0) throw Error(ErrorKind::kModel, "the observed gradient is zero everywhere: nothing can be matched");
  auto scaled = [&](const Tensor& tensor) { return tensor.to(torch::kFloat64) / norm; };
  const auto& architecture = observation.network.architecture;
  core::require_memory(
      labels.size() * static_cast<std::uint64_t>(architecture.spec.classes) * 2 * sizeof(double),
      fmt::format("the labels of a batch of {} with {} classes", labels.size(), architecture.spec.classes));
  Problem problem{
      .architecture = architecture,
      .state = observation.network.state,
      .mode = observation.update.mode,
      .batch_size = observation.update.batch_size,
      .functional = options.functional,
      .objective = options.objective,
      .observed = {},
      .weights = {},
      .scale = 1 / norm,
      .labels = torch::one_hot(torch::tensor(labels, torch::kInt64), architecture.spec.classes).to(torch::kFloat64),
      .residual = {}};
  for (const auto& name : nets::parameter_names(architecture))
    problem.observed.push_back(scaled(observation.update.gradient.at(name)));
  problem.weights.assign(problem.observed.size(), 1);
  if (options.functional == Functional::kResidual) {
    if (problem.batch_size != 1) {
      throw Error(ErrorKind::kUsage, "the residual attack: got a batch of {}, expected one image; use ig",
                  problem.batch_size);
    }
    problem.residual = scaled(residual_at_logits(observation)).unsqueeze(0);
  }
  if (options.features > 0) {
    if (problem.batch_size != 1) {
      throw Error(
          ErrorKind::kUsage,
          "features: a linear layer's input can be read off a batch of one only (got {}); expected features = 0",
          problem.batch_size);
    }
    const auto& layers = architecture.layers;
    const auto linear = std::find_if(layers.begin(), layers.end(),
                                     [](const nets::Layer& l) { return std::holds_alternative<nets::Linear>(l.op); });
    if (linear == layers.end())
      throw Error(ErrorKind::kUsage, "features: {} has no linear layer; expected features = 0", architecture.spec.net);
    problem.features_of = linear->name;
    problem.features = linear_input(observation.update, linear->name);
    problem.features_weight = options.features;
  }
  return problem;
}

Problem on(Problem problem, const torch::Device& device) {
  const auto move = [&](Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.to(device);
  };
  for (auto& [name, tensor] : problem.state) move(tensor);
  for (auto& tensor : problem.observed) move(tensor);
  for (auto* tensor : {&problem.labels, &problem.residual, &problem.features}) move(*tensor);
  return problem;
}

Tensor linear_input(const sharing::Update& update, const std::string& layer) {
  const Tensor weight = update.gradient.at(layer + ".weight").to(torch::kFloat64),
               bias = update.gradient.at(layer + ".bias").to(torch::kFloat64);
  const double square = bias.square().sum().item<double>();
  if (square == 0)
    throw Error(ErrorKind::kModel, "the gradient of {}.bias is zero everywhere: the layer's input cannot be read off",
                layer);
  return weight.t().mv(bias) / square;
}

Matching::Matching(const Problem& problem, Precision precision)
    : architecture_(problem.architecture),
      mode_(problem.mode),
      functional_(problem.functional),
      objective_(problem.objective),
      weights_(problem.weights),
      scale_(problem.scale) {
  const auto type = precision == Precision::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const auto leaves =
      nets::with_gradients({.architecture = architecture_, .state = nets::converted(problem.state, type)});
  state_ = leaves.state;
  parameters_ = leaves.parameters;
  for (const auto& tensor : problem.observed) observed_.push_back(tensor.to(type));
  labels_ = problem.labels.to(type);
  if (problem.residual.defined()) residual_ = problem.residual.to(type);
  features_weight_ = 0;
  if (!problem.features_of.empty()) {
    const auto& layers = architecture_.layers;
    const auto linear =
        std::find_if(layers.begin(), layers.end(), [&](const nets::Layer& l) { return l.name == problem.features_of; });
    before_features_ = {.spec = architecture_.spec,
                        .layers = {layers.begin(), layers.begin() + linear->inputs.front() + 1}};
    features_ = problem.features.to(type);
    features_weight_ = problem.features_weight /
                       std::max(problem.features.square().sum().item<double>(), std::numeric_limits<double>::min());
  }
}

Matching::Matching(const sharing::Observation& observation, const InversionOptions& options,
                   const std::vector<std::int64_t>& labels)
    : Matching(make_problem(observation, options, labels), options.precision) {}

Tensor Matching::functional(const Tensor& logits) const {
  if (functional_ == Functional::kResidual) return (residual_ * logits).sum();
  return at::cross_entropy_loss(logits, labels_) * scale_;
}

Tensor Matching::distance(const std::vector<Tensor>& gradients) const {
  if (objective_ == Objective::kCosine) {
    const Tensor unit = largest(gradients);
    std::vector<Tensor> scaled;
    for (const auto& gradient : gradients) scaled.push_back(gradient / unit);
    return 1 - inner(scaled, observed_, weights_) /
                   (inner(scaled, scaled, weights_).sqrt() * inner(observed_, observed_, weights_).sqrt());
  }
  std::vector<Tensor> difference;
  for (std::size_t i = 0; i < gradients.size(); ++i) difference.push_back(gradients[i] - observed_[i]);
  return inner(difference, difference, weights_);
}

Matched Matching::operator()(const Tensor& images) const {
  const Tensor x = images.detach().requires_grad_(true);
  const Tensor logits = nets::evaluate(architecture_, state_, x, mode_).logits;
  const auto gradients =
      torch::autograd::grad({functional(logits)}, parameters_, {}, /*retain_graph=*/true, /*create_graph=*/true);
  Tensor loss = distance(gradients);
  if (features_weight_ > 0) {
    const Tensor features = nets::evaluate(before_features_, state_, x, mode_).logits.flatten();
    loss = loss + features_weight_ * (features - features_).square().sum();
  }
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

std::optional<std::int64_t> label_read(const sharing::Observation& observation) {
  if (observation.update.batch_size != 1) return std::nullopt;
  if (!std::holds_alternative<nets::Linear>(observation.network.architecture.layers.back().op)) return std::nullopt;
  const Tensor residual = residual_at_logits(observation);
  if (residual.min().item<double>() < 0) return residual.argmin().item<std::int64_t>();
  return std::nullopt;
}

std::vector<std::int64_t> infer_labels(const sharing::Observation& observation) {
  if (!observation.labels.empty()) return observation.labels;
  if (observation.update.batch_size != 1) {
    throw Error(ErrorKind::kUsage,
                "labels: not shared, and they can be read off a batch of one only (got {}); take an update whose "
                "labels are shared",
                observation.update.batch_size);
  }
  return {residual_at_logits(observation).argmin().item<std::int64_t>()};
}

}  // namespace pellucid::inversion
