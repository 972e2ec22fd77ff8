#include "pellucid/data/dataset.h"

#include "pellucid/core/error.h"

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
  for (std::int64_t c = 0; c < dataset.images.size(1); ++c) {  // over a histogram: exact, and no copy of the images as numbers
    const Tensor counts = torch::bincount(dataset.images.select(1, c).flatten().to(torch::kInt64), {}, 256).to(torch::kFloat64);
    const Tensor values = torch::arange(256, torch::kFloat64) / 255, share = counts / counts.sum();
    mean.push_back((share * values).sum().item<double>());
    deviation.push_back((share * (values - mean.back()).square()).sum().sqrt().item<double>());
    if (deviation.back() == 0) deviation.back() = 1;
  }
  return {mean, deviation};
}

Dataset first(const Dataset& dataset, std::int64_t n) {
  const auto count = std::clamp<std::int64_t>(n, 0, dataset.size());
  Dataset part = dataset;
  part.images = dataset.images.narrow(0, 0, count);
  part.labels = dataset.labels.narrow(0, 0, count);
  return part;
}

}  // namespace pellucid::data
