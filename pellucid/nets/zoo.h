// The networks that exist, each with its source.
#pragma once

#include "pellucid/nets/architecture.h"

namespace pellucid::nets {

/// A network by name.
struct ZooEntry {
  std::string name;
  std::string summary;              ///< one sentence
  std::string source;               ///< where it was published
  std::vector<std::int64_t> input;  ///< the images that it is mostly used with: channels, height, width
  void (*add_layers)(Architecture& architecture);
  std::int64_t outputs = 10;  ///< that it mostly has
};

/// Every network, the one place that lists them.
[[nodiscard]] const std::vector<ZooEntry>& zoo();

/// The architecture that a spec asks for.
/// @throws Error(kUsage) if no network has that name, naming the nearest.
/// @throws Error(kUsage) if the spec is no sensible one (channels, classes, normalisation) or the images are too small.
[[nodiscard]] Architecture build(const Spec& spec);

/// The network `net` on the images that it is mostly used with, with the outputs that it mostly has.
/// @throws Error(kUsage) if no network has that name, naming the nearest.
[[nodiscard]] Spec usual_spec(const std::string& net);

}  // namespace pellucid::nets
