// The linear layer. Its gradient is never formed: with one position an image, the Gram trick always pays.
#include "pellucid/inversion/engine/gram.h"
#include "pellucid/inversion/engine/onednn.h"

#include <algorithm>

namespace pellucid::inversion::steps {
namespace {

using dnnl::memory;

class Linear : public Step {
 public:
  Linear(Plan& plan, Input in, Value& out, const Parameter& weight, const Parameter& bias, const Targets& targets)
      : Step(plan, {in}, out),
        dnn_(*plan.dnn),
        gram_(plan, {}, inputs(), outputs()),
        bias_(kept(bias.value)),
        observed_bias_(kept(bias.observed)),
        of_weight_(weight.weight),
        of_bias_(bias.weight),
        observed_square_(weight.observed.to(torch::kFloat64).square().sum().item<double>()),
        observed_forward_(plan.arena.take<float>(plan.images() * outputs())),
        observed_back_(plan.arena.take<float>(plan.images() * inputs())),
        bias_gradient_(plan.arena.take<float>(plan.trials * outputs())),
        sums_(plan.arena.take<double>(outputs())) {
    if (targets.values.defined()) {
      targets_ = kept(as_flattened(targets.values));
      const Tensor weights = targets.weights.to(torch::kCPU, torch::kFloat64).contiguous();
      target_weights_.assign(weights.data_ptr<double>(), weights.data_ptr<double>() + weights.numel());
    }
    const Tensor rows = as_flattened(weight.value), observed_rows = as_flattened(weight.observed);
    const memory ahead = laid_out(rows.t(), false), back = laid_out(rows, in_[0].add);
    forward_ = product(input().primal, ahead, out_.primal, false);
    tangent_ = product(input().tangent, ahead, out_.tangent, false);
    backward_ = product(out_.adjoint, back, input().adjoint, in_[0].add);
    tangent_backward_ = product(out_.tangent_adjoint, back, input().tangent_adjoint, in_[0].add);
    observed_forward_call_ = product(input().primal, laid_out(observed_rows.t(), false), observed_forward_, false);
    observed_back_call_ = product(out_.adjoint, laid_out(observed_rows, false), observed_back_, false);
  }

  void forward() override {
    dnn_.run(forward_);
    kernels::add_row(out_.primal, bias_, plan_.images(), outputs());
  }

  void backward() override {
    dnn_.run(backward_);
    dnn_.run(observed_forward_call_);
    dnn_.run(observed_back_call_);
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      const double square = gram_.take(t, in_of(t, input().primal), out_of(t, out_.adjoint));
      const double inner =
          kernels::inner(out_of(t, out_.adjoint), out_of(t, observed_forward_), plan_.batch * outputs());
      std::fill_n(sums_, outputs(), 0.0);
      kernels::sum_rows(sums_, out_of(t, out_.adjoint), plan_.batch, outputs());
      float* gradient = bias_gradient_ + t * outputs();
      std::copy_n(sums_, outputs(), gradient);
      plan_.add_sums(t, of_weight_, {inner, square, std::max(0.0, square - 2 * inner + observed_square_)});
      plan_.add_sums(t, of_bias_, kernels::compare(gradient, observed_bias_, outputs()));
      for (std::size_t i = 0; i < target_weights_.size(); ++i) {
        plan_.features[t] +=
            target_weights_[i] * kernels::compare(image_of(t, i, input().primal), target(i), inputs()).difference;
      }
    }
  }

  // The four sweeps with the weight, g* applied forward and backward, and the Gram matrices.
  std::int64_t macs() override { return 6 * plan_.images() * inputs() * outputs() + plan_.trials * gram_.macs(); }

  void tangent() override {
    dnn_.run(tangent_);
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      float* y = out_of(t, out_.tangent);
      kernels::add_scaled(y, of_weight_ * plan_.alpha[t], out_of(t, observed_forward_), plan_.batch * outputs());
      gram_.apply(t, of_weight_ * plan_.beta[t], out_of(t, out_.adjoint), y);
      kernels::combine(row_, of_bias_ * plan_.alpha[t], observed_bias_, of_bias_ * plan_.beta[t],
                       bias_gradient_ + t * outputs(), outputs());
      kernels::add_row(y, row_, plan_.batch, outputs());
    }
  }

