#include "pellucid/inversion/engine/gram.h"
#include "pellucid/inversion/engine/tensor/steps.h"

namespace pellucid::inversion::tensor_steps {
namespace {

using torch::indexing::None;
using torch::indexing::Slice;

// The same bytes, sixteen of them an element where the last dimension allows it: copies of windows are then several
// times faster.
Tensor in_sixteen_bytes(const Tensor& value) {
  const bool divides = value.size(-1) * value.element_size() % 16 == 0;
  return divides ? value.view(torch::kComplexDouble) : value;
}

// A convolution, or a linear layer as one with a single position. Values under its windows are laid out as the rows of
// a matrix.
class Convolution : public Step {
 public:
  Convolution(Plan& plan, Value& in, Value& out, const steps::Geometry& geometry, const Parameter& weight,
              const Parameter& bias)
      : Step(plan, {&in}, out),
        geometry_(geometry),
        weight_of_(weight.weight),
        gram_(steps::gram_pays(geometry, plan.batch, in.channels, out.channels)),
        forward_(ahead(weight.value)),
        tangent_(plan.lowered(forward_)),
        back_(plan.lowered(behind(weight.value))),
        observed_square_(weight.observed.to(torch::kFloat64).square().sum().item<double>()) {
    const Tensor observed = ahead(weight.observed);
    if (gram_) {
      observed_ahead_ = plan.lowered(observed);
      observed_behind_ = plan.lowered(behind(weight.observed));
      index_windows();
    } else {
      observed_ = observed.t().contiguous();
    }
    if (bias.value.defined()) {
      bias_ = plan.constant(bias.value);
      bias_number_ = plan.small_parameter(bias.observed, bias.weight);
    }
  }

  void forward() override {
    const Tensor windows = columns(input().primal, plan_.type(), framed_exact_);
    const Tensor y = bias_.defined() ? torch::addmm(bias_, windows, forward_) : torch::mm(windows, forward_);
    out_.primal = y.view(out_.shape(plan_.images()));
    windows_ = plan_.lowered(windows);
  }

  void backward() override {
    const Tensor d = plan_.rows(out_.adjoint);
    back_windows_ = back_columns(out_.adjoint);
    if (bias_.defined()) plan_.set_small(bias_number_, d.sum(1));
    plan_.add(weight_of_, gram_ ? compare_by_gram(d) : compare(plan_.lowered(d)));
    if (!input().constant) collect(input().adjoint, plan_.product(back_windows_, back_).view(input().primal.sizes()));
    if (gram_) forget({&windows_, &back_windows_});
  }

  void tangent() override {
    Tensor y;
    if (gram_) {
      y = plan_.product(scaled(window_products_), plan_.lowered(plan_.rows(out_.adjoint)))
              .addcmul_(by_observed_, weighted(plan_.alpha));
    } else {
      v_ = plan_.l2 ? gradient_ * (2 * weight_of_)
                    : torch::addcmul(gradient_ * weighted(plan_.beta), observed_, weighted(plan_.alpha));
      v_ = plan_.lowered(v_);
      y = plan_.product(plan_.rows(windows_), v_.transpose(1, 2));
      forget({&gradient_, &windows_});
    }
    if (bias_.defined()) y.add_(plan_.small_v(bias_number_));
    if (input().tangent.defined())
      y.view({-1, out_.channels}).add_(plan_.product(columns(input().tangent, plan_.low, framed_), tangent_));
    out_.tangent = y.view(out_.shape(plan_.images()));
  }

  void tangent_backward() override {
    Tensor x;
    if (gram_) {
      x = plan_.product(scaled(spread_), plan_.lowered(plan_.rows(input().primal)))
              .addcmul_(back_by_observed_, weighted(plan_.alpha));
    } else {
      const std::int64_t offsets = geometry_.kernel * geometry_.kernel;
      const Tensor turned = v_.view({plan_.trials, out_.channels, offsets, input().channels}).flip(2).transpose(1, 2);
      x = plan_.product(plan_.rows(back_windows_), turned.reshape({plan_.trials, -1, input().channels}));
      forget({&v_, &back_windows_});
    }
    if (out_.tangent_adjoint.defined())
      x.view({-1, input().channels}).add_(plan_.product(back_columns(out_.tangent_adjoint), back_));
    collect(input().tangent_adjoint, x.view(input().primal.sizes()));
  }

