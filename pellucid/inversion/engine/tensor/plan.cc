#include "pellucid/inversion/engine/tensor/steps.h"

#include <torch/version.h>

#include <cmath>

namespace pellucid::inversion::tensor_steps {

Plan::Plan(const Problem& problem, std::int64_t trials_of, Precision precision, const torch::Device& device)
    : trials(trials_of),
      batch(problem.protocol.batch_size),
      training(problem.protocol.mode == nets::Mode::kTraining),
      l2(problem.objective == Objective::kL2),
      angular(problem.objective == Objective::kAngular),
      like(torch::TensorOptions(device).dtype(precision == Precision::kFloat64 ? torch::kFloat64 : torch::kFloat32)),
      low(precision == Precision::kMixed ? torch::kBFloat16 : type()),
      alpha(torch::full({trials, 1, 1}, -2, like)),
      beta(torch::full({trials, 1, 1}, 2, like)) {}

Tensor Plan::product(const Tensor& a, const Tensor& b) const {
  if (low == type()) return torch::matmul(a, b);
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 8)
  if (like.device().is_cuda()) return a.dim() == 2 ? at::mm(a, b, type()) : at::bmm(a, b, type());
#endif
  return torch::matmul(a.to(type()), b.to(type()));
}

void Plan::add(double weight, const Sums& sums) {
  weights_.push_back(weight);
  parts_.push_back(l2 ? std::vector<Tensor>{sums.difference} : std::vector<Tensor>{sums.inner, sums.square});
}

std::size_t Plan::small_parameter(const Tensor& observed, double weight) {
  begins_.push_back(begins_.empty() ? 0 : begins_.back() + observed_small_.back().numel());
  observed_small_.push_back(constant(observed).flatten());
  small_weights_.push_back(torch::full({observed.numel()}, weight, like));
  small_.emplace_back();
  return small_.size() - 1;
}

Tensor Plan::small_v(std::size_t number) const {
  return small_v_.narrow(1, begins_[number], observed_small_[number].numel()).unsqueeze(1);
}

void Plan::finish() {
  if (small_.empty()) return;
  all_observed_ = torch::cat(observed_small_);
  all_weights_ = torch::cat(small_weights_);
}

Tensor Plan::distance(double observed_square) {
  if (!small_.empty()) {
    all_small_ = torch::cat(small_, 1);
    const auto sum = [](const Tensor& values) { return values.sum(1, false, torch::kFloat64); };
    if (l2) all_small_ = all_small_ - all_observed_;
    const Tensor weighted = all_small_ * all_weights_;
    add(1, l2 ? Sums{.inner = {}, .square = {}, .difference = sum(weighted * all_small_)}
              : Sums{.inner = sum(weighted * all_observed_), .square = sum(weighted * all_small_), .difference = {}});
  }
  const auto total = [&](std::size_t i) {
    std::vector<Tensor> each;
    for (std::size_t p = 0; p < parts_.size(); ++p)
      each.push_back(weights_[p] == 1 ? parts_[p][i] : parts_[p][i] * weights_[p]);
    return torch::stack(each).sum(0);
  };
  Tensor loss;
  if (l2) {
    loss = total(0);
  } else {
    const Tensor inner = total(0), square = total(1), norms = square.sqrt() * std::sqrt(observed_square);
    const Tensor cosine = inner / norms;
    Tensor towards = norms.reciprocal(), along = inner / (norms * square);
    loss = 1 - cosine;
    if (angular) {
      const Tensor sine = (1 - cosine.square()).clamp_min(kLeastSine2).sqrt();
      loss = torch::atan2(sine, cosine);
      towards = towards / sine;
      along = along / sine;
    }
    alpha = (-towards).to(type()).view({-1, 1, 1});
    beta = along.to(type()).view({-1, 1, 1});
  }
  if (!small_.empty()) {
    small_v_ = all_weights_ *
               (l2 ? 2 * all_small_ : torch::addcmul(all_small_ * beta.squeeze(2), all_observed_, alpha.squeeze(2)));
  }
  weights_.clear();
  parts_.clear();
  return loss;
}

Tensor as_flattened(const Tensor& features, std::int64_t pixels) {
  if (pixels == 1) return features;
  auto shape = features.sizes().vec();
  return features.reshape({-1, shape.back() / pixels, pixels}).transpose(1, 2).reshape(shape);
}

Tensor square_sum(const Tensor& a) { return a.square().flatten(1).sum(1, false, torch::kFloat64); }
Tensor product_sum(const Tensor& a, const Tensor& b) { return (a * b).flatten(1).sum(1, false, torch::kFloat64); }

void forget(std::initializer_list<Tensor*> tensors) {
  for (Tensor* tensor : tensors) tensor->reset();
}

void collect(Tensor& sum, const Tensor& part) { sum = sum.defined() ? sum + part : part; }

}  // namespace pellucid::inversion::tensor_steps
