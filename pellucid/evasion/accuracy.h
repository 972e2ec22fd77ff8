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
  std::int64_t undefined = 0;  ///< images, counted as wrong, for which the network gave logits that are not numbers

  /// The share with its Clopper-Pearson interval at 95 %. @pre n > 0.
  [[nodiscard]] stats::Interval interval() const;
};

/// {"value": .., "low": .., "high": .., "correct": .., "n": ..}, and "undefined" where it is not 0.
[[nodiscard]] core::Json to_json(const Accuracy& accuracy);

/// The class that most images of a data set have: always answering it is right on so many of them.
struct Commonest {
  std::string name;
  Accuracy accuracy;
};
[[nodiscard]] Commonest commonest_class(const data::Dataset& dataset);

/// Accuracy on the data set. Logits that are not numbers are no answer: the image counts as wrong.
[[nodiscard]] Accuracy natural_accuracy(const nets::Network& network, const data::Dataset& dataset,
                                        const core::Run& run = {});

/// Accuracy on the data set under PGD. The random start of image i depends on (seed, i) alone. An image that is
/// answered wrongly before the attack counts as wrong: the attacker may leave it as it is.
/// @throws Error(kStopped) between batches if a stop was asked for.
[[nodiscard]] Accuracy robust_accuracy(const nets::Network& network, const data::Dataset& dataset,
                                       const PgdOptions& options, std::uint64_t seed, const core::Run& run = {});

}  // namespace pellucid::evasion
