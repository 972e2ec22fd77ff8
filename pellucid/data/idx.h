// The IDX format of MNIST and its kin, plain or gzip.
#pragma once

#include "pellucid/data/dataset.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace pellucid::data {

/// The array in one IDX file: uint8, of the one to four dimensions that the file states.
///
/// Gzip data are recognised by their first bytes and unpacked no further than the dimensions say. Source: LeCun, Cortes
/// and Burges, "The MNIST database".
/// @param name what to call the content in messages.
/// @throws Error(kData) if the magic number or the element type is wrong, or there are no or too many dimensions.
/// @throws Error(kData) if a dimension is 0, or they amount to more than a GiB or than `core::memory_budget`.
/// @throws Error(kData) if there are fewer or more bytes than the dimensions say.
/// @throws Error(kData) as `ByteStream`.
[[nodiscard]] Tensor parse_idx(std::span<const std::uint8_t> content, const std::string& name);

/// The same from a file.
/// @throws Error(kIo) if it cannot be read.
[[nodiscard]] Tensor read_idx(const std::filesystem::path& path);

/// One split of MNIST, or of a set in its form: grey images (N, 1, H, W) of ten classes; neither name nor classes.
/// What the two files say of themselves is compared before either is unpacked.
/// @param files the names in `folder` of the images' and the labels' file, each as `find_file` finds it.
/// @throws Error(kData) as `parse_idx`; if a file is missing or its dimensions are not those of images or labels; if an
///     image has more than `kMaxImagePixels`; if images and labels differ in number; if a label is not below 10, naming
///     the image.
/// @throws Error(kIo) if a file cannot be read.
[[nodiscard]] Dataset read_idx_pair(const std::filesystem::path& folder, const std::vector<std::string>& files);

}  // namespace pellucid::data
