// How long work will take on this machine, from a step of it.
#pragma once

#include "pellucid/gradients/trained.h"

namespace pellucid::gradients {

/// Seconds to train, from one step timed on an untrained network: epochs x batches x that step. What is measured in
/// between comes on top.
[[nodiscard]] double training_seconds(const Training& training, Datasets& datasets);

/// Seconds on one core to read one image (or batch) back of one round, from two short runs of the attack on an
/// untrained network under the same protocol: what an iteration takes, and what the attack does beside them.
[[nodiscard]] double reading_seconds(const Settings& settings, Datasets& datasets);

}  // namespace pellucid::gradients
