// The decoders of the two image formats, for image_file.cc alone: rows of pixels as the file stores them.
#pragma once

#include "pellucid/core/torch.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace pellucid::data {

/// What is told of an image before its pixels are unpacked; it throws if the image is not wanted. `channels` are those
/// of what comes out, 1 or 3, and `memory` the bytes that unpacking takes.
using Accept =
    std::function<void(std::int64_t channels, std::int64_t height, std::int64_t width, std::uint64_t memory)>;

/// A PNG image as `decode_image` gives it, but (H, W, C). What libpng merely warns of is passed over, for it concerns
/// what is not read.
[[nodiscard]] Tensor decode_png(std::span<const std::uint8_t> content, const std::string& name, const Accept& accept);

/// A JPEG image, likewise. What libjpeg merely warns of is damage here.
[[nodiscard]] Tensor decode_jpeg(std::span<const std::uint8_t> content, const std::string& name, const Accept& accept);

}  // namespace pellucid::data
