#include "pellucid/inversion/double_backward.h"

#include <algorithm>
#include <limits>

namespace pellucid::inversion {
namespace {

// <a, b> over all tensors together, each with its weight.
Tensor inner(const std::vector<Tensor>& a, const std::vector<Tensor>& b, const std::vector<double>& weights) {
  Tensor sum = weights[0] * (a[0] * b[0]).sum();
  for (std::size_t i = 1; i < a.size(); ++i) sum = sum + weights[i] * (a[i] * b[i]).sum();
  return sum;
}

// The sum of the absolute values over all tensors together, each with its weight.
Tensor size(const std::vector<Tensor>& tensors, const std::vector<double>& weights) {
  Tensor sum = weights[0] * tensors[0].abs().sum();
  for (std::size_t i = 1; i < tensors.size(); ++i) sum = sum + weights[i] * tensors[i].abs().sum();
  return sum;
}

// The mean of (g - g*)^2 / (g*^2 + a little) over the coordinates of all tensors together, each with its weight.
Tensor fisher(const std::vector<Tensor>& difference, const std::vector<Tensor>& observed,
              const std::vector<double>& weights) {
  constexpr double kLeastSquare = 1e-8;
  Tensor sum = torch::zeros({}, observed[0].options());
  double count = 0;
  for (std::size_t i = 0; i < difference.size(); ++i) {
    sum = sum + weights[i] * (difference[i].square() / (observed[i].square() + kLeastSquare)).sum();
    count += weights[i] * static_cast<double>(observed[i].numel());
  }
  return sum / count;
}

// The largest absolute value over all tensors together, as a constant.
Tensor largest(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> each;
  for (const auto& tensor : tensors) each.push_back(tensor.detach().abs().max());
  return torch::stack(each).max();
}

std::vector<Tensor> less(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  std::vector<Tensor> difference;
  for (std::size_t i = 0; i < a.size(); ++i) difference.push_back(a[i] - b[i]);
  return difference;
}

// What gradients are multiplied by to have the size of the observed. It is differentiated too.
Tensor factor_to(const std::vector<Tensor>& observed, const std::vector<Tensor>& gradients,
                 const std::vector<double>& weights) {
  const Tensor unit = largest(gradients).clamp_min(std::numeric_limits<float>::min());
  std::vector<Tensor> scaled;
  for (const auto& gradient : gradients) scaled.push_back(gradient / unit);
  return (inner(observed, observed, weights) / inner(scaled, scaled, weights)).sqrt() / unit;
}

// Where each value was rounded at random to one of two neighbours, the nearer the likelier: the mean over the values of
// -log of the probability of what was observed, which goes on in a line outside the interval, and the squared distance,
// which is smoother far from the image. Their shares are as the largest square of the noise and that of the gradient.
Tensor rounding(const std::vector<Tensor>& gradients, const std::vector<Tensor>& observed,
                const std::vector<Tensor>& low, const std::vector<Tensor>& high, const std::vector<double>& weights) {
  constexpr double kEdge = 0.95, kFar = 1e30;  // a tensor of zeros has no step
  Tensor sum = torch::zeros({}, gradients[0].options()), noise = torch::zeros({}, gradients[0].options());
  double count = 0;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (weights[i] == 0) continue;
    const Tensor half = (high[i] - low[i]) / 2, middle = (high[i] + low[i]) / 2;
    const Tensor off = ((gradients[i] - middle) / half.masked_fill(half == 0, kFar)).abs();
    const Tensor inside = -torch::log1p(-off.clamp_max(kEdge)) + (off - kEdge).clamp_min(0) / (1 - kEdge);
    sum = sum + weights[i] * inside.sum();
    noise = noise + weights[i] * half.square().sum() / 4;
    count += weights[i] * static_cast<double>(off.numel());
  }
  const auto difference = less(gradients, observed);
  return (inner(difference, difference, weights) + noise * sum / count) / (1 + noise);
}

}  // namespace

DoubleBackward::DoubleBackward(const Problem& problem, Precision precision)
    : architecture_(problem.architecture),
      protocol_(problem.protocol),
      functional_(problem.functional),
      objective_(problem.objective),
      rounded_(problem.rounded),
      any_size_(problem.any_size),
      weights_(problem.weights),
      scale_(problem.scale),
      share_(problem.share) {
  const auto type = precision == Precision::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  leaves_ = nets::with_gradients({.architecture = architecture_, .state = nets::converted(problem.state, type)});
  for (const auto& tensor : problem.observed) observed_.push_back(tensor.to(type));
  for (const auto& tensor : problem.low) low_.push_back(tensor.to(type));
  for (const auto& tensor : problem.high) high_.push_back(tensor.to(type));
  for (std::size_t i = 0; i < low_.size(); ++i) free_.push_back(low_[i].isneginf().logical_and(high_[i].isposinf()));
  // In evaluation mode the mean of the clients' gradients is that of all images at once.
  if (protocol_.local.epochs == 0 && protocol_.mode == nets::Mode::kEvaluation) protocol_.clients = 1;
  labels_ = problem.labels.to(type);
  if (problem.residual.defined()) residual_ = problem.residual.to(type);
  if (!problem.features.layer.empty()) {
    const auto& layers = architecture_.layers;
    const auto linear = std::find_if(layers.begin(), layers.end(),
                                     [&](const nets::Layer& l) { return l.name == problem.features.layer; });
    before_features_ = {.spec = architecture_.spec,
                        .layers = {layers.begin(), layers.begin() + linear->inputs.front() + 1}};
    features_ = problem.features.targets.to(type);
    features_weights_ = problem.features.weights.to(type);
    if (problem.features.known.defined()) features_known_ = problem.features.known.to(type);
  }
  for (const auto& round : problem.further) further_.emplace_back(round, precision);
}

