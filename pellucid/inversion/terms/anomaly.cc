// How far a trial's images are from what an autoencoder gives of them, which has seen data like the clients': the mean
// squared difference, in pixels' units. The autoencoder gives back what its data are like, and not noise.
//
// Source: Sun et al. 2024 (GI-PIP), arXiv:2401.11748, metrics.py of its code. Deviates: the published code takes away a
// constant for each data set, near the error of its images, and then the sign; here the error itself is the score.
#include "pellucid/core/error.h"
#include "pellucid/core/text.h"
#include "pellucid/inversion/terms.h"
#include "pellucid/nets/autoencoder.h"
#include "pellucid/nets/weights.h"

namespace pellucid::inversion {

using core::Error;
using core::ErrorKind;

std::optional<nets::Network> autoencoder_of(const Attack& attack, const nets::Spec& spec) {
  const auto weight = attack.terms.find("anomaly");
  const bool weighed = weight != attack.terms.end() && weight->second > 0;
  if (attack.prior.empty() && weighed) {
    throw Error(ErrorKind::kUsage,
                "attack: anomaly: got {} without a prior, expected the weight file of an autoencoder "
                "as attack.prior (`pellucid train --method autoencoder --net autoencoder`)",
                weight->second);
  }
  if (attack.prior.empty()) return std::nullopt;
  if (!weighed) {
    throw Error(ErrorKind::kUsage,
                "attack: prior: got {} with anomaly = 0, expected a weight: nothing would look at it",
                core::quoted(attack.prior, 4096));
  }
  try {
    auto network = nets::load_network(attack.prior);
    const auto& own = network.architecture.spec;
    if (own.input != spec.input) {
      throw Error(ErrorKind::kUsage, "{}: got an autoencoder of {} images, expected {}, as the client's",
                  core::printable(attack.prior, 4096), fmt::join(own.input, " x "), fmt::join(spec.input, " x "));
    }
    nets::require_autoencoder(network.architecture);
    return network;
  } catch (Error& error) {
    throw error.add_context("attack: prior");
  }
}

Term anomaly(const Problem& problem, const Units& units, double weight) {
  const auto kind = units.deviation().options();
  const nets::Network& network = problem.autoencoder.value();
  nets::TensorMap state;
  for (const auto& [name, tensor] : network.state)
    state[name] = tensor.is_floating_point() ? tensor.detach().to(kind) : tensor.to(kind.device());
  return [architecture = network.architecture, state, deviation = units.deviation(), weight](const Candidate& candidate,
                                                                                             Evaluated& sum) {
    const Tensor x = candidate.pixels.detach().requires_grad_(true);
    const Tensor errors = nets::reconstruction_errors(nets::evaluate(architecture, state, x).logits, x);
    const Tensor losses = weight * errors.view({candidate.trials, -1}).mean(1);
    sum.gradient.add_(torch::autograd::grad({losses.sum()}, {x})[0] * deviation);
    sum.losses.add_(losses.detach().to(torch::kFloat64));
  };
}

}  // namespace pellucid::inversion
