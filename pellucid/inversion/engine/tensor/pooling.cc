#include "pellucid/inversion/engine/tensor/steps.h"

namespace pellucid::inversion::tensor_steps {
namespace {

// Windows do not overlap: their stride is their size.
class MaxPool : public Step {
 public:
  MaxPool(Plan& plan, Value& in, Value& out, std::int64_t size) : Step(plan, {&in}, out), size_(size) {}

  void forward() override {
    const auto [largest, index] = torch::max_pool2d_with_indices(input().primal.permute({0, 3, 1, 2}), size_);
    out_.primal = largest.permute({0, 2, 3, 1}).contiguous();
    chosen_ = index.permute({0, 2, 3, 1}).reshape({plan_.images(), -1, out_.channels});
  }
  void backward() override {
    if (!input().constant) collect(input().adjoint, spread(out_.adjoint));
  }
  void tangent() override {
    if (input().tangent.defined())
      out_.tangent = flat(input().tangent).gather(1, chosen_).view(out_.shape(plan_.images()));
  }
  void tangent_backward() override {
    if (out_.tangent_adjoint.defined()) collect(input().tangent_adjoint, spread(out_.tangent_adjoint));
  }

 private:
  [[nodiscard]] static Tensor flat(const Tensor& value) { return value.flatten(1, 2); }
  [[nodiscard]] Tensor spread(const Tensor& adjoint) {
    return torch::zeros_like(flat(input().primal)).scatter_(1, chosen_, flat(adjoint)).view(input().primal.sizes());
  }

  std::int64_t size_;
  Tensor chosen_;
};

// The mean over windows of height x width that do not overlap; rows and columns that fill none belong to none.
class AveragePool : public Step {
 public:
  AveragePool(Plan& plan, Value& in, Value& out, std::int64_t height, std::int64_t width)
      : Step(plan, {&in}, out), height_(height), width_(width) {}

  void forward() override { out_.primal = mean(input().primal); }
  void backward() override {
    if (!input().constant) collect(input().adjoint, spread(out_.adjoint));
  }
  void tangent() override {
    if (input().tangent.defined()) out_.tangent = mean(input().tangent);
  }
  void tangent_backward() override {
    if (out_.tangent_adjoint.defined()) collect(input().tangent_adjoint, spread(out_.tangent_adjoint));
  }

 private:
  [[nodiscard]] Tensor mean(const Tensor& value) const {
    return value.narrow(1, 0, out_.height * height_)
        .narrow(2, 0, out_.width * width_)
        .reshape({plan_.images(), out_.height, height_, out_.width, width_, out_.channels})
        .mean({2, 4});
  }
  [[nodiscard]] Tensor spread(const Tensor& adjoint) {
    const Tensor each = (adjoint / static_cast<double>(height_ * width_))
                            .view({plan_.images(), out_.height, 1, out_.width, 1, out_.channels});
    const Tensor filled = each.expand({-1, -1, height_, -1, width_, -1})
                              .reshape({plan_.images(), out_.height * height_, out_.width * width_, out_.channels});
    const auto rest = [](std::int64_t whole, std::int64_t part) { return whole - part; };
    return at::constant_pad_nd(filled,
                               {0, 0, 0, rest(input().width, filled.size(2)), 0, rest(input().height, filled.size(1))});
  }

  std::int64_t height_, width_;
};

}  // namespace

std::unique_ptr<Step> max_pool(Plan& plan, Value& in, Value& out, std::int64_t size) {
  return std::make_unique<MaxPool>(plan, in, out, size);
}

std::unique_ptr<Step> average_pool(Plan& plan, Value& in, Value& out, std::int64_t height, std::int64_t width) {
  return std::make_unique<AveragePool>(plan, in, out, height, width);
}

}  // namespace pellucid::inversion::tensor_steps