Tensor DoubleBackward::functional(const Tensor& logits, const Tensor& labels) const {
  if (functional_ == Functional::kResidual) return (residual_ * logits).sum();
  const Tensor loss = at::cross_entropy_loss(logits, labels);
  return protocol_.local.epochs == 0 ? loss * scale_ : loss;
}

// Where the nearest value of each interval stands for the observed one it is a constant: it minimises the distance, so
// that the derivative does not move with it.
Tensor DoubleBackward::distance(const std::vector<Tensor>& gradients) const {
  if (low_.empty() && !any_size_) return distance_from(observed_, gradients);
  std::vector<Tensor> scaled = gradients, nearest = observed_;
  for (std::size_t i = 0; i < low_.size(); ++i) scaled[i] = scaled[i].masked_fill(free_[i], 0);
  if (any_size_) {
    const Tensor factor = factor_to(observed_, scaled, weights_);
    for (auto& gradient : scaled) gradient = factor * gradient;
  }
  if (rounded_) return rounding(scaled, observed_, low_, high_, weights_);
  for (std::size_t i = 0; i < low_.size(); ++i)
    nearest[i] = torch::minimum(torch::maximum(scaled[i].detach(), low_[i]), high_[i]);
  return distance_from(nearest, scaled);
}

Tensor DoubleBackward::distance_from(const std::vector<Tensor>& observed, const std::vector<Tensor>& gradients) const {
  if (any_size(objective_)) {
    const Tensor unit = largest(gradients);
    std::vector<Tensor> scaled;
    for (const auto& gradient : gradients) scaled.push_back(gradient / unit);
    const Tensor cosine = inner(scaled, observed, weights_) /
                          (inner(scaled, scaled, weights_).sqrt() * inner(observed, observed, weights_).sqrt());
    if (objective_ == Objective::kCosine) return 1 - cosine;
    return torch::atan2((1 - cosine.square()).clamp_min(kLeastSine2).sqrt(), cosine);
  }
  const auto difference = less(gradients, observed);
  if (objective_ == Objective::kL1) return size(difference, weights_) / size(observed, weights_);
  if (objective_ == Objective::kFisher) return fisher(difference, observed, weights_);
  return inner(difference, difference, weights_);
}

Tensor DoubleBackward::matching_loss(const Tensor& x, const Tensor& labels, bool differentiable) const {
  Tensor loss = loss_of_one(x, labels, differentiable);
  if (further_.empty()) return loss;
  loss = share_ * loss;
  for (const auto& round : further_) loss = loss + round.share_ * round.loss_of_one(x, labels, differentiable);
  return loss;
}

Tensor DoubleBackward::loss_of_one(const Tensor& x, const Tensor& labels, bool differentiable) const {
  const auto clients = sharing::simulate(
      protocol_, architecture_, leaves_, x,
      [&](const Tensor& logits, const Tensor& which) { return functional(logits, labels.index_select(0, which)); },
      std::nullopt, differentiable);
  auto gradients = clients.front().gradient;
  for (std::size_t i = 0; clients.size() > 1 && i < gradients.size(); ++i) {
    for (std::size_t k = 1; k < clients.size(); ++k) gradients[i] = gradients[i] + clients[k].gradient[i];
    gradients[i] = gradients[i] / static_cast<double>(clients.size());
  }
  if (protocol_.local.epochs > 0) {
    for (auto& change : gradients) change = change * scale_;
  }
  Tensor loss = distance(gradients);
  if (features_.defined()) {
    const Tensor features = nets::evaluate(before_features_, leaves_.state, x, protocol_.mode).logits.flatten(1);
    const Tensor squares = (features - features_).square();
    loss = loss + (features_weights_ * (features_known_.defined() ? squares * features_known_ : squares).sum(1)).sum();
  }
  return loss;
}

Matched DoubleBackward::operator()(const Tensor& images, const Tensor& labels) const {
  std::vector<Tensor> leaves = {images.detach().requires_grad_(true)};
  if (labels.defined()) leaves.push_back(labels.detach().requires_grad_(true));
  const Tensor loss = matching_loss(leaves.front(), labels.defined() ? leaves.back() : labels_, true);
  const auto gradients = torch::autograd::grad({loss}, leaves);
  return {.matching_loss = loss.item<double>(),
          .gradient = gradients.front(),
          .by_labels = labels.defined() ? gradients.back() : Tensor()};
}

double DoubleBackward::loss(const Tensor& images) const {
  return matching_loss(images.detach(), labels_, false).item<double>();
}

}  // namespace pellucid::inversion
