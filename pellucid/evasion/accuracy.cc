#include "pellucid/evasion/accuracy.h"

#include "pellucid/core/stop.h"

#include <algorithm>

namespace pellucid::evasion {
namespace {

constexpr std::int64_t kBatch = 250;

// What a network made of some images, (B) bool each.
struct Answers {
  Tensor right, undefined;

  [[nodiscard]] Answers operator&&(const Answers& other) const {
    return {.right = right.logical_and(other.right), .undefined = undefined.logical_or(other.undefined)};
  }
};

// Adds up over the batches what `answers` says of their images.
template <typename Answer>
Accuracy count(const std::string& task, const data::Dataset& dataset, const core::Run& run, Answer answers) {
  Accuracy accuracy{.correct = 0, .n = dataset.size()};
  for (std::int64_t begin = 0; begin < accuracy.n; begin += kBatch) {
    core::throw_if_stopped();
    run.report({.task = task, .done = begin, .total = accuracy.n, .unit = "images"});
    const Tensor indices = torch::arange(begin, std::min(begin + kBatch, accuracy.n));
    const Answers here = answers(indices);
    accuracy.correct += here.right.sum().template item<std::int64_t>();
    accuracy.undefined += here.undefined.sum().template item<std::int64_t>();
  }
  run.report({.task = task, .done = accuracy.n, .total = accuracy.n, .unit = "images"});
  return accuracy;
}

Answers answer(const nets::Network& network, const Tensor& images, const Tensor& labels) {
  const torch::NoGradGuard no_gradient;
  const Tensor logits = nets::logits(network, images);
  return {.right = errs(logits, labels).logical_not(), .undefined = logits.isfinite().all(1).logical_not()};
}

}  // namespace

stats::Interval Accuracy::interval() const { return stats::proportion_interval(correct, n); }

core::Json to_json(const Accuracy& accuracy) {
  const auto interval = accuracy.interval();
  core::Json json = {{"value", interval.value},
                     {"low", interval.low},
                     {"high", interval.high},
                     {"correct", accuracy.correct},
                     {"n", accuracy.n}};
  if (accuracy.undefined > 0) json["undefined"] = accuracy.undefined;
  return json;
}

Commonest commonest_class(const data::Dataset& dataset) {
  const Tensor counts = torch::bincount(dataset.labels);
  const auto most = counts.argmax().item<std::int64_t>();
  return {.name = dataset.classes.at(static_cast<std::size_t>(most)),
          .accuracy = {.correct = counts[most].item<std::int64_t>(), .n = dataset.size()}};
}

Accuracy natural_accuracy(const nets::Network& network, const data::Dataset& dataset, const core::Run& run) {
  return count("accuracy", dataset, run, [&](const Tensor& indices) {
    const auto device = nets::device_of(network);
    return answer(network, data::pixels(dataset, indices).to(device), data::labels(dataset, indices).to(device));
  });
}

Accuracy robust_accuracy(const nets::Network& network, const data::Dataset& dataset, const PgdOptions& options,
                         std::uint64_t seed, const core::Run& run) {
  return count(fmt::format("accuracy under PGD-{}", options.iterations), dataset, run, [&](const Tensor& indices) {
    const auto device = nets::device_of(network);
    const Tensor images = data::pixels(dataset, indices).to(device), labels = data::labels(dataset, indices).to(device);
    const Tensor noise = start_noise(seed, "evasion start", indices, images.sizes().slice(1)).to(device);
    const Tensor attacked = pgd(network, images, labels, options, noise);
    return answer(network, images, labels) && answer(network, attacked, labels);
  });
}

}  // namespace pellucid::evasion