 private:
  // The gradient of the weight, formed: (trials, out, k k in).
  Plan::Sums compare(const Tensor& d) {
    gradient_ = plan_.product(d.transpose(1, 2), plan_.rows(windows_));
    if (!plan_.l2)
      return {.inner = product_sum(gradient_, observed_), .square = square_sum(gradient_), .difference = {}};
    gradient_ = gradient_ - observed_;
    return {.inner = {}, .square = {}, .difference = square_sum(gradient_)};
  }
  // The same without it: see gram.h.
  Plan::Sums compare_by_gram(const Tensor& d) {
    const Tensor low = plan_.lowered(d), x = plan_.lowered(plan_.rows(input().primal));
    by_observed_ = plan_.product(windows_, observed_ahead_).view(d.sizes());
    back_by_observed_ = plan_.product(back_windows_, observed_behind_).view(x.sizes());
    const Tensor products = plan_.product(low, low.transpose(1, 2));
    window_products_ = over_windows(plan_.product(x, x.transpose(1, 2)), inputs_, geometry_.out_pixels());
    spread_ = over_windows(products, outputs_, geometry_.pixels());
    const Tensor inner = product_sum(d, by_observed_), square = product_sum(window_products_, products);
    if (!plan_.l2) return {.inner = inner, .square = square, .difference = {}};
    return {.inner = {}, .square = {}, .difference = (square - 2 * inner + observed_square_).clamp_min(0)};
  }

  [[nodiscard]] Tensor weighted(const Tensor& factor) const { return weight_of_ == 1 ? factor : factor * weight_of_; }
  [[nodiscard]] Tensor scaled(const Tensor& gram) const { return plan_.lowered(gram * weighted(plan_.beta)); }

  // A weight as what rows of windows are multiplied with, (k k in, out).
  [[nodiscard]] Tensor ahead(const Tensor& weight) const {
    return plan_.constant(as_convolution(weight).permute({2, 3, 1, 0})).flatten(0, 2);
  }
  // As what rows of windows of adjoints are, (k k out, in): turned by half a circle.
  [[nodiscard]] Tensor behind(const Tensor& weight) const {
    return plan_.constant(as_convolution(weight).flip({2, 3}).permute({2, 3, 0, 1})).flatten(0, 2);
  }
  [[nodiscard]] Tensor as_convolution(const Tensor& weight) const {
    return weight.dim() == 4 ? weight
                             : as_flattened(weight, in_[0]->pixels).view({weight.size(0), weight.size(1), 1, 1});
  }

  // The windows of a value as rows, (images * positions, k k C). @param framed keeps it with its border of zeros.
  [[nodiscard]] Tensor columns(const Tensor& value, torch::ScalarType type, Tensor& framed) const {
    const auto& g = geometry_;
    if (g.kernel == 1 && g.padding == 0) {
      const Slice every(0, None, g.stride);
      return value.index({Slice(), every, every}).to(type).reshape({-1, value.size(3)});
    }
    if (!framed.defined())
      framed = torch::zeros({plan_.images(), g.height + 2 * g.padding, g.width + 2 * g.padding, value.size(3)},
                            plan_.like.dtype(type));
    framed.narrow(1, g.padding, g.height).narrow(2, g.padding, g.width).copy_(value);
    return windows_of(framed, g.out_height, g.out_width, g.stride);
  }
  // For each position of the input, the adjoints of the windows it stands in, (images * positions, k k out).
  [[nodiscard]] Tensor back_columns(const Tensor& adjoint) {
    const auto& g = geometry_;
    if (g.kernel == 1 && g.padding == 0 && g.stride == 1) return plan_.lowered(adjoint).reshape({-1, out_.channels});
    if (!back_framed_.defined()) {
      back_framed_ = torch::zeros({plan_.images(), g.height + g.kernel - 1, g.width + g.kernel - 1, out_.channels},
                                  plan_.like.dtype(plan_.low));
    }
    const std::int64_t begin = g.kernel - 1 - g.padding;
    const auto along = [&](std::int64_t count) { return Slice(begin, begin + (count - 1) * g.stride + 1, g.stride); };
    back_framed_.index({Slice(), along(g.out_height), along(g.out_width)}).copy_(adjoint);
    return windows_of(back_framed_, g.height, g.width, 1);
  }
  [[nodiscard]] Tensor windows_of(const Tensor& framed, std::int64_t height, std::int64_t width,
                                  std::int64_t stride) const {
    const Tensor wide = in_sixteen_bytes(framed);
    const std::int64_t n = wide.size(0), k = geometry_.kernel, c = wide.size(3), row = wide.stride(1),
                       column = wide.stride(2);
    const Tensor windows =
        wide.as_strided({n, height, width, k, k, c}, {wide.stride(0), stride * row, stride * column, row, column, 1})
            .contiguous();
    return windows.view({n * height * width, k * k * c}).view(framed.scalar_type());
  }

