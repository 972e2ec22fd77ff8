#include "pellucid/training/per_example.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace pellucid::training {
namespace {

constexpr double kRounding = 1e-5;           // of a norm in float32, relative
constexpr std::int64_t kUnfolded = 1 << 21;  // values of unfolded inputs at a time: 8 MB stay in the cache

// A layer in one pass: what it took, and the loss's derivative by what it gave. (B, ...) float32.
struct Pass {
  Tensor input, derivative;
};
using Passes = std::vector<Pass>;

// The gradients of one layer's weight and bias.
struct LayerGradient {
  Tensor squares;                                                 // (B): the squared norm of each example's
  std::function<std::vector<Tensor>(const Tensor& factors)> sum;  // over the examples times their factors (B)
};

Tensor times(const Tensor& tensor, const Tensor& factors) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(tensor.dim()), 1);
  shape[0] = -1;
  return tensor * factors.view(shape);
}

// The sum over the passes of what `part` makes of each.
template <typename Part>
Tensor over(const Passes& passes, Part part) {
  Tensor sum = part(passes.front());
  for (std::size_t p = 1; p < passes.size(); ++p) sum = sum + part(passes[p]);
  return sum;
}

LayerGradient of_linear(const Passes& passes, bool ghost) {
  const Tensor biases = over(passes, [](const Pass& p) { return p.derivative; });
  Tensor squares = biases.square().sum(1);
  if (ghost) {
    for (const auto& p : passes) {
      for (const auto& q : passes) squares += (p.input * q.input).sum(1) * (p.derivative * q.derivative).sum(1);
    }
  } else {
    squares += over(passes, [](const Pass& p) { return p.derivative.unsqueeze(2) * p.input.unsqueeze(1); })
                   .square()
                   .sum({1, 2});
  }
  return {.squares = squares, .sum = [passes, biases](const Tensor& factors) -> std::vector<Tensor> {
            return {over(passes, [&](const Pass& p) { return times(p.derivative, factors).t().mm(p.input); }),
                    factors.matmul(biases)};
          }};
}

LayerGradient of_conv(const nets::Conv& conv, const Passes& passes, bool ghost) {
  const std::int64_t examples = passes.front().input.size(0), values = conv.in * conv.kernel * conv.kernel;
  const std::int64_t positions = passes.front().derivative.size(2) * passes.front().derivative.size(3);
  const std::int64_t chunk = std::max<std::int64_t>(1, kUnfolded / (values * positions));
  const auto kind = passes.front().input.options();
  Tensor squares = torch::empty({examples}, kind);
  const Tensor each = ghost ? Tensor() : torch::empty({examples, conv.out * values}, kind);  // weight gradients
  for (std::int64_t i = 0; i < examples; i += chunk) {
    const std::int64_t n = std::min(chunk, examples - i);
    const auto in = [&](const Pass& p) {  // (n, values, positions)
      return at::im2col(p.input.narrow(0, i, n), {conv.kernel, conv.kernel}, {1, 1}, {conv.padding, conv.padding},
                        {conv.stride, conv.stride});
    };
    const auto out = [&](const Pass& p) { return p.derivative.narrow(0, i, n).flatten(2); };  // (n, out, positions)
    if (ghost) {
      std::vector<Tensor> all_in, all_out;
      for (const auto& p : passes) {
        all_in.push_back(in(p));
        all_out.push_back(out(p));
      }
      const Tensor a = torch::cat(all_in, 2), b = torch::cat(all_out, 2);
      squares.narrow(0, i, n).copy_((a.transpose(1, 2).bmm(a) * b.transpose(1, 2).bmm(b)).sum({1, 2}));
    } else {
      const Tensor weights = over(passes, [&](const Pass& p) { return out(p).bmm(in(p).transpose(1, 2)); }).flatten(1);
      each.narrow(0, i, n).copy_(weights);
      squares.narrow(0, i, n).copy_(weights.square().sum(1));
    }
  }
  Tensor biases;
  if (conv.bias) {
    biases = over(passes, [](const Pass& p) { return p.derivative.sum({2, 3}); });
    squares += biases.square().sum(1);
  }
  return {.squares = squares, .sum = [conv, passes, each, biases](const Tensor& factors) {
            const std::vector<std::int64_t> shape = {conv.out, conv.in, conv.kernel, conv.kernel};
            const Tensor weight = torch::empty(shape, factors.options());  // its shape alone counts
            std::vector<Tensor> sums = {
                each.defined() ? factors.matmul(each).view_as(weight) : over(passes, [&](const Pass& p) {
                  return std::get<1>(at::convolution_backward(times(p.derivative, factors), p.input, weight,
                                                              at::OptionalIntArrayRef(), {conv.stride, conv.stride},
                                                              {conv.padding, conv.padding}, {1, 1}, false, {0, 0}, 1,
                                                              {false, true, false}));
                })};
            if (biases.defined()) sums.push_back(factors.matmul(biases));
            return sums;
          }};
}

