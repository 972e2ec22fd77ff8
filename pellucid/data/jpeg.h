// JPEG decoding, for image_file.cc alone.
#pragma once

#include "pellucid/core/torch.h"

#include <cstdint>
#include <span>
#include <string>

namespace pellucid::data {

/// A JPEG image as `decode_image` gives it, but (H, W, C). What libjpeg merely warns of is damage here.
[[nodiscard]] Tensor decode_jpeg(std::span<const std::uint8_t> content, const std::string& name);

/// @throws Error(kData) if an image has more than `kMaxImagePixels`.
void check_image_size(std::int64_t width, std::int64_t height, const std::string& name);

}  // namespace pellucid::data
