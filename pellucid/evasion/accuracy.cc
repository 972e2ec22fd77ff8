#include "pellucid/evasion/accuracy.h"

#include "pellucid/core/stop.h"

#include <algorithm>

namespace pellucid::evasion {
namespace {

constexpr std::int64_t kBatch = 250;

// Adds up, over the batches, how many of their images `correct` says are answered rightly.
template <typename Correct>
Accuracy count(const std::string& task, const data::Dataset& dataset, const core::Run& run, Correct correct) {
  Accuracy accuracy{.correct = 0, .n = dataset.size()};
  for (std::int64_t begin = 0; begin < accuracy.n; begin += kBatch) {
    core::throw_if_stopped();
    run.report({.task = task, .done = begin, .total = accuracy.n, .unit = "images"});
    const Tensor indices = torch::arange(begin, std::min(begin + kBatch, accuracy.n));
    accuracy.correct += correct(indices).sum().template item<std::int64_t>();
  }
  run.report({.task = task, .done = accuracy.n, .total = accuracy.n, .unit = "images"});
  return accuracy;
}

// (B) bool: which images get their label.
Tensor is_correct(const nets::Network& network, const Tensor& images, const Tensor& labels) {
  const torch::NoGradGuard no_gradient;
  return nets::logits(network, images).argmax(1) == labels;
}

}  // namespace

stats::Interval Accuracy::interval() const { return stats::proportion_interval(correct, n); }

core::Json to_json(const Accuracy& accuracy) {
  const auto interval = accuracy.interval();
  return {{"value", interval.value}, {"low", interval.low}, {"high", interval.high}, {"correct", accuracy.correct}, {"n", accuracy.n}};
}

Accuracy natural_accuracy(const nets::Network& network, const data::Dataset& dataset, const core::Run& run) {
  return count("accuracy", dataset, run, [&](const Tensor& indices) {
    const auto device = nets::device_of(network);
    return is_correct(network, data::pixels(dataset, indices).to(device), data::labels(dataset, indices).to(device));
  });
}

Accuracy robust_accuracy(const nets::Network& network, const data::Dataset& dataset, const PgdOptions& options, std::uint64_t seed,
                         const core::Run& run) {
  return count(fmt::format("accuracy under PGD-{}", options.iterations), dataset, run, [&](const Tensor& indices) {
    const auto device = nets::device_of(network);
    const Tensor images = data::pixels(dataset, indices).to(device), labels = data::labels(dataset, indices).to(device);
    const Tensor noise = start_noise(seed, "evasion start", indices, images.sizes().slice(1)).to(device);
    const Tensor attacked = pgd(network, images, labels, options, noise);
    return is_correct(network, images, labels).logical_and(is_correct(network, attacked, labels));
  });
}

}  // namespace pellucid::evasion
