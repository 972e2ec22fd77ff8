// How often a network is right, on images as they are and under attack.
#pragma once

#include "pellucid/core/run.h"
#include "pellucid/data/dataset.h"
#include "pellucid/evasion/pgd.h"
#include "pellucid/stats/interval.h"

namespace pellucid::evasion {

/// k right answers of n.
struct Accuracy {
  std::int64_t correct = 0, n = 0;

  /// The share with its Clopper-Pearson interval at 95 %. @pre n > 0.
  [[nodiscard]] stats::Interval interval() const;
};

/// {"value": .., "low": .., "high": .., "correct": .., "n": ..}
[[nodiscard]] core::Json to_json(const Accuracy& accuracy);

/// Accuracy on the data set.
[[nodiscard]] Accuracy natural_accuracy(const nets::Network& network, const data::Dataset& dataset, const core::Run& run = {});

/// Accuracy on the data set under PGD. The random start of image i depends on (seed, i) alone. An image that is
/// answered wrongly before the attack counts as wrong: the attacker may leave it as it is.
/// @throws Error(kStopped) between batches if a stop was asked for.
[[nodiscard]] Accuracy robust_accuracy(const nets::Network& network, const data::Dataset& dataset, const PgdOptions& options,
                                       std::uint64_t seed, const core::Run& run = {});

}  // namespace pellucid::evasion
