#include "pellucid/data/dataset.h"

#include "pellucid/core/error.h"
#include "pellucid/core/random.h"
#include "pellucid/core/text.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace pellucid::data {
namespace {

void check_indices(const Dataset& dataset, const Tensor& indices) {
  if (indices.numel() == 0) return;
  const auto low = indices.min().item<std::int64_t>();
  const auto high = indices.max().item<std::int64_t>();
  if (low >= 0 && high < dataset.size()) return;
  throw core::Error(core::ErrorKind::kUsage, "{}: image number, got {}, expected 0 to {}", dataset.name,
                    low < 0 ? low : high, dataset.size() - 1);
}

}  // namespace

std::string to_string(Split split) { return split == Split::kTrain ? "train" : "test"; }

Tensor pixels(const Dataset& dataset, const Tensor& indices) {
  check_indices(dataset, indices);
  return dataset.images.index_select(0, indices).to(torch::kFloat32).div_(255);
}

Tensor labels(const Dataset& dataset, const Tensor& indices) {
  check_indices(dataset, indices);
  return dataset.labels.index_select(0, indices);
}

std::pair<std::vector<double>, std::vector<double>> channel_statistics(const Dataset& dataset) {
  std::vector<double> mean, deviation;
  for (std::int64_t c = 0; c < dataset.images.size(1);
       ++c) {  // over a histogram: exact, and no copy of the images as numbers
    const Tensor counts = torch::bincount(dataset.images.select(1, c).flatten(), {}, 256).to(torch::kFloat64);
    const Tensor values = torch::arange(256, torch::kFloat64) / 255, share = counts / counts.sum();
    mean.push_back((share * values).sum().item<double>());
    deviation.push_back((share * (values - mean.back()).square()).sum().sqrt().item<double>());
    if (deviation.back() == 0) deviation.back() = 1;
  }
  return {mean, deviation};
}

Tensor sample_order(const Dataset& dataset, std::uint64_t seed) {
  std::vector<std::vector<std::int64_t>> members(
      dataset.size() == 0 ? 0 : static_cast<std::size_t>(dataset.labels.max().item<std::int64_t>()) + 1);
  const auto* label = dataset.labels.data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < dataset.size(); ++i) members.at(static_cast<std::size_t>(label[i])).push_back(i);

  // The k-th image of a class of size m stands at (k + u) / m, with one u for the class.
  std::vector<std::pair<double, std::int64_t>> places;
  for (std::size_t c = 0; c < members.size(); ++c) {
    core::Stream stream(seed, "sample", c);
    const double start = stream.uniform();
    const auto size = static_cast<std::int64_t>(members[c].size());
    const auto order = core::permutation(stream, size);
    for (std::int64_t k = 0; k < size; ++k) {
      places.emplace_back((static_cast<double>(k) + start) / static_cast<double>(size),
                          members[c][static_cast<std::size_t>(order[static_cast<std::size_t>(k)])]);
    }
  }
  std::sort(places.begin(), places.end());
  Tensor order = torch::empty({dataset.size()}, torch::kInt64);
  std::transform(places.begin(), places.end(), order.data_ptr<std::int64_t>(),
                 [](const auto& place) { return place.second; });
  return order;
}

Dataset sample(const Dataset& dataset, std::int64_t n, std::uint64_t seed) {
  if (n <= 0 || n >= dataset.size()) return dataset;
  const Tensor indices = sample_order(dataset, seed).slice(0, 0, n);
  Dataset part = dataset;
  part.images = dataset.images.index_select(0, indices);
  part.labels = dataset.labels.index_select(0, indices);
  return part;
}

Dataset relabelled(Dataset dataset, const std::vector<std::string>& classes) {
  if (classes.empty() || dataset.classes == classes) return dataset;
  Tensor renamed = torch::full({static_cast<std::int64_t>(dataset.classes.size())}, -1, torch::kInt64);
  for (std::size_t c = 0; c < dataset.classes.size(); ++c) {
    const auto found = std::find(classes.begin(), classes.end(), dataset.classes[c]);
    if (found != classes.end()) renamed[static_cast<std::int64_t>(c)] = found - classes.begin();
  }
  const Tensor labels = renamed.index_select(0, dataset.labels);
  if (const Tensor unknown = labels.lt(0).nonzero(); unknown.numel() > 0) {
    std::vector<std::string> known;
    for (const auto& name : classes) known.push_back(core::quoted(name));
    if (known.size() > 12) known = {known.begin(), known.begin() + 12}, known.push_back("...");
    const auto name = dataset.classes.at(static_cast<std::size_t>(dataset.labels[unknown[0][0]].item<std::int64_t>()));
    throw core::Error(
        core::ErrorKind::kData,
        "{}: class {}: the network does not know it, expected one of {}; take the images out, or train with them",
        dataset.name, core::quoted(name), fmt::join(known, ", "));
  }
  dataset.labels = labels;
  dataset.classes = classes;
  return dataset;
}

}  // namespace pellucid::data
