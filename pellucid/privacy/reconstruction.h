// How often any attack can reconstruct a record from what differentially private training publishes.
#pragma once

#include "pellucid/privacy/guarantee.h"

namespace pellucid::privacy {

/// The largest probability with which any attack reconstructs a record that takes part in the phases, from all their
/// steps.
struct ReconstructionBound {
  double success = 0;  ///< at most
  double prior = 0;    ///< that of who guesses without having seen anything
  double epsilon = 0;  ///< at which success is e^epsilon prior + delta; negative where that is so the other way round
};

/// An attack is right if what it gives is near enough to the record, by a measure and a radius that are ours to choose.
/// The attacker knows all other records, sees each step, and knows the distribution that the record was drawn from;
/// `prior` is the largest probability with which any fixed guess is right.
///
/// Theorem: let P be what is published with the record and Q without it. Success is P(E) for a set E of outcomes that
/// depends on the record, and Q(E) is at most the prior on average, because there the record plays no part. P(E) is at
/// most the blow-up function sup {P(E): Q(E) <= prior}, which is concave, so that the average does not matter (Hayes,
/// Mahloujifar, Balle 2023, "Bounding training data reconstruction in DP-SGD", arXiv:2302.07225). It is the power of
/// the best test of its level, and this is the least, over all real epsilon, of e^epsilon prior + delta(epsilon), with
/// the delta of P against Q (Dong, Roth, Su 2022, "Gaussian differential privacy", section 2.4; Kaissis, Hayes, Ziller,
/// Rueckert 2023, arXiv:2307.03928, who bound reconstruction so). Below 0, delta(epsilon) = 1 - e^epsilon + e^epsilon
/// delta'(-epsilon), with the delta' of Q against P.
///
/// Deviates from Hayes et al., who estimate the blow-up function by Monte Carlo: delta is bounded from above by
/// `tight_delta`, at each epsilon that is tried, so that this is a bound without an error bar.
///
/// What it does not show: see `Phase`; that an attack reaches it; and anything for a record of which the attacker knows
/// more than the distribution says.
/// @param prior in (0, 1)
/// @param accuracy as `tight_delta`: about the part by which this may be above the exact bound
/// @throws Error(kUsage) as `tight_delta`, and for a prior that is not above 0 and below 1.
[[nodiscard]] ReconstructionBound reconstruction_bound(const Phases& phases, double prior, double accuracy = 1e-3);

/// What (epsilon, delta) alone says of any mechanism: min(e^epsilon prior + delta, 1 - e^-epsilon (1 - delta - prior)),
/// at most 1. Dong, Roth, Su 2022, section 2.1: the test that (epsilon, delta) allows.
/// @param epsilon from 0   @param delta in [0, 1]   @param prior in (0, 1)
/// @throws Error(kUsage) if one is out of range.
[[nodiscard]] double reconstruction_success(double epsilon, double delta, double prior);

}  // namespace pellucid::privacy
