#include "pellucid/inversion/r_gap.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"
#include "pellucid/core/stop.h"
#include "pellucid/inversion/analytic.h"
#include "pellucid/inversion/labels.h"

#include <algorithm>
#include <cmath>

namespace pellucid::inversion {
namespace {

using core::Error;
using core::ErrorKind;
using Shape = std::vector<std::int64_t>;

constexpr double kLost = 1e-12;       // of the largest eigenvalue: one below is lost in float32's rounding
constexpr double kSaturated = 1e-12;  // a sigmoid or tanh is taken to be at least so far from its limits
constexpr std::int64_t kUnits = 256;  // of the normal equations, made at a time

// What a layer is, where its output does not determine its input; else empty.
struct Lossy {
  nets::Mode mode;

  std::string operator()(const nets::Relu&) const { return "a ReLU"; }
  std::string operator()(const nets::LeakyRelu& relu) const { return relu.slope > 0 ? "" : "a ReLU"; }
  std::string operator()(const nets::Gelu&) const { return "a GELU"; }
  std::string operator()(const nets::MaxPool&) const { return "a max pooling"; }
  std::string operator()(const nets::AveragePool&) const { return "an average pooling"; }
  std::string operator()(const nets::GlobalAveragePool&) const { return "an average pooling"; }
  std::string operator()(const nets::BatchNorm&) const { return "a batch norm"; }
  std::string operator()(const nets::GroupNorm&) const { return "a group norm"; }
  std::string operator()(const nets::Dropout&) const {
    return mode == nets::Mode::kTraining ? "a dropout in training mode" : "";
  }
  std::string operator()(const auto&) const { return ""; }
};

struct Solution {
  Tensor x;           // (n)
  std::int64_t rank;  // n, where the equations determine it
};

// The shortest solution of the normal equations. @param normal (n, n), right (n) float64.
Solution solved(const Tensor& normal, const Tensor& right) {
  const auto [factor, failed] = torch::linalg_cholesky_ex(normal);
  const Tensor pivots = factor.diagonal().square();
  if (failed.item<int>() == 0 && pivots.min().item<double>() > kLost * pivots.max().item<double>())
    return {.x = torch::cholesky_solve(right.unsqueeze(1), factor).squeeze(1), .rank = right.size(0)};
  const auto [values, vectors] = torch::linalg_eigh(normal);
  const Tensor seen = values > kLost * values[-1];
  const Tensor inverse = torch::where(seen, 1 / values, torch::zeros_like(values));
  return {.x = vectors.mv(inverse * vectors.t().mv(right)), .rank = seen.sum().item<std::int64_t>()};
}

// What makes the mean square of so many rows 1, whose squares have that trace.
double scale(std::int64_t rows, const Tensor& squares) {
  return static_cast<double>(rows) / std::max(squares.trace().item<double>(), 1e-300);
}

// Goes back through a layer, from what is known of its output to the same of its input, both (1, C, H, W) float64.
struct Back {
  const sharing::Observation& observation;
  Tensor values, derivatives;  // of the loss by the values
  std::vector<std::string> undetermined = {};

  // The layer at hand.
  const nets::Layer* layer = nullptr;
  Shape in = {};  // (1, C, H, W)

  [[nodiscard]] Tensor get(const nets::TensorMap& map, const char* part) const {
    return map.at(layer->name + part).to(torch::kFloat64);
  }

  void operator()(const nets::Normalise& normalise) {
    const auto per_channel = [](const std::vector<double>& list) {
      return torch::tensor(list, torch::kFloat64).view({1, -1, 1, 1});
    };
    values = values * per_channel(normalise.deviation) + per_channel(normalise.mean);
    derivatives = derivatives / per_channel(normalise.deviation);
  }
  void operator()(const nets::LeakyRelu& relu) {
    const Tensor slopes = torch::where(values > 0, torch::ones_like(values), torch::full_like(values, relu.slope));
    values = values / slopes;
    derivatives = derivatives * slopes;
  }
  void operator()(const nets::Sigmoid&) {
    const Tensor y = values.clamp(kSaturated, 1 - kSaturated);
    values = torch::logit(y);
    derivatives = derivatives * y * (1 - y);
  }
  void operator()(const nets::Tanh&) {
    const Tensor y = values.clamp(kSaturated - 1, 1 - kSaturated);
    values = torch::atanh(y);
    derivatives = derivatives * (1 - y.square());
  }
  void operator()(const nets::Linear& linear) {
    solve({.in = linear.in, .out = linear.out, .kernel = 1}, get(observation.network.state, ".bias"));
  }
  void operator()(const nets::Conv& conv) {
    solve(conv, conv.bias ? get(observation.network.state, ".bias") : torch::zeros({conv.out}, torch::kFloat64));
  }
  void operator()(const auto&) {}  // passes what it takes

