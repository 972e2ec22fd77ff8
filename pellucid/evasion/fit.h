// Whether a data set and a network belong together.
#pragma once

#include "pellucid/data/dataset.h"
#include "pellucid/nets/network.h"

namespace pellucid::evasion {

/// The data set with its labels counted as the network counts its outputs: matched by the names of the classes, or by
/// their places where the network has no names (weights of others, old files).
/// @throws Error(kData) if there are no images, or they are of another shape than the network takes, saying both.
/// @throws Error(kData) if an image is of a class that the network does not know, naming it.
[[nodiscard]] data::Dataset fitted(data::Dataset dataset, const nets::Network& network);

}  // namespace pellucid::evasion
