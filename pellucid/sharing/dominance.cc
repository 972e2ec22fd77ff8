#include "pellucid/sharing/dominance.h"

#include <limits>

namespace pellucid::sharing {

Dominance dominance(const nets::Network& network, const Tensor& images, const Tensor& labels) {
  nets::Network exact = network;
  exact.state = nets::converted(network.state, torch::kFloat64);
  const auto leaves = nets::with_gradients(exact);
  const auto names = nets::parameter_names(network.architecture);
  std::vector<std::string> layers;
  std::vector<Tensor> weights;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (leaves.parameters[i].dim() < 2) continue;
    layers.push_back(names[i].substr(0, names[i].rfind('.')));
    weights.push_back(leaves.parameters[i]);
  }
  std::vector<Tensor> rows;  // (layers) of each image
  for (std::int64_t i = 0; i < images.size(0); ++i) {
    const auto one = images.narrow(0, i, 1).to(torch::kFloat64);
    const auto output = nets::evaluate(network.architecture, leaves.state, one);
    std::vector<Tensor> norms;
    for (const auto& gradient :
         torch::autograd::grad({at::cross_entropy_loss(output.logits, labels.narrow(0, i, 1))}, weights))
      norms.push_back(gradient.norm());
    rows.push_back(torch::stack(norms));
  }
  const Tensor norms = torch::stack(rows), sums = norms.sum(0);
  Dominance found;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const Tensor column = norms.select(1, static_cast<std::int64_t>(l));
    const double most = column.max().item<double>(), sum = sums[static_cast<std::int64_t>(l)].item<double>();
    if (!(sum > 0)) continue;
    const double ratio = images.size(0) == 1 ? std::numeric_limits<double>::infinity() : most / (sum - most);
    if (found.layer.empty() || ratio > found.ratio) {
      const Tensor share = column / sum;
      found = {.ratio = ratio,
               .layer = layers[l],
               .share = {share.data_ptr<double>(), share.data_ptr<double>() + share.numel()}};
    }
  }
  return found;
}

}  // namespace pellucid::sharing
