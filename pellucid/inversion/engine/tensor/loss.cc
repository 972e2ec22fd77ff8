#include "pellucid/inversion/engine/tensor/steps.h"

namespace pellucid::inversion::tensor_steps {
namespace {

// The input of the first linear layer where it is matched too: |h - h*|^2 joins the loss, and its gradient the last
// sweep.
class Features : public Step {
 public:
  Features(Plan& plan, Value& in, const Tensor& targets, const Tensor& weights, Tensor& loss)
      : Step(plan, {&in}, in),
        targets_(plan.constant(as_flattened(targets, in.pixels)).repeat({plan.trials, 1})),
        weights_(plan.constant(weights).repeat({plan.trials}).unsqueeze(1)),
        loss_(loss) {}

  void forward() override {
    loss_ = (difference().square() * weights_).view({plan_.trials, -1}).sum(1, false, torch::kFloat64);
  }
  void backward() override {}
  void tangent() override {}
  void tangent_backward() override {
    collect(input().tangent_adjoint, (difference() * (2 * weights_)).view(input().primal.sizes()));
  }

 private:
  [[nodiscard]] Tensor difference() { return input().primal.flatten(1) - targets_; }

  Tensor targets_, weights_;
  Tensor& loss_;
};

}  // namespace

std::unique_ptr<Step> features(Plan& plan, Value& in, const Tensor& targets, const Tensor& weights, Tensor& loss) {
  return std::make_unique<Features>(plan, in, targets, weights, loss);
}

Head::Head(const Plan& plan, const Problem& problem, Value& logits)
    : plan_(plan),
      logits_(logits),
      residual_(problem.functional == Functional::kResidual),
      any_size_(any_size(problem.objective)),
      scale_(problem.scale) {
  set_labels(plan.constant(residual_ ? problem.residual : problem.labels).repeat({plan.trials, 1}));
}

void Head::set_labels(const Tensor& labels) {
  labels_ = as_flattened(labels, logits_.pixels);
  label_sums_ = labels_.sum(1, true);
}

// The derivative of the functional by the logits. The softmax as frameworks compute it: log p = (z - max) - log sum
// exp.
void Head::backward() {
  Tensor d = labels_;
  if (!residual_) {
    p_ = logits_.primal.flatten(1).log_softmax(1).exp();
    d = (label_sums_ * p_ - labels_) / static_cast<double>(plan_.batch);
    // The cosine does not care about the gradient's size, so it is given one that neither under- nor overflows.
    if (any_size_)
      sizes_ = d.view({plan_.trials, -1})
                   .abs()
                   .amax(1)
                   .reciprocal()
                   .view({-1, 1, 1})
                   .expand({-1, plan_.batch, 1})
                   .reshape({-1, 1});
    d = any_size_ ? d * sizes_ : d * scale_;
  }
  collect(logits_.adjoint, d.view(logits_.primal.sizes()));
}

// How that derivative moves with the logits.
Tensor Head::tangent(bool by_labels) {
  if (residual_ || !logits_.tangent.defined()) return by_labels ? torch::zeros_like(labels_) : Tensor();
  const Tensor dz = logits_.tangent.flatten(1), about_mean = dz - (p_ * dz).sum(1, true);
  const auto scaled = [&](const Tensor& moved) {
    const Tensor mean = moved / static_cast<double>(plan_.batch);
    return any_size_ ? mean * sizes_ : mean * scale_;
  };
  collect(logits_.tangent_adjoint, scaled(label_sums_ * p_ * about_mean).view(logits_.primal.sizes()));
  return by_labels ? as_flattened(scaled(-about_mean), dz.size(1) / logits_.pixels) : Tensor();
}

}  // namespace pellucid::inversion::tensor_steps
