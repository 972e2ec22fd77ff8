// The binary version of CIFAR-10.
#pragma once

#include "pellucid/data/dataset.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace pellucid::data {

/// The most images that one CIFAR-10 file may hold, which is as many as each of the published ones does.
inline constexpr std::int64_t kMaxCifarRecords = 10'000;

/// The images (N, 3, 32, 32) in one CIFAR-10 file, records of a label byte and 3 x 32 x 32 pixels, red first; neither
/// name nor classes.
///
/// Gzip data are recognised by their first bytes. Source: Krizhevsky 2009, "Learning multiple layers of features from
/// tiny images" (the CIFAR-10 page, "binary version").
/// @param name what to call the content in messages.
/// @throws Error(kData) if there is no record, the last one is truncated, or there are more than `kMaxCifarRecords`.
/// @throws Error(kData) if a label is not below 10, naming the image.
/// @throws Error(kData) as `ByteStream`.
[[nodiscard]] Dataset parse_cifar10(std::span<const std::uint8_t> content, const std::string& name);

/// The images of `files` in `folder`, one file after the other, each plain or .gz.
/// @throws Error(kData) as `parse_cifar10`, and if a file is missing.
/// @throws Error(kIo) if a file cannot be read.
[[nodiscard]] Dataset read_cifar10(const std::filesystem::path& folder, const std::vector<std::string>& files);

}  // namespace pellucid::data
