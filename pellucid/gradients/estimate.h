// How long work will take on this machine, from a step of it.
#pragma once

#include "pellucid/gradients/trained.h"

namespace pellucid::gradients {

/// Seconds to train, from one step timed on an untrained network: epochs x batches x that step. What is measured in
/// between comes on top.
[[nodiscard]] double training_seconds(const Training& training, Datasets& datasets);

/// Seconds on one core to read one image back, from some iterations timed on an untrained network.
[[nodiscard]] double reading_seconds(const Settings& settings, Datasets& datasets);

}  // namespace pellucid::gradients