  // Which pair of the input's positions stands under each offset of a pair of windows, and the other way round.
  void index_windows() {
    const auto& g = geometry_;
    if (g.kernel == 1 && g.stride == 1 && g.padding == 0) return;
    const std::int64_t offsets = g.kernel * g.kernel;
    std::vector<std::int64_t> input_of(offsets * g.out_pixels(), -1), output_of(offsets * g.pixels(), -1);
    for (std::int64_t o = 0; o < offsets; ++o) {
      for (std::int64_t p = 0; p < g.out_pixels(); ++p) {
        const auto row = p / g.out_width * g.stride + o / g.kernel - g.padding,
                   column = p % g.out_width * g.stride + o % g.kernel - g.padding;
        if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
        input_of[o * g.out_pixels() + p] = row * g.width + column;
        output_of[o * g.pixels() + row * g.width + column] = p;
      }
    }
    inputs_ = pairs(input_of, g.out_pixels(), g.pixels());
    outputs_ = pairs(output_of, g.pixels(), g.out_pixels());
  }
  // (offsets * size * size) indices into the other side's pairs, past the last of them where there is none.
  [[nodiscard]] Tensor pairs(const std::vector<std::int64_t>& other, std::int64_t count,
                             std::int64_t other_count) const {
    const std::int64_t offsets = geometry_.kernel * geometry_.kernel, size = plan_.batch * count,
                       other_size = plan_.batch * other_count;
    std::vector<std::int64_t> index(offsets * size * size, other_size * other_size);
    for (std::int64_t o = 0; o < offsets; ++o) {
      for (std::int64_t p = 0; p < size; ++p) {
        for (std::int64_t q = 0; q < size; ++q) {
          const std::int64_t i = other[o * count + p % count], j = other[o * count + q % count];
          if (i >= 0 && j >= 0)
            index[(o * size + p) * size + q] = (p / count * other_count + i) * other_size + q / count * other_count + j;
        }
      }
    }
    return torch::tensor(index, torch::kInt64).to(plan_.like.device());
  }
  // One side's Gram matrices summed over the windows: (trials, size, size) of the other.
  [[nodiscard]] Tensor over_windows(const Tensor& gram, const Tensor& index, std::int64_t positions) const {
    if (!index.defined()) return gram;
    const std::int64_t size = plan_.batch * positions, offsets = geometry_.kernel * geometry_.kernel;
    return at::constant_pad_nd(gram.flatten(1), {0, 1})
        .index_select(1, index)
        .view({plan_.trials, offsets, size * size})
        .sum(1)
        .view({plan_.trials, size, size});
  }

  steps::Geometry geometry_;
  double weight_of_;
  bool gram_;
  Tensor forward_, tangent_, back_;
  double observed_square_;
  Tensor observed_, observed_ahead_, observed_behind_, inputs_, outputs_;
  Tensor bias_;
  std::size_t bias_number_ = 0;
  Tensor framed_, framed_exact_, back_framed_;
  // Of the evaluation at hand.
  Tensor windows_, back_windows_, gradient_, v_;
  Tensor by_observed_, back_by_observed_, window_products_, spread_;
};

}  // namespace

std::unique_ptr<Step> convolution(Plan& plan, Value& in, Value& out, const steps::Geometry& geometry,
                                  const Parameter& weight, const Parameter& bias) {
  return std::make_unique<Convolution>(plan, in, out, geometry, weight, bias);
}

}  // namespace pellucid::inversion::tensor_steps