LayerGradient of_group_norm(const nets::GroupNorm& norm, const Passes& passes) {
  const Tensor weights = over(passes, [&](const Pass& p) {
    return (p.derivative * torch::group_norm(p.input, norm.groups, {}, {}, norm.epsilon)).sum({2, 3});
  });
  const Tensor biases = over(passes, [](const Pass& p) { return p.derivative.sum({2, 3}); });
  return {.squares = weights.square().sum(1) + biases.square().sum(1),
          .sum = [weights, biases](const Tensor& factors) -> std::vector<Tensor> {
            return {factors.matmul(weights), factors.matmul(biases)};
          }};
}

// Whether the norm is found from Gram matrices of so many positions instead of so many weights.
bool is_ghost(NormBy by, std::int64_t positions, std::int64_t weights) {
  return by == NormBy::kCheaper ? 2 * positions * positions < weights : by == NormBy::kGhost;
}

LayerGradient gradient_of(const nets::Op& op, const Passes& passes, NormBy by) {
  const auto count = static_cast<std::int64_t>(passes.size());
  if (const auto* conv = std::get_if<nets::Conv>(&op)) {
    const std::int64_t positions = count * passes.front().derivative.size(2) * passes.front().derivative.size(3);
    return of_conv(*conv, passes, is_ghost(by, positions, conv->out * conv->in * conv->kernel * conv->kernel));
  }
  if (const auto* linear = std::get_if<nets::Linear>(&op))
    return of_linear(passes, is_ghost(by, count, linear->in * linear->out));
  return of_group_norm(std::get<nets::GroupNorm>(op), passes);
}

}  // namespace

ClippedSum clipped_sum(const nets::Architecture& architecture, const std::vector<std::vector<nets::Passed>>& passes,
                       const Tensor& loss, double clip, NormBy by) {
  std::vector<Tensor> outputs;
  for (const auto& pass : passes) {
    for (const auto& layer : pass) outputs.push_back(layer.output);
  }
  const auto derivatives = torch::autograd::grad({loss}, outputs);
  const torch::NoGradGuard no_graph;
  const std::size_t count = passes.front().size();
  std::vector<LayerGradient> layers;
  Tensor squares;
  for (std::size_t l = 0; l < count; ++l) {
    Passes of_layer;
    for (std::size_t p = 0; p < passes.size(); ++p) {
      of_layer.push_back({.input = passes[p][l].input.detach().to(torch::kFloat32),
                          .derivative = derivatives[p * count + l].to(torch::kFloat32)});
    }
    layers.push_back(gradient_of(architecture.layers[passes.front()[l].layer].op, of_layer, by));
    squares = squares.defined() ? squares + layers.back().squares : layers.back().squares;
  }
  const Tensor norms = squares.clamp_min(0).sqrt();
  const Tensor factors =
      std::isinf(clip) ? torch::ones_like(norms) : (clip / (norms * (1 + kRounding)).clamp_min(1e-30)).clamp_max(1);
  ClippedSum result{.parameters = {}, .norms = norms};
  for (const auto& layer : layers) {
    for (auto& tensor : layer.sum(factors)) result.parameters.push_back(std::move(tensor));
  }
  return result;
}

}  // namespace pellucid::training
