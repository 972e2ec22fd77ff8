// What a framework's local differential privacy really is.
#pragma once

#include "pellucid/privacy/guarantee.h"

namespace pellucid::privacy {

/// Each client clips its update to the norm `clip` and adds Gaussian noise of standard deviation sigma = sensitivity *
/// sqrt(2 ln(1.25 / delta)) / epsilon to each value, in each round: Flower's LocalDpMod, and the filters that follow
/// it.
struct LocalClaim {
  double epsilon = 1;        ///< as configured
  double delta = 1e-5;       ///< as configured
  double clip = 1;           ///< the largest norm of an update
  double sensitivity = 0;    ///< as configured, in the same units; 0 is the clipping norm
  std::int64_t rounds = 1;   ///< in which a client takes part
  std::int64_t clients = 1;  ///< whose updates are summed, each with its own noise
};

/// The true epsilon at the claim's delta, for one who sees each update or, behind secure aggregation, only sums.
struct LocalView {
  std::string sees;       ///< "each update", "only the sum of 10 updates"
  Adjacency adjacency;    ///< an update or none, or any two updates
  double noise = 0;       ///< the noise multiplier: standard deviation over what one client can change
  double one_round = 0;   ///< epsilon
  double all_rounds = 0;  ///< epsilon
};

/// What was found.
struct LocalFindings {
  double sigma = 0;         ///< the standard deviation of the noise in each value, in the units of the update
  double claimed = 0;       ///< the claimed epsilon of one round
  double one_round = 0;     ///< the true one, if an update changed by no more than the configured sensitivity
  bool sound = false;       ///< that is no more than was claimed
  double limit = 0;         ///< the formula is unsound past this epsilon
  double summed = 0;        ///< rounds * claimed: what adding up epsilons says, at rounds * delta
  double sigma_needed = 0;  ///< with which any two updates, over all rounds, are as private as was claimed of one
  std::vector<LocalView> views;
};

/// Theorem: Balle and Wang 2018 for one round; `rounds` of noise s are as one of s / sqrt(rounds) (`composed_noise`),
/// and the noise of n clients adds up to sqrt(n) times one's. All are exact for updates that reach the clipping norm.
///
/// A server that sees each update could see any other in its place: local differential privacy means to hide which of
/// two updates was sent, and these differ by up to twice the clipping norm. With the clipping norm as the sensitivity
/// only an update and none (zeros) are hard to tell apart.
///
/// What it does not show: privacy of a single example, of which a client has many (that is less private than `clip`
/// allows only if the client's update hides it); clients who collude, whose noise can be subtracted; noise that was
/// drawn in floating point; values of an update that are sent without noise.
/// @throws Error(kUsage) as `check_epsilon` and `check_delta`.
/// @throws Error(kUsage) for a clip that is not above 0, or a sensitivity below 0.
/// @throws Error(kUsage) for rounds or clients that are not from 1.
[[nodiscard]] LocalFindings check_claim(const LocalClaim& claim);

/// "an update or none", "any two updates".
[[nodiscard]] std::string of_updates(Adjacency adjacency);

/// What is wrong with the claim, a sentence each.
[[nodiscard]] std::vector<std::string> sentences(const LocalClaim& claim, const LocalFindings& findings);
[[nodiscard]] core::Json to_json(const LocalFindings& findings);

}  // namespace pellucid::privacy
