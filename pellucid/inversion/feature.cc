#include "pellucid/inversion/feature.h"

#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/layer_inputs.h"

namespace pellucid::inversion {

std::optional<std::string> feature_lacks(const sharing::Observation& observation, const Attack& /*attack*/) {
  const auto& [spec, layers] = observation.network.architecture;
  if (observation.update.protocol.local.epochs > 0)
    return "feature: reads a gradient (got the change of the weights by local training); use unrolled";
  if (!std::holds_alternative<nets::Linear>(layers.back().op))
    return fmt::format("feature: {} does not end in a linear layer; use ig", spec.net);
  return std::nullopt;
}

std::vector<Trial> feature(const sharing::Observation& observation, const Attack& attack, std::int64_t first,
                           std::int64_t count, const torch::Device& device) {
  const auto& architecture = observation.network.architecture;
  const std::size_t head = architecture.layers.size() - 1;
  const auto labels = infer_labels(observation, attack.labels);
  const Tensor of_images = torch::tensor(labels, torch::kInt64);
  const auto [classes, row, images] = at::_unique2(of_images, /*sorted=*/true, /*return_inverse=*/true, true);
  const Agreed found = agree(observation, head, -torch::one_hot(classes, architecture.spec.classes).to(torch::kFloat64),
                             classes, /*by_inputs=*/false);
  const Tensor share = images.index_select(0, row);
  const Tensor isolated = unmixed(found).index_select(0, row);  // not where a class has several
  const LayerInputs read{.layer = head,
                         .inputs = found.inputs.index_select(0, row),
                         .known = isolated,
                         .isolated = isolated,
                         .residuals = found.residuals.index_select(0, row) / share.unsqueeze(1),
                         .labels = labels};
  return invert(observation, attack, read,
                fmt::format("{} of {} images isolated, {} alone in their class", isolated.sum().item<std::int64_t>(),
                            labels.size(), share.eq(1).sum().item<std::int64_t>()),
                first, count, device);
}

}  // namespace pellucid::inversion
