// Convolution, by oneDNN, all activations in NHWC. Two ways to use the weight's gradient g:
//
//   formed  g is computed for each trial, v = alpha g* + beta g is written out, and both are convolutions' weights
//   Gram    g is never formed (see gram.h); g* is convolved once for all trials
//
// In mixed precision every convolution but the forward one takes brain floats and gives float32: the ReLU masks, which
// a rounded forward sweep would flip, stay exact.
#include "pellucid/inversion/engine/gram.h"
#include "pellucid/inversion/engine/onednn.h"

#include <algorithm>
#include <optional>

namespace pellucid::inversion::steps {
namespace {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;
using DataType = memory::data_type;
using Tag = memory::format_tag;

// With fewer channels, oneDNN's backward convolution is slow and a matrix product is not.
constexpr std::int64_t kFewChannels = 16;

class Convolution : public Step {
 public:
  Convolution(Plan& plan, Input in, Value& out, const nets::Conv& conv, const Parameter& weight, const Parameter& bias)
      : Step(plan, {in}, out),
        conv_(conv),
        geometry_{.height = input().height,
                  .width = input().width,
                  .out_height = out.height,
                  .out_width = out.width,
                  .kernel = conv.kernel,
                  .stride = conv.stride,
                  .padding = conv.padding},
        dnn_(*plan.dnn),
        low_(plan.mixed && !input().constant),
        of_weight_(weight.weight),
        of_bias_(bias.weight) {
    prepare_low();
    make_sweeps(weight.value);
    if (!input().constant && gram_pays(geometry_, plan.batch, conv.in, conv.out)) {
      make_gram(weight.observed);
    } else {
      make_formed(weight.observed);
    }
    if (conv.bias) {
      bias_ = plan.arena.take<float>(conv.out);
      observed_bias_ = plan.arena.take<float>(conv.out);
      bias_gradient_ = plan.arena.take<float>(plan.trials * conv.out);
      bias_v_ = plan.arena.take<float>(plan.trials * conv.out);
      bias_sums_ = plan.arena.take<double>(conv.out);
      copy_plain(bias.value, bias_);
      copy_plain(bias.observed, observed_bias_);
    }
  }

  void forward() override {
    dnn_.run(forward_);
    if (conv_.bias) add_bias(out_.primal, bias_, plan_.images());
    if (rounds_primal_) kernels::round(input().low_primal, input().primal, in_count());
  }

  void backward() override {
    if (low_) kernels::round(low_adjoint_, out_.adjoint, out_count());
    if (!input().constant) {
      dnn_.run(backward_);
      if (in_[0].add) kernels::add(input().adjoint, plan_.scratch, in_count());
    }
    if (gram_) {
      dnn_.run(observed_forward_call_);
      dnn_.run(observed_back_call_);
    }
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      gram_ ? sum_gram(t) : sum_formed(t);
      if (conv_.bias) sum_bias(t);
    }
  }

  // Forward, backward and both tangents with the weight; then g* twice and the Gram matrices, or g, and v twice. The
  // images are not asked for their adjoint and have no tangent.
  std::int64_t macs() override {
    const std::int64_t one = plan_.images() * geometry_.taps() * conv_.in * conv_.out;
    const std::int64_t with_weight = input().constant ? 2 : 4;
    return gram_ ? (with_weight + 2) * one + plan_.trials * gram_->macs() : (with_weight + 3) * one;
  }

  void combine() override {
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      const float alpha = plan_.alpha[t], beta = plan_.beta[t];
      if (conv_.bias)
        kernels::combine(bias_v_ + t * conv_.out, of_bias_ * alpha, observed_bias_, of_bias_ * beta,
                         bias_gradient_ + t * conv_.out, conv_.out);
      if (gram_) continue;
      kernels::combine(formed_[t], of_weight_ * alpha, observed_, of_weight_ * beta, formed_[t], formed_count_);
      for (const auto& reorder : reorders_[t]) dnn_.run(reorder);
    }
  }