  void solve(const nets::Conv& conv, const Tensor& bias) {
    const std::int64_t kernel = conv.kernel, pixels = in[2] * in[3], n = conv.in * pixels, weights = kernel * kernel;
    const std::int64_t outputs = values.size(2) * values.size(3);
    const double numbers = 5.0 * static_cast<double>(n) * static_cast<double>(n) +
                           static_cast<double>(pixels * weights) * static_cast<double>(outputs);
    core::require_memory(static_cast<std::uint64_t>(std::min(numbers * sizeof(double), 1e18)),
                         fmt::format("r-gap: the equations of {}, for {} values", layer->name, n));
    const Tensor weight = get(observation.network.state, ".weight").reshape({conv.out, conv.in, kernel, kernel});
    const Tensor gradient = get(observation.update.gradient, ".weight").reshape({conv.out, conv.in, weights});
    const auto rest = [&](std::int64_t side) { return (side + 2 * conv.padding - kernel) % conv.stride; };
    const auto transposed = [&](const Tensor& y) {  // W^T y
      return torch::conv_transpose2d(y, weight, {}, conv.stride, conv.padding, {rest(in[2]), rest(in[3])});
    };

    // W^T W x = W^T (z - b).
    std::vector<Tensor> rows;
    for (const Tensor& units : torch::eye(n, torch::kFloat64).split(kUnits)) {
      const Tensor images = units.view({-1, in[1], in[2], in[3]});
      rows.push_back(transposed(torch::conv2d(images, weight, {}, conv.stride, conv.padding)).flatten(1));
    }
    Tensor normal = torch::cat(rows), right = transposed(values - bias.view({1, -1, 1, 1})).flatten();
    const double forward = scale(values.numel(), normal);
    normal *= forward;
    right *= forward;

    // K^T K x = K^T dL/dW for each channel of x, all with the same K.
    const Tensor eye = torch::eye(pixels, torch::kFloat64).view({pixels, 1, in[2], in[3]});
    const Tensor windows = torch::im2col(eye, {kernel, kernel}, {1, 1}, {conv.padding, conv.padding},
                                         {conv.stride, conv.stride});  // (pixels, weights, outputs)
    const Tensor k = torch::matmul(derivatives.reshape({conv.out, outputs}), windows.transpose(1, 2)).flatten(1).t();
    const Tensor squares = torch::mm(k.t(), k);  // (pixels, pixels)
    const double backward = scale(k.size(0), squares);
    normal.view({conv.in, pixels, conv.in, pixels}).diagonal(0, 0, 2) += backward * squares.unsqueeze(2);
    right += backward * torch::mm(k.t(), gradient.transpose(1, 2).reshape({-1, conv.in})).t().flatten();

    if (!std::isfinite((normal.sum() + right.sum()).item<double>())) {
      throw Error(ErrorKind::kModel,
                  "r-gap: the equations of {}: got values that are not finite, nothing can be solved", layer->name);
    }
    const Solution found = solved(normal, right);
    if (found.rank < n)
      undetermined.push_back(fmt::format("{} of the {} values that {} takes", found.rank, n, layer->name));
    values = found.x.view(in);
    derivatives = transposed(derivatives);
  }
};

// (1, C, H, W), of (C, H, W) or (features).
Shape as_image(Shape shape) {
  shape.insert(shape.begin(), 1);
  shape.resize(4, 1);
  return shape;
}

}  // namespace

std::optional<std::string> r_gap_lacks(const sharing::Observation& observation, const Attack& /*attack*/) {
  const auto& protocol = observation.update.protocol;
  const auto& [spec, layers] = observation.network.architecture;
  if (protocol.local.epochs > 0)
    return "r-gap: reads the gradient of one image (got the change of the weights by local training); use unrolled";
  if (protocol.batch_size != 1)
    return fmt::format("r-gap: reads the gradient of one image (got a batch of {}); use ig", protocol.batch_size);
  if (!std::holds_alternative<nets::Linear>(layers.back().op))
    return fmt::format("r-gap: {} does not end in a linear layer; use ig", spec.net);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const bool in_chain = layers[i].inputs == std::vector{static_cast<int>(i) - 1};
    const std::string what =
        in_chain ? std::visit(Lossy{protocol.mode}, layers[i].op) : "fed by another than the layer before it";
    if (!what.empty()) {
      return fmt::format(
          "r-gap: goes back through a chain of layers that can be inverted, and layer {} of {} is {}; use residual",
          i + 1, spec.net, what);
    }
  }
  return std::nullopt;
}

std::vector<Trial> r_gap(const sharing::Observation& observation, const Attack& /*attack*/, std::int64_t /*first*/,
                         std::int64_t count, const torch::Device& /*device*/) {
  const auto& [spec, layers] = observation.network.architecture;
  const auto shapes = nets::output_shapes(observation.network.architecture);
  const Tensor weight = observation.network.state.at(layers.back().name + ".weight").to(torch::kFloat64);
  Back back{.observation = observation,
            .values = linear_input(observation.update, layers.back().name),
            .derivatives = weight.t().mv(residual_at_logits(observation).to(torch::kFloat64))};
  for (std::size_t i = layers.size() - 1; i-- > 0;) {
    core::throw_if_stopped();
    back.layer = &layers[i];
    back.in = as_image(i > 0 ? shapes[i - 1] : spec.input);
    back.values = back.values.reshape(as_image(shapes[i]));
    back.derivatives = back.derivatives.reshape(back.values.sizes());
    std::visit(back, layers[i].op);
  }
  Trial trial;
  trial.images = back.values.reshape(as_image(spec.input));
  trial.method = "closed form, float64";
  if (!back.undetermined.empty())
    trial.method += fmt::format("; determined: only {}", fmt::join(back.undetermined, ", "));
  return std::vector<Trial>(static_cast<std::size_t>(count), trial);
}

}  // namespace pellucid::inversion
