#include "pellucid/inversion/disaggregate.h"

#include "pellucid/inversion/layer_inputs.h"

#include <algorithm>

namespace pellucid::inversion {
namespace {

// The first linear layer whose output a ReLU takes.
std::optional<std::size_t> linear_before_relu(const nets::Architecture& architecture) {
  for (const auto& layer : architecture.layers) {
    if (!std::holds_alternative<nets::Relu>(layer.op) || layer.inputs.front() < 0) continue;
    const auto before = static_cast<std::size_t>(layer.inputs.front());
    if (std::holds_alternative<nets::Linear>(architecture.layers[before].op)) return before;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> disaggregate_lacks(const sharing::Observation& observation, const Attack& /*attack*/) {
  const auto& architecture = observation.network.architecture;
  if (observation.update.protocol.local.epochs > 0)
    return "disaggregate: takes a gradient apart (got the change of the weights by local training); use unrolled";
  const auto layer = linear_before_relu(architecture);
  if (!layer) return fmt::format("disaggregate: {} has no linear layer before a ReLU; use ig", architecture.spec.net);
  if (!std::holds_alternative<nets::Linear>(architecture.layers.back().op))
    return fmt::format("disaggregate: {} does not end in a linear layer; use ig", architecture.spec.net);
  if (!stands_alone(architecture, *layer))
    return fmt::format("disaggregate: {} has a layer beside {}; use ig", architecture.spec.net,
                       architecture.layers[*layer].name);
  const auto& linear = std::get<nets::Linear>(architecture.layers[*layer].op);
  const std::int64_t batch = observation.update.protocol.batch_size, bound = std::min(linear.out, linear.in + 1);
  if (batch < bound) return std::nullopt;
  return fmt::format("disaggregate: a batch of {} images, expected fewer than {}, the {} of {}; use ig", batch, bound,
                     bound == linear.out ? "units" : "inputs", architecture.layers[*layer].name);
}

std::vector<Trial> disaggregate(const sharing::Observation& observation, const Attack& attack, std::int64_t first,
                                std::int64_t count, const torch::Device& device) {
  const std::size_t layer = *linear_before_relu(observation.network.architecture);
  const std::int64_t batch = observation.update.protocol.batch_size;
  const Isolated found = isolate(linear_layer(observation, layer), attack.seed);
  const std::int64_t known = found.inputs.size(0);
  const AtLogits derivatives = at_logits_of_batch(observation, layer, found.inputs, found.residuals);
  const auto* labels = derivatives.labels.data_ptr<std::int64_t>();
  const Tensor isolated = torch::arange(batch) < known;
  const LayerInputs read{.layer = layer,
                         .inputs = torch::constant_pad_nd(found.inputs, {0, 0, 0, batch - known}),
                         .known = isolated,
                         .isolated = isolated,
                         .residuals = derivatives.residuals,
                         .labels = {labels, labels + batch}};
  return invert(observation, attack, read,
                fmt::format("{} of {} images isolated, {} above the rounding", known, batch, found.visible), first,
                count, device);
}

}  // namespace pellucid::inversion