  void tangent() override {
    if (!input().constant) {
      if (rounds_tangent_) kernels::round(input().low_tangent, input().tangent, in_count());
      dnn_.run(tangent_);
    }
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      float* y = out_of(t, out_.tangent);
      if (gram_) {
        kernels::add_scaled(y, of_weight_ * plan_.alpha[t], out_of(t, observed_forward_), plan_.batch * out_.size());
        gram_->apply(t, of_weight_ * plan_.beta[t], out_of(t, out_.adjoint), y);
      } else {
        dnn_.run(v_forward_[t]);
      }
      if (conv_.bias) add_bias(y, bias_v_ + t * conv_.out, plan_.batch);
    }
  }

  void tangent_backward() override {
    if (few_channels()) return tangent_backward_few();
    if (low_) kernels::round(low_tangent_adjoint_, out_.tangent_adjoint, out_count());
    float* x = input().tangent_adjoint;
    dnn_.run(tangent_backward_);
    if (in_[0].add) kernels::add(x, plan_.scratch, in_count());
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      if (gram_) {
        kernels::add_scaled(in_of(t, x), of_weight_ * plan_.alpha[t], in_of(t, observed_back_),
                            plan_.batch * input().size());
        gram_->apply_back(t, of_weight_ * plan_.beta[t], in_of(t, input().primal), in_of(t, x));
      } else {
        dnn_.run(v_back_[t]);
        kernels::add(in_of(t, x), plan_.scratch, plan_.batch * input().size());
      }
    }
  }

 private:
  // ---- shapes

  [[nodiscard]] std::int64_t in_count() { return plan_.images() * input().size(); }
  [[nodiscard]] std::int64_t out_count() const { return plan_.images() * out_.size(); }
  template <typename T>
  [[nodiscard]] T* in_of(std::int64_t trial, T* array) {
    return array + trial * plan_.batch * input().size();
  }
  template <typename T>
  [[nodiscard]] T* out_of(std::int64_t trial, T* array) const {
    return array + trial * plan_.batch * out_.size();
  }
  [[nodiscard]] bool few_channels() { return input().constant && conv_.in < kFewChannels; }

  // Descriptions of `images` images before and after the layer, and of the weight in whatever layout oneDNN likes.
  [[nodiscard]] memory::desc in_desc(std::int64_t images, DataType type) {
    return {{images, conv_.in, geometry_.height, geometry_.width}, type, Tag::nhwc};
  }
  [[nodiscard]] memory::desc out_desc(std::int64_t images, DataType type) const {
    return {{images, conv_.out, geometry_.out_height, geometry_.out_width}, type, Tag::nhwc};
  }
  [[nodiscard]] memory::desc weight_desc(DataType type, Tag tag = Tag::any) const {
    return {{conv_.out, conv_.in, conv_.kernel, conv_.kernel}, type, tag};
  }
  [[nodiscard]] DataType low_type() const { return low_ ? DataType::bf16 : DataType::f32; }

  // ---- oneDNN's three convolutions; a result that is an activation is float32

  dnnl::convolution_forward::primitive_desc forward_desc(std::int64_t images, DataType type, bool sum = false) {
    return described<dnnl::convolution_forward>(dnn_.engine(), Onednn::attributes(sum), prop_kind::forward_training,
                                                algorithm::convolution_direct, in_desc(images, type), weight_desc(type),
                                                out_desc(images, DataType::f32), strides(), padding(), padding());
  }
  // What a backward convolution is the backward of.
  dnnl::convolution_forward::primitive_desc hint(std::int64_t images, DataType type) {
    return described<dnnl::convolution_forward>(dnn_.engine(), dnnl::primitive_attr(), prop_kind::forward_training,
                                                algorithm::convolution_direct, in_desc(images, type), weight_desc(type),
                                                out_desc(images, type), strides(), padding(), padding());
  }
  dnnl::convolution_backward_data::primitive_desc back_desc(std::int64_t images, DataType type) {
    return described_after<dnnl::convolution_backward_data>(
        hint(images, type), dnn_.engine(), Onednn::attributes(), algorithm::convolution_direct,
        in_desc(images, DataType::f32), weight_desc(type), out_desc(images, type), strides(), padding(), padding());
  }
  dnnl::convolution_backward_weights::primitive_desc gradient_desc(std::int64_t images, DataType type) {
    return described_after<dnnl::convolution_backward_weights>(
        hint(images, type), dnn_.engine(), Onednn::attributes(), algorithm::convolution_direct, in_desc(images, type),
        weight_desc(DataType::f32), out_desc(images, type), strides(), padding(), padding());
  }
  [[nodiscard]] memory::dims strides() const { return {conv_.stride, conv_.stride}; }
  [[nodiscard]] memory::dims padding() const { return {conv_.padding, conv_.padding}; }

  Call forward_call(const dnnl::convolution_forward::primitive_desc& desc, void* x, const memory& weight, float* y) {
    return dnn_.call<dnnl::convolution_forward>(desc, {{DNNL_ARG_SRC, dnn_.view(desc.src_desc(), x)},
                                                       {DNNL_ARG_WEIGHTS, weight},
                                                       {DNNL_ARG_DST, dnn_.view(desc.dst_desc(), y)}});
  }
  Call back_call(const dnnl::convolution_backward_data::primitive_desc& desc, void* adjoint, const memory& weight,
                 float* x) {
    return dnn_.call<dnnl::convolution_backward_data>(desc,
                                                      {{DNNL_ARG_DIFF_DST, dnn_.view(desc.diff_dst_desc(), adjoint)},
                                                       {DNNL_ARG_WEIGHTS, weight},
                                                       {DNNL_ARG_DIFF_SRC, dnn_.view(desc.diff_src_desc(), x)}});
  }
  Call reorder_call(const memory& from, const memory& to) {
    const dnnl::reorder::primitive_desc desc(from, to, Onednn::attributes());
    return dnn_.call<dnnl::reorder>(desc, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  }

  // ---- memory

  memory take(const memory::desc& desc) { return dnn_.view(desc, plan_.arena.take_bytes(desc.get_size())); }
  // A weight in oneDNN's layout.
  memory laid_out(const Tensor& weight, const memory::desc& desc) {
    const Tensor values = weight.detach().to(torch::kFloat32).contiguous();
    memory from = dnn_.view(weight_desc(DataType::f32, Tag::oihw), values.data_ptr<float>()), to = take(desc);
    dnnl::stream stream(dnn_.engine());
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
    return to;
  }
  static void copy_plain(const Tensor& tensor, float* to) {
    const Tensor values = tensor.detach().to(torch::kFloat32).contiguous();
    std::copy_n(values.data_ptr<float>(), values.numel(), to);
  }
  [[nodiscard]] void* in_data(std::int64_t trial, float* exact, kernels::BFloat* low) {
    return low_ ? static_cast<void*>(in_of(trial, low)) : in_of(trial, exact);
  }
  [[nodiscard]] void* out_data(std::int64_t trial, float* exact, kernels::BFloat* low) const {
    return low_ ? static_cast<void*>(out_of(trial, low)) : out_of(trial, exact);
  }

  // ---- making the calls

  void prepare_low() {
    if (!low_) return;
    rounds_primal_ = input().low_primal == nullptr;
    if (rounds_primal_) input().low_primal = plan_.arena.take<kernels::BFloat>(in_count());
    rounds_tangent_ = input().low_tangent == nullptr;
    if (rounds_tangent_) input().low_tangent = plan_.arena.take<kernels::BFloat>(in_count());
    low_adjoint_ = plan_.arena.take<kernels::BFloat>(out_count());
    low_tangent_adjoint_ = plan_.arena.take<kernels::BFloat>(out_count());
  }

  // The four sweeps with the layer's own weight, over all images at once.
  void make_sweeps(const Tensor& weight) {
    const auto n = plan_.images();
    const auto forward = forward_desc(n, DataType::f32);
    const memory forward_weight = laid_out(weight, forward.weights_desc());
    forward_ = forward_call(forward, input().primal, forward_weight, out_.primal);
    if (few_channels()) {
      weight_rows_ = plan_.arena.take<float>(weight.numel());
      copy_plain(weight.permute({0, 2, 3, 1}), weight_rows_);
      windows_ = plan_.arena.take<float>(geometry_.out_pixels() * conv_.kernel * conv_.kernel * conv_.in);
      return;
    }
    const auto back = back_desc(n, low_type());
    const memory back_weight = laid_out(weight, back.weights_desc());
    tangent_backward_ = back_call(back, out_data(0, out_.tangent_adjoint, low_tangent_adjoint_), back_weight,
                                  in_[0].add ? plan_.scratch : input().tangent_adjoint);
    if (input().constant) return;
    backward_ = back_call(back, out_data(0, out_.adjoint, low_adjoint_), back_weight,
                          in_[0].add ? plan_.scratch : input().adjoint);
    const auto tangent = forward_desc(n, low_type());
    tangent_ = forward_call(tangent, in_data(0, input().tangent, input().low_tangent),
                            low_ ? laid_out(weight, tangent.weights_desc()) : forward_weight, out_.tangent);
  }

  void make_gram(const Tensor& observed) {
    gram_.emplace(plan_, geometry_, conv_.in, conv_.out);
    observed_forward_ = plan_.arena.take<float>(out_count());
    observed_back_ = plan_.arena.take<float>(in_count());
    const auto forward = forward_desc(plan_.images(), low_type());
    observed_forward_call_ = forward_call(forward, in_data(0, input().primal, input().low_primal),
                                          laid_out(observed, forward.weights_desc()), observed_forward_);
    const auto back = back_desc(plan_.images(), low_type());
    observed_back_call_ = back_call(back, out_data(0, out_.adjoint, low_adjoint_),
                                    laid_out(observed, back.weights_desc()), observed_back_);
    observed_square_ = observed.to(torch::kFloat64).square().sum().item<double>();
  }

  void make_formed(const Tensor& observed) {
    const auto gradient = gradient_desc(plan_.batch, low_type());
    const auto forward = forward_desc(plan_.batch, low_type(), /*sum=*/!input().constant);
    const auto layout = gradient.diff_weights_desc();
    observed_ = static_cast<float*>(laid_out(observed, layout).get_data_handle());
    formed_count_ = static_cast<std::int64_t>(layout.get_size() / sizeof(float));
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      const memory formed = take(layout);
      formed_.push_back(static_cast<float*>(formed.get_data_handle()));
      gradients_.push_back(dnn_.call<dnnl::convolution_backward_weights>(
          gradient, {{DNNL_ARG_SRC, dnn_.view(gradient.src_desc(), in_data(t, input().primal, input().low_primal))},
                     {DNNL_ARG_DIFF_DST, dnn_.view(gradient.diff_dst_desc(), out_data(t, out_.adjoint, low_adjoint_))},
                     {DNNL_ARG_DIFF_WEIGHTS, formed}}));
      auto& reorders = reorders_.emplace_back();
      auto in_layout = [&](const memory::desc& wanted) {
        if (wanted == layout) return formed;
        const memory reordered = take(wanted);
        reorders.push_back(reorder_call(formed, reordered));
        return reordered;
      };
      const memory v = in_layout(forward.weights_desc());
      v_forward_.push_back(
          forward_call(forward, in_data(t, input().primal, input().low_primal), v, out_of(t, out_.tangent)));
      if (few_channels()) {
        v_rows_.push_back(static_cast<float*>(in_layout(weight_desc(DataType::f32, Tag::ohwi)).get_data_handle()));
      } else {
        const auto back = back_desc(plan_.batch, low_type());
        const memory v_back = back.weights_desc() == forward.weights_desc() ? v : in_layout(back.weights_desc());
        v_back_.push_back(back_call(back, out_data(t, out_.adjoint, low_adjoint_), v_back, plan_.scratch));
      }
    }
  }

  // ---- the parts of the sweeps

  void sum_gram(std::int64_t t) {
    const double square = gram_->take(t, in_of(t, input().primal), out_of(t, out_.adjoint));
    const double inner =
        kernels::inner(out_of(t, out_.adjoint), out_of(t, observed_forward_), plan_.batch * out_.size());
    plan_.add_sums(t, of_weight_, {inner, square, std::max(0.0, square - 2 * inner + observed_square_)});
  }
  void sum_formed(std::int64_t t) {
    dnn_.run(gradients_[t]);
    plan_.add_sums(t, of_weight_, kernels::compare(formed_[t], observed_, formed_count_));
  }
  void sum_bias(std::int64_t t) {
    std::fill_n(bias_sums_, conv_.out, 0.0);
    kernels::sum_rows(bias_sums_, out_of(t, out_.adjoint), plan_.batch * out_.pixels(), conv_.out);
    float* gradient = bias_gradient_ + t * conv_.out;
    std::copy_n(bias_sums_, conv_.out, gradient);
    plan_.add_sums(t, of_bias_, kernels::compare(gradient, observed_bias_, conv_.out));
  }
  void add_bias(float* y, const float* bias, std::int64_t images) const {
    kernels::add_row(y, bias, images * out_.pixels(), conv_.out);
  }

  // Backward to an input of few channels: a matrix product gives each window's values, which are then added up.
  void tangent_backward_few() {
    const std::int64_t pixels = geometry_.out_pixels(), window = conv_.kernel * conv_.kernel * conv_.in;
    for (std::int64_t n = 0; n < plan_.images(); ++n) {
      multiply(false, false, pixels, window, conv_.out, 1, out_.tangent_adjoint + n * out_.size(), weight_rows_, 0,
               windows_);
      multiply(false, false, pixels, window, conv_.out, 1, out_.adjoint + n * out_.size(), v_rows_[n / plan_.batch], 1,
               windows_);
      float* image = input().tangent_adjoint + n * input().size();
      if (!in_[0].add) std::fill_n(image, input().size(), 0.f);
      const float* values = windows_;
      for (std::int64_t p = 0; p < pixels; ++p) {
        for (std::int64_t offset = 0; offset < conv_.kernel * conv_.kernel; ++offset, values += conv_.in) {
          const auto row = p / geometry_.out_width * conv_.stride + offset / conv_.kernel - conv_.padding;
          const auto column = p % geometry_.out_width * conv_.stride + offset % conv_.kernel - conv_.padding;
          if (row < 0 || row >= geometry_.height || column < 0 || column >= geometry_.width) continue;
          float* pixel = image + (row * geometry_.width + column) * conv_.in;
          for (std::int64_t c = 0; c < conv_.in; ++c) pixel[c] += values[c];
        }
      }
    }
  }

  nets::Conv conv_;
  Geometry geometry_;
  Onednn& dnn_;
  bool low_;  // brain floats in all sweeps but the forward one
  float of_weight_, of_bias_;
  bool rounds_primal_ = false, rounds_tangent_ = false;
  kernels::BFloat *low_adjoint_ = nullptr, *low_tangent_adjoint_ = nullptr;

  Call forward_, backward_, tangent_, tangent_backward_;
  float *weight_rows_ = nullptr, *windows_ = nullptr;  // few channels: (out, window), and one image's windows

  std::optional<Gram> gram_;
  Call observed_forward_call_, observed_back_call_;
  float *observed_forward_ = nullptr, *observed_back_ = nullptr;
  double observed_square_ = 0;

  // For each trial, where the gradient is formed: g and then v in its place.
  float* observed_ = nullptr;
  std::int64_t formed_count_ = 0;
  std::vector<float*> formed_, v_rows_;
  std::vector<Call> gradients_, v_forward_, v_back_;
  std::vector<std::vector<Call>> reorders_;

  float *bias_ = nullptr, *observed_bias_ = nullptr, *bias_gradient_ = nullptr, *bias_v_ = nullptr;
  double* bias_sums_ = nullptr;
};

}  // namespace

std::unique_ptr<Step> convolution(Plan& plan, Input in, Value& out, const nets::Conv& conv, const Parameter& weight,
                                  const Parameter& bias) {
  return std::make_unique<Convolution>(plan, in, out, conv, weight, bias);
}

}  // namespace pellucid::inversion::steps
