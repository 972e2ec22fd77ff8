#include "pellucid/inversion/cpa.h"

#include "pellucid/core/stop.h"
#include "pellucid/core/tensor.h"
#include "pellucid/inversion/layer_inputs.h"

#include <algorithm>
#include <cmath>

namespace pellucid::inversion {
namespace {

constexpr int kFixedPoint = 300;       // iterations, at the most
constexpr double kConverged = 1e-9;    // of a component's cosine with the one before
constexpr double kIndistinct = 1e-12;  // of the largest singular value: none

// The first linear layer that has more units and more inputs, with the bias's, than the batch has images.
std::optional<std::size_t> wide_enough(const sharing::Observation& observation) {
  const auto& layers = observation.network.architecture.layers;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto* linear = std::get_if<nets::Linear>(&layers[i].op);
    if (linear == nullptr || !stands_alone(observation.network.architecture, i)) continue;
    if (observation.update.protocol.batch_size < std::min(linear->out, linear->in + 1)) return i;
  }
  return std::nullopt;
}

// Of images, the differences of neighbouring pixels.
Tensor differences(const Tensor& rows, const std::vector<std::int64_t>& input) {
  const Tensor images = rows.view({-1, input[0], input[1], input[2]});
  return torch::cat({images.diff(1, 2).flatten(1), images.diff(1, 3).flatten(1)}, 1);
}

}  // namespace

Tensor independent_components(const Tensor& signals, std::int64_t n, std::uint64_t seed) {
  const auto samples = static_cast<double>(signals.size(1));
  const Tensor centred = signals - signals.mean(1, true);
  const auto [left, values, right] = core::svd(centred, /*full=*/false);
  const Tensor whitening = (left.slice(1, 0, n) / values.slice(0, 0, n)).t() * std::sqrt(samples);
  const Tensor white = torch::mm(whitening, centred);
  Tensor rotation = std::get<0>(torch::linalg_qr(core::normal(core::Stream(seed, "cpa"), {n, n}).to(torch::kFloat64)));
  for (int i = 0; i < kFixedPoint; ++i) {
    core::throw_if_stopped();
    const Tensor slope = torch::mm(rotation, white).tanh();  // of log cosh
    const Tensor next = torch::mm(slope, white.t()) / samples - (1 - slope.square()).mean(1, true) * rotation;
    const auto [u, s, vh] = core::svd(next, /*full=*/true);
    const Tensor before = rotation;
    rotation = torch::mm(u, vh);
    if ((rotation * before).sum(1).abs().min().item<double>() > 1 - kConverged) break;
  }
  return torch::mm(rotation, whitening);
}

std::optional<std::string> cpa_lacks(const sharing::Observation& observation, const Attack& /*attack*/) {
  const auto& [spec, layers] = observation.network.architecture;
  if (observation.update.protocol.local.epochs > 0)
    return "cpa: separates a gradient (got the change of the weights by local training); use unrolled";
  if (!std::holds_alternative<nets::Linear>(layers.back().op))
    return fmt::format("cpa: {} does not end in a linear layer; use ig", spec.net);
  if (wide_enough(observation)) return std::nullopt;
  return fmt::format(
      "cpa: a batch of {} images, expected fewer than the units and inputs of a linear layer of {}; use ig",
      observation.update.protocol.batch_size, spec.net);
}

std::vector<Trial> cpa(const sharing::Observation& observation, const Attack& attack, std::int64_t first,
                       std::int64_t count, const torch::Device& device) {
  const auto& architecture = observation.network.architecture;
  const std::size_t layer = *wide_enough(observation);
  const auto part = linear_layer(observation, layer);
  const std::int64_t batch = part.batch, n = std::max<std::int64_t>(visible(part).images, 1);
  const Tensor gradient = torch::cat({part.weight_gradient, part.bias_gradient.unsqueeze(1)}, 1).to(torch::kFloat64);
  const Tensor rows = gradient / gradient.norm(2, 1, true).clamp_min(1e-300);
  const Tensor weights = rows.slice(1, 0, -1);
  const bool pixels = takes_pixels(architecture, layer);
  const Tensor components = torch::mm(
      independent_components(pixels ? differences(weights, architecture.spec.input) : weights, n, attack.seed), rows);
  const Tensor scale = components.slice(1, -1), inputs = components.slice(1, 0, -1) / scale;
  const Tensor derivatives = torch::mm(gradient, torch::linalg_pinv(components / scale, kIndistinct)).t();
  const Agreed found =
      agree(observation, layer, derivatives, at_logits(observation.network, layer, inputs, derivatives).labels,
            /*by_inputs=*/true);

  const Tensor order = found.mixed.argsort();
  const auto ordered = [&](const Tensor& t) { return t.index_select(0, order); };
  const Tensor isolated = torch::constant_pad_nd(ordered(unmixed(found)), {0, batch - n});
  const AtLogits at = at_logits_of_batch(observation, layer, ordered(found.inputs), ordered(found.residuals));
  const auto* labels = at.labels.data_ptr<std::int64_t>();
  const LayerInputs read{.layer = layer,
                         .inputs = torch::constant_pad_nd(ordered(found.inputs), {0, 0, 0, batch - n}),
                         .known = pixels ? torch::arange(batch) < n : isolated,
                         .isolated = isolated,
                         .residuals = at.residuals,
                         .labels = {labels, labels + batch}};
  return invert(
      observation, attack, read,
      fmt::format("{} of {} images isolated, {} above the rounding", isolated.sum().item<std::int64_t>(), batch, n),
      first, count, device);
}

}  // namespace pellucid::inversion
