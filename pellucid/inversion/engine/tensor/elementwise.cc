#include "pellucid/inversion/engine/tensor/steps.h"

#include <functional>
#include <numbers>

namespace pellucid::inversion::tensor_steps {
namespace {

// A function of each value alone, or of each channel's, that is linear between kinks: ReLU, leaky ReLU, the
// normalisation.
class Linearised : public Step {
 public:
  using Apply = std::function<Tensor(const Tensor& x)>;
  using Along = std::function<Tensor(const Tensor& d, const Value& in, const Value& out)>;
  Linearised(Plan& plan, Value& in, Value& out, Apply apply, Along along)
      : Step(plan, {&in}, out), apply_(std::move(apply)), along_(std::move(along)) {}

  void forward() override { out_.primal = apply_(input().primal); }
  void backward() override {
    if (!input().constant) collect(input().adjoint, along_(out_.adjoint, input(), out_));
  }
  void tangent() override {
    if (input().tangent.defined()) out_.tangent = along_(input().tangent, input(), out_);
  }
  void tangent_backward() override {
    if (out_.tangent_adjoint.defined()) collect(input().tangent_adjoint, along_(out_.tangent_adjoint, input(), out_));
  }

 private:
  Apply apply_;
  Along along_;
};

// A smooth function of each value: its second derivative times dx and the adjoint joins the last sweep.
class Smooth : public Step {
 public:
  struct Curve {
    Tensor value, first, second;
  };
  using Apply = std::function<Curve(const Tensor& x)>;
  Smooth(Plan& plan, Value& in, Value& out, Apply apply) : Step(plan, {&in}, out), apply_(std::move(apply)) {}

  void forward() override {
    curve_ = apply_(input().primal);
    out_.primal = curve_.value;
  }
  void backward() override {
    if (!input().constant) collect(input().adjoint, curve_.first * out_.adjoint);
  }
  void tangent() override {
    if (input().tangent.defined()) out_.tangent = curve_.first * input().tangent;
  }
  void tangent_backward() override {
    if (out_.tangent_adjoint.defined()) collect(input().tangent_adjoint, curve_.first * out_.tangent_adjoint);
    if (input().tangent.defined()) collect(input().tangent_adjoint, curve_.second * input().tangent * out_.adjoint);
  }

 private:
  Apply apply_;
  Curve curve_;
};

class Sum : public Step {
 public:
  Sum(Plan& plan, Value& a, Value& b, Value& out) : Step(plan, {&a, &b}, out) {}

  void forward() override { out_.primal = input(0).primal + input(1).primal; }
  void backward() override {
    for (Value* in : in_) {
      if (!in->constant) collect(in->adjoint, out_.adjoint);
    }
  }
  void tangent() override {
    for (Value* in : in_) {
      if (in->tangent.defined()) collect(out_.tangent, in->tangent);
    }
  }
  void tangent_backward() override {
    if (!out_.tangent_adjoint.defined()) return;
    for (Value* in : in_) collect(in->tangent_adjoint, out_.tangent_adjoint);
  }
};

// The same values as flat features.
class Flatten : public Step {
 public:
  Flatten(Plan& plan, Value& in, Value& out) : Step(plan, {&in}, out) {}

  void forward() override { out_.primal = input().primal.reshape(out_.shape(plan_.images())); }
  void backward() override {
    if (!input().constant) collect(input().adjoint, out_.adjoint.reshape(input().primal.sizes()));
  }
  void tangent() override {
    if (input().tangent.defined()) out_.tangent = input().tangent.reshape(out_.shape(plan_.images()));
  }
  void tangent_backward() override {
    if (out_.tangent_adjoint.defined())
      collect(input().tangent_adjoint, out_.tangent_adjoint.reshape(input().primal.sizes()));
  }
};

}  // namespace

std::unique_ptr<Step> normalise(Plan& plan, Value& in, Value& out, const nets::Normalise& op) {
  const auto of = [&](const std::vector<double>& values) {
    return plan.constant(torch::tensor(values, torch::kFloat64));
  };
  return std::make_unique<Linearised>(
      plan, in, out,
      [mean = of(op.mean), deviation = of(op.deviation)](const Tensor& x) { return (x - mean) / deviation; },
      [deviation = of(op.deviation)](const Tensor& d, const Value&, const Value&) { return d / deviation; });
}

std::unique_ptr<Step> relu(Plan& plan, Value& in, Value& out) {
  return std::make_unique<Linearised>(
      plan, in, out, [](const Tensor& x) { return x.relu(); },
      [](const Tensor& d, const Value&, const Value& y) { return at::threshold_backward(d, y.primal, 0); });
}

std::unique_ptr<Step> leaky_relu(Plan& plan, Value& in, Value& out, double slope) {
  return std::make_unique<Linearised>(
      plan, in, out, [slope](const Tensor& x) { return torch::leaky_relu(x, slope); },
      [slope](const Tensor& d, const Value& x, const Value&) {
        return at::leaky_relu_backward(d, x.primal, slope, false);
      });
}

std::unique_ptr<Step> sigmoid(Plan& plan, Value& in, Value& out) {
  return std::make_unique<Smooth>(plan, in, out, [](const Tensor& x) -> Smooth::Curve {
    const Tensor s = x.sigmoid(), d = s * (1 - s);
    return {s, d, d * (1 - 2 * s)};
  });
}

std::unique_ptr<Step> tanh(Plan& plan, Value& in, Value& out) {
  return std::make_unique<Smooth>(plan, in, out, [](const Tensor& x) -> Smooth::Curve {
    const Tensor t = x.tanh(), d = 1 - t * t;
    return {t, d, -2 * t * d};
  });
}

// x Phi(x), with Phi the standard normal's distribution and phi its density.
std::unique_ptr<Step> gelu(Plan& plan, Value& in, Value& out) {
  return std::make_unique<Smooth>(plan, in, out, [](const Tensor& x) -> Smooth::Curve {
    const Tensor density = (-x * x / 2).exp() * (std::numbers::inv_sqrtpi / std::numbers::sqrt2),
                 distribution = (x * (-1 / std::numbers::sqrt2)).erfc() / 2;
    return {x * distribution, distribution + x * density, density * (2 - x * x)};
  });
}

std::unique_ptr<Step> add(Plan& plan, Value& a, Value& b, Value& out) { return std::make_unique<Sum>(plan, a, b, out); }

std::unique_ptr<Step> flatten(Plan& plan, Value& in, Value& out) { return std::make_unique<Flatten>(plan, in, out); }

}  // namespace pellucid::inversion::tensor_steps
