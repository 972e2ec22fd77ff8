#include "pellucid/inversion/engine/tensor/steps.h"

namespace pellucid::inversion::tensor_steps {
namespace {

// y = gamma x^ + beta with x^ = r (x - mean). In training mode mean and r are those of each trial's batch and move too:
// with <.> the mean over the batch and all positions and q = <x^ dx>, x^ moves by r (dx - <dx>) - r q x^.
class BatchNorm : public Step {
 public:
  BatchNorm(Plan& plan, Value& in, Value& out, double epsilon, const Parameter& weight, const Parameter& bias,
            const Tensor& mean, const Tensor& variance)
      : Step(plan, {&in}, out), epsilon_(epsilon), gamma_(of_channels(weight.value)), beta_(of_channels(bias.value)) {
    const Tensor r = (variance.to(torch::kFloat64) + epsilon).rsqrt();
    r_ = of_channels(r);
    shift_ = of_channels(-mean.to(torch::kFloat64) * r);
    scale_ = gamma_ * r_;
    gamma_number_ = plan.small_parameter(as_flattened(weight.observed, in.pixels), weight.weight);
    beta_number_ = plan.small_parameter(as_flattened(bias.observed, in.pixels), bias.weight);
  }

  void forward() override {
    const Tensor x = plan_.rows(input().primal);
    if (plan_.training) {
      const Tensor centred = x - mean(x);
      r_ = (mean(centred.square()) + epsilon_).rsqrt();
      scale_ = gamma_ * r_;
      normal_ = centred * r_;
    } else {
      normal_ = torch::addcmul(shift_, x, r_);
    }
    put(out_.primal, torch::addcmul(beta_, normal_, gamma_));
  }

  void backward() override {
    const Tensor d = plan_.rows(out_.adjoint);
    const Tensor sum = d.sum(1, true), product = (d * normal_).sum(1, true);
    plan_.set_small(gamma_number_, product.squeeze(1));
    plan_.set_small(beta_number_, sum.squeeze(1));
    if (plan_.training) {
      const auto positions = static_cast<double>(d.size(1));
      product_ = product / positions;
      inner_ = d - sum / positions - normal_ * product_;
    }
    if (!input().constant)
      collect(input().adjoint, (scale_ * (plan_.training ? inner_ : d)).view(input().primal.sizes()));
  }

  void tangent() override {
    const Tensor moved = torch::addcmul(plan_.small_v(beta_number_), normal_, plan_.small_v(gamma_number_));
    const Tensor dx = input().tangent.defined() ? plan_.rows(input().tangent) : Tensor();
    if (!dx.defined()) return put(out_.tangent, moved);
    if (!plan_.training) return put(out_.tangent, torch::addcmul(moved, dx, scale_));
    const Tensor centred = dx - mean(dx);
    q_ = mean(normal_ * centred);
    moved_normal_ = r_ * (centred - normal_ * q_);
    put(out_.tangent, moved + gamma_ * moved_normal_);
  }

  void tangent_backward() override {
    const Tensor d = out_.tangent_adjoint.defined() ? plan_.rows(out_.tangent_adjoint) : Tensor();
    const Tensor v = plan_.small_v(gamma_number_) * r_;
    Tensor x;
    if (!plan_.training) {
      x = plan_.rows(out_.adjoint) * v;
      if (d.defined()) x = torch::addcmul(x, d, scale_);
    } else {  // the derivative of gamma r (d - <d> - x^ <d x^>)
      x = inner_ * (q_.defined() ? v - scale_ * r_ * q_ : v);
      if (q_.defined())
        x = x - scale_ * (moved_normal_ * product_ +
                          normal_ * mean((plan_.rows(out_.adjoint) - mean(plan_.rows(out_.adjoint))) * moved_normal_));
      if (d.defined()) x = x + scale_ * (d - mean(d) - normal_ * mean(d * normal_));
    }
    collect(input().tangent_adjoint, x.view(input().primal.sizes()));
    q_.reset();
  }

 private:
  [[nodiscard]] Tensor of_channels(const Tensor& values) {
    return plan_.constant(as_flattened(values, input().pixels)).view({1, 1, -1});
  }
  [[nodiscard]] static Tensor mean(const Tensor& rows) { return rows.mean(1, true); }
  void put(Tensor& value, const Tensor& rows) { value = rows.view(out_.shape(plan_.images())); }

  double epsilon_;
  Tensor gamma_, beta_, r_, shift_, scale_;
  std::size_t gamma_number_, beta_number_;
  Tensor normal_, inner_, product_, q_, moved_normal_;
};

}  // namespace

std::unique_ptr<Step> batch_norm(Plan& plan, Value& in, Value& out, double epsilon, const Parameter& weight,
                                 const Parameter& bias, const Tensor& mean, const Tensor& variance) {
  return std::make_unique<BatchNorm>(plan, in, out, epsilon, weight, bias, mean, variance);
}

}  // namespace pellucid::inversion::tensor_steps