  void tangent_backward() override {
    dnn_.run(tangent_backward_);
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      float* x = in_of(t, input().tangent_adjoint);
      kernels::add_scaled(x, of_weight_ * plan_.alpha[t], in_of(t, observed_back_), plan_.batch * inputs());
      gram_.apply_back(t, of_weight_ * plan_.beta[t], in_of(t, input().primal), x);
      // The targets' own gradient joins the sweep here: from here on it goes back as any adjoint does.
      for (std::size_t i = 0; i < target_weights_.size(); ++i) {
        const auto twice = static_cast<float>(2 * target_weights_[i]);
        float* image = image_of(t, i, input().tangent_adjoint);
        kernels::add_scaled(image, twice, image_of(t, i, input().primal), inputs());
        kernels::add_scaled(image, -twice, target(i), inputs());
      }
    }
  }

 private:
  [[nodiscard]] std::int64_t inputs() { return input().channels; }
  [[nodiscard]] std::int64_t outputs() const { return out_.channels; }
  [[nodiscard]] float* in_of(std::int64_t trial, float* array) { return array + trial * plan_.batch * inputs(); }
  [[nodiscard]] float* image_of(std::int64_t trial, std::size_t image, float* array) {
    return in_of(trial, array) + static_cast<std::int64_t>(image) * inputs();
  }
  [[nodiscard]] float* target(std::size_t image) { return targets_ + static_cast<std::int64_t>(image) * inputs(); }
  [[nodiscard]] float* out_of(std::int64_t trial, float* array) const {
    return array + trial * plan_.batch * outputs();
  }
  // Rows of inputs in PyTorch's order, in that of a flattened value.
  Tensor as_flattened(const Tensor& rows) {
    const std::int64_t pixels = input().flattened_pixels;
    return rows.reshape({-1, inputs() / pixels, pixels}).transpose(1, 2).reshape({-1, inputs()});
  }
  float* kept(const Tensor& tensor) {
    const Tensor values = tensor.detach().to(torch::kFloat32).contiguous();
    float* copy = plan_.arena.take<float>(values.numel());
    std::copy_n(values.data_ptr<float>(), values.numel(), copy);
    return copy;
  }

  // A matrix product with all images' rows. oneDNN's gives a row the same bits whatever the number of rows; its sgemm
  // does not.
  dnnl::matmul::primitive_desc product_desc(std::int64_t from, std::int64_t to, bool add) const {
    const auto rows = [&](std::int64_t columns) {
      return memory::desc({plan_.images(), columns}, memory::data_type::f32, memory::format_tag::ab);
    };
    return described<dnnl::matmul>(dnn_.engine(), Onednn::attributes(add), rows(from),
                                   memory::desc({from, to}, memory::data_type::f32, memory::format_tag::any), rows(to));
  }
  // A (from, to) matrix in the layout that the product likes.
  memory laid_out(const Tensor& matrix, bool add) {
    const Tensor values = matrix.detach().to(torch::kFloat32).contiguous();
    const auto desc = product_desc(values.size(0), values.size(1), add).weights_desc();
    memory from = dnn_.view({{values.size(0), values.size(1)}, memory::data_type::f32, memory::format_tag::ab},
                            values.data_ptr<float>());
    memory to = dnn_.view(desc, plan_.arena.take_bytes(desc.get_size()));
    dnnl::stream stream(dnn_.engine());
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
    return to;
  }
  Call product(float* rows, const memory& matrix, float* result, bool add) {
    const bool ahead = rows == input().primal || rows == input().tangent;
    const auto desc = ahead ? product_desc(inputs(), outputs(), add) : product_desc(outputs(), inputs(), add);
    return dnn_.call<dnnl::matmul>(desc, {{DNNL_ARG_SRC, dnn_.view(desc.src_desc(), rows)},
                                          {DNNL_ARG_WEIGHTS, matrix},
                                          {DNNL_ARG_DST, dnn_.view(desc.dst_desc(), result)}});
  }

  Onednn& dnn_;
  Gram gram_;
  Call forward_, backward_, tangent_, tangent_backward_, observed_forward_call_, observed_back_call_;
  float *bias_, *observed_bias_;
  float of_weight_, of_bias_;  // their weights in the distance
  double observed_square_;
  float *observed_forward_, *observed_back_;  // g* applied to the input, and backward to the adjoint
  float* bias_gradient_;
  double* sums_;
  float* row_ = plan_.arena.take<float>(outputs());
  float* targets_ = nullptr;            // of each image of a batch
  std::vector<double> target_weights_;  // likewise; none where nothing is asked of the input
};

}  // namespace

std::unique_ptr<Step> linear(Plan& plan, Input in, Value& out, const Parameter& weight, const Parameter& bias,
                             const Targets& targets) {
  return std::make_unique<Linear>(plan, in, out, weight, bias, targets);
}

}  // namespace pellucid::inversion::steps
