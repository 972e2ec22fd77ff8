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
  std::string name;                  ///< "mnist", "cifar10", "patterns", or the folder's name
  std::string source;                ///< where it came from: a path, or "generated"
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

/// An order of all images, int64 (N), of which every beginning is a stratified sample: each class has the share that it
/// has in the whole, as nearly as whole images allow, and within a class every order is as likely. A beginning of n
/// images is part of one of n + 1, so that more images are the same ones and further ones.
/// Random in (seed, class). Source: systematic sampling with a random start within each stratum, Cochran 1977,
/// chapter 8.
[[nodiscard]] Tensor sample_order(const Dataset& dataset, std::uint64_t seed);

/// `n` images drawn as `sample_order` says; the whole data set, in its own order, if `n` is 0 or there are no more.
[[nodiscard]] Dataset sample(const Dataset& dataset, std::int64_t n, std::uint64_t seed);

/// The data set with its labels counted in `classes`, which are matched by name.
/// @param classes the names that a network was trained on, in label order; empty (an old weight file) leaves the labels
///     as they are.
/// @throws Error(kData) if an image is of a class that is not among them, naming it.
[[nodiscard]] Dataset relabelled(Dataset dataset, const std::vector<std::string>& classes);

}  // namespace pellucid::data
