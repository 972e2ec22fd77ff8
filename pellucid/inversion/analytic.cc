#include "pellucid/inversion/analytic.h"

#include "pellucid/core/error.h"
#include "pellucid/core/tensor.h"
#include "pellucid/inversion/candidate.h"

#include <algorithm>

namespace pellucid::inversion {

Tensor linear_input(const sharing::Update& update, const std::string& layer) {
  const Tensor weight = update.gradient.at(layer + ".weight").to(torch::kFloat64),
               bias = update.gradient.at(layer + ".bias").to(torch::kFloat64);
  const double square = bias.square().sum().item<double>();
  if (square == 0) {
    throw core::Error(core::ErrorKind::kModel,
                      "the gradient of {}.bias is zero everywhere: the layer's input cannot be read off", layer);
  }
  return weight.t().mv(bias) / square;
}

LinearInput noisy_linear_input(const sharing::Update& update, const std::string& layer, bool sparse) {
  const Tensor weight = update.gradient.at(layer + ".weight").to(torch::kFloat64),
               bias = update.gradient.at(layer + ".bias").to(torch::kFloat64), squares = bias.square();
  const auto rows = static_cast<double>(weight.size(0)), values = static_cast<double>(weight.size(1));
  if (sparse) {
    const Tensor shared = (weight != 0).to(torch::kFloat64), of_column = shared.t().mv(squares);
    const Tensor input = torch::where(of_column > 0, weight.t().mv(bias) / of_column, torch::zeros_like(of_column));
    const Tensor off = (weight - torch::outer(bias, input)) * shared;
    const Tensor noise = squares.matmul(off.square()) / squares.sum().square() * (rows / (rows - 1));
    return {input, (noise.sum() / input.square().sum()).item<double>()};
  }
  const auto [unused, sizes, right] = core::svd(torch::cat({weight, bias.unsqueeze(1)}, 1), false);
  const Tensor direction = right[0];
  const double first = sizes[0].item<double>(), of_bias = direction[-1].item<double>();
  const Tensor of_weight = direction.slice(0, 0, weight.size(1));
  const double variance = (sizes.square().sum().item<double>() - first * first) / ((rows - 1) * values);
  const double share = variance * values / of_weight.square().sum().item<double>() + variance / (of_bias * of_bias);
  return {of_weight / of_bias, share / (first * first)};
}

std::optional<std::string> analytic_lacks(const sharing::Observation& observation, const Attack& /*attack*/) {
  if (observation.update.protocol.local.epochs > 0)
    return "analytic: reads the gradient of one image (got the change of the weights by local training); use unrolled";
  if (observation.update.protocol.batch_size != 1) {
    return fmt::format("analytic: a linear layer's input can be read off a batch of one only (got {}); use ig",
                       observation.update.protocol.batch_size);
  }
  for (const auto& layer : observation.network.architecture.layers) {
    if (std::holds_alternative<nets::Linear>(layer.op)) return std::nullopt;
    if (!std::holds_alternative<nets::Normalise>(layer.op) && !std::holds_alternative<nets::Flatten>(layer.op)) break;
  }
  return fmt::format("analytic: the first layer of {} is not linear; use residual",
                     observation.network.architecture.spec.net);
}

std::vector<Trial> analytic(const sharing::Observation& observation, const Attack& /*attack*/, std::int64_t /*first*/,
                            std::int64_t count, const torch::Device& /*device*/) {
  const auto& [spec, layers] = observation.network.architecture;
  const auto linear = std::find_if(layers.begin(), layers.end(),
                                   [](const nets::Layer& l) { return std::holds_alternative<nets::Linear>(l.op); });
  const Tensor z =
      linear_input(observation.update, linear->name).view({1, spec.input[0], spec.input[1], spec.input[2]});
  Trial trial;
  trial.images = Units(spec, torch::kFloat64).to_pixels(z);
  trial.method = "closed form, float64";
  return std::vector<Trial>(static_cast<std::size_t>(count), trial);
}

}  // namespace pellucid::inversion
