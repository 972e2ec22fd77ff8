#include "pellucid/evasion/fit.h"

#include "pellucid/core/error.h"
#include "pellucid/core/text.h"

namespace pellucid::evasion {

using core::Error;
using core::ErrorKind;

data::Dataset fitted(data::Dataset dataset, const nets::Network& network) {
  const auto& spec = network.architecture.spec;
  const std::string name = core::printable(dataset.name);
  if (dataset.size() == 0) throw Error(ErrorKind::kData, "{}: got no images, expected at least one", name);
  if (dataset.images.sizes().slice(1) != at::IntArrayRef(spec.input)) {
    throw Error(ErrorKind::kData,
                "{}: got images of {}, expected {} (channels x height x width), which the network takes; use the data "
                "that it was trained on",
                name, fmt::join(dataset.images.sizes().slice(1), " x "), fmt::join(spec.input, " x "));
  }
  if (!network.classes.empty()) return data::relabelled(std::move(dataset), network.classes);
  if (const auto largest = dataset.labels.max().item<std::int64_t>(); largest >= spec.classes) {
    throw Error(ErrorKind::kData,
                "{}: class {} is number {}, expected numbers below {}: the network has {} outputs; take its images "
                "out, or train with them",
                name, core::quoted(dataset.classes.at(static_cast<std::size_t>(largest))), largest, spec.classes,
                spec.classes);
  }
  return dataset;
}

}  // namespace pellucid::evasion
