#include "pellucid/sharing/confidence.h"

namespace pellucid::sharing {

std::vector<Confidence> confidence(const nets::Network& network, const Tensor& images, const Tensor& labels) {
  const torch::NoGradGuard no_gradient;
  const nets::Network exact{network.architecture, nets::converted(network.state, torch::kFloat64)};
  const Tensor logits = nets::logits(exact, images.to(torch::kFloat64));
  const Tensor true_logit = logits.gather(1, labels.unsqueeze(1)).squeeze(1);
  const Tensor others = logits.scatter(1, labels.unsqueeze(1), -std::numeric_limits<double>::infinity());
  const Tensor margin = true_logit - std::get<0>(others.max(1));
  const Tensor p_true = torch::sigmoid(true_logit - others.logsumexp(1));  // 1 / (1 + sum of exp(other - true))
  std::vector<Confidence> list;
  for (std::int64_t i = 0; i < labels.size(0); ++i)
    list.push_back({margin[i].item<double>(), p_true[i].item<double>()});
  return list;
}

}  // namespace pellucid::sharing
