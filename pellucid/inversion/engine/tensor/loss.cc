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
      scale_(problem.scale),
      labels_(plan.constant(as_flattened(residual_ ? problem.residual : problem.labels, logits.pixels))
                  .repeat({plan.trials, 1})) {
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
void Head::tangent() {
  if (residual_ || !logits_.tangent.defined()) return;
  const Tensor dz = logits_.tangent.flatten(1);
  const Tensor moved = label_sums_ * p_ * (dz - (p_ * dz).sum(1, true)) / static_cast<double>(plan_.batch);
  collect(logits_.tangent_adjoint, (any_size_ ? moved * sizes_ : moved * scale_).view(logits_.primal.sizes()));
}

}  // namespace pellucid::inversion::tensor_steps
