// A labelled set of images, as every layer below takes it.
#pragma once

#include "pellucid/core/torch.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pellucid::data {

/// Labelled images of one size. Tensors are on the CPU and contiguous.
struct Dataset {
  std::string name;                  ///< "mnist", "cifar10", "digits", or the folder's name
  std::string source;                ///< where it came from: a path, or "generated, seed 0"
  Tensor images;                     ///< uint8 (N, C, H, W)
  Tensor labels;                     ///< int64 (N), each from 0 to classes.size() - 1
  std::vector<std::string> classes;  ///< class names, in label order

  /// The number of images N.
  [[nodiscard]] std::int64_t size() const { return images.size(0); }
};

enum class Split { kTrain, kTest };

/// "train" or "test".
[[nodiscard]] std::string to_string(Split split);

/// The images at `indices` (int64 (n), any order, repeats allowed) as float32 (n, C, H, W) in [0, 1].
/// @throws Error(kUsage) if an index is not that of an image.
[[nodiscard]] Tensor pixels(const Dataset& dataset, const Tensor& indices);

/// The labels at `indices` (int64 (n)) as int64 (n).
/// @throws Error(kUsage) if an index is not that of an image.
[[nodiscard]] Tensor labels(const Dataset& dataset, const Tensor& indices);

/// The mean and the standard deviation of each channel over all pixels, in units of [0, 1]. A deviation of 0 becomes 1.
[[nodiscard]] std::pair<std::vector<double>, std::vector<double>> channel_statistics(const Dataset& dataset);

/// The first `n` images, all of them if there are fewer. Shares memory with `dataset`.
[[nodiscard]] Dataset first(const Dataset& dataset, std::int64_t n);

}  // namespace pellucid::data
