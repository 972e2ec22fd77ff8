// How well an autoencoder gives images back.
#pragma once

#include "pellucid/core/run.h"
#include "pellucid/data/dataset.h"
#include "pellucid/nets/autoencoder.h"

#include <vector>

namespace pellucid::training {

/// `nets::reconstruction_errors` of every image, in evaluation mode.
/// @throws Error(kUsage) as `nets::require_autoencoder`, and if the images are of another shape.
/// @throws Error(kStopped) between batches if a stop was asked for.
[[nodiscard]] std::vector<double> reconstruction_errors(const nets::Network& network, const data::Dataset& dataset,
                                                        const core::Run& run = {});

}  // namespace pellucid::training
