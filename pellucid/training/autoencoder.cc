#include "pellucid/training/autoencoder.h"

#include "pellucid/core/stop.h"
#include "pellucid/core/tensor.h"

#include <algorithm>

namespace pellucid::training {

std::vector<double> reconstruction_errors(const nets::Network& network, const data::Dataset& dataset,
                                          const core::Run& run) {
  constexpr std::int64_t kBatch = 250;
  nets::require_autoencoder(network.architecture);
  const torch::NoGradGuard no_gradient;
  std::vector<double> errors;
  for (std::int64_t begin = 0; begin < dataset.size(); begin += kBatch) {
    core::throw_if_stopped();
    run.report({.task = "reconstruction error", .done = begin, .total = dataset.size(), .unit = "images"});
    const Tensor images = data::pixels(dataset, torch::arange(begin, std::min(begin + kBatch, dataset.size())))
                              .to(nets::device_of(network));
    const auto here = core::to_doubles(nets::reconstruction_errors(nets::logits(network, images), images));
    errors.insert(errors.end(), here.begin(), here.end());
  }
  run.report({.task = "reconstruction error", .done = dataset.size(), .total = dataset.size(), .unit = "images"});
  return errors;
}

}  // namespace pellucid::training
