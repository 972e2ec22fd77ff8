// What an attack matches with the update: everything that the matching loss depends on.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// What a linear layer took, where the attacker has read that off: it is matched too.
struct Features {
  std::string layer;  ///< empty: none
  Tensor targets;     ///< (B, in) float64: h* of each image, in PyTorch's order
  Tensor weights;     ///< (B) float64: of |h - h*|^2 in the matching loss; 0 for an image of which h* is not known
  Tensor known = {};  ///< (B, in) float64, where some values of h* are not: 1 for those that are; else undefined
};

/// What is matched, checked, and scaled so that nothing under- or overflows.
struct Problem {
  nets::Architecture architecture;
  nets::TensorMap state;
  sharing::Protocol protocol;
  Functional functional;
  Objective objective;
  std::vector<Tensor> observed;  ///< g* over its norm, float64, in the order of `nets::parameter_names`
  std::vector<double> weights;   ///< of each parameter in the distance, in that order; 0 leaves it out
  /// The interval that each value of g* may lie in, like `observed`, where the client's mechanisms are known and leave
  /// one; else empty. In place of g* the nearest value of the interval is matched.
  std::vector<Tensor> low = {}, high = {};
  bool rounded = false;   ///< at random to one end or the middle of it: the likelihood of that is matched too
  bool any_size = false;  ///< g* is smaller than the gradient by an unknown factor
  double scale;           ///< 1 / |g*|: what the functional is multiplied by
  Tensor labels;          ///< (B, classes) float64, one-hot; not used by the residual functional
  Tensor residual;        ///< (B, classes) float64, over |g*|; undefined for the loss
  Features features = {};
  nets::TensorMap statistics = {};                ///< `known_statistics`
  std::optional<nets::Network> autoencoder = {};  ///< `autoencoder_of` (terms.h)
  /// Of further rounds (`sharing::Observation::further`), each scaled by its own gradient; none of them has any.
  std::vector<Problem> further = {};
  double share = 1;  ///< of this round's matching loss in the whole
};

/// Each round as a problem of its own, in order. The matching loss of all is the sum of theirs, each times its share.
[[nodiscard]] std::vector<Problem> rounds(const Problem& problem);

/// The least square of the sine of two gradients' angle, so that the angle has a derivative where they agree.
inline constexpr double kLeastSine2 = 1e-12;

/// The weights of features whose matching loss is `weight` times the mean of |h - h*|^2 / |h*|^2 over the images that
/// are known; 0 where h* is zero, of which nothing is read. @param targets (n, in). @return (n)
[[nodiscard]] Tensor features_weights(const Tensor& targets, double weight);

/// The mean and variance of the client's batch at each batch norm, as far as they are known: inferred from the new
/// running statistics where it shares them, else the network's own. Float64, under the names of the running ones; empty
/// without batch norm. After several steps, their mean over the steps, the later weighing more.
[[nodiscard]] nets::TensorMap known_statistics(const sharing::Observation& observation);

/// Several rounds are matched as one: the share of each is as the square of its gradient's norm, which makes the
/// squared distance that of all gradients over all of g*, and so is the share of the features as that of the part of g*
/// that they were read off. A round whose gradient noise has drowned then does not count as much as another.
///
/// Source: Temporal Gradient Inversion Attacks, Li et al. 2023, arXiv:2306.07883. Deviates: there rounds are equal, and
/// what a few of them say otherwise than most is left out.
/// Where the attack knows the client's mechanisms (`Attack::mechanisms`) and these leave a value of the residual out,
/// the loss is matched in its place; what was averaged over several clients is matched as it is.
/// @param labels of the batch; not used by the residual functional.
/// @throws Error(kUsage) if the client trained on a schedule that is hidden.
/// @throws Error(kUsage) if the residual functional or the features are asked for but the batch is not one image.
/// @throws as `autoencoder_of`.
/// @throws Error(kUsage) if they are asked for but the network does not end in a linear layer, or has none.
/// @throws Error(kModel) if the observed gradient, of any round, is zero everywhere or not finite: nothing can be
///   matched.
/// @throws Error(kData) if the labels of the batch need more memory than is allowed.
[[nodiscard]] Problem make_problem(const sharing::Observation& observation, const Attack& attack,
                                   const std::vector<std::int64_t>& labels);

/// That of the batch's gradient alone: by the functional `loss`, without features, whatever the attack says.
/// @throws as `make_problem`.
[[nodiscard]] Problem whole_problem(const sharing::Observation& observation, const Attack& attack,
                                    const std::vector<std::int64_t>& labels);

/// The problem with its tensors there.
[[nodiscard]] Problem on(Problem problem, const torch::Device& device);

}  // namespace pellucid::inversion
