// PNG and JPEG images in and out.
#pragma once

#include "pellucid/core/file.h"
#include "pellucid/core/torch.h"

namespace pellucid::data {

/// The most pixels (width x height) that an image may have: 4096 x 4096.
inline constexpr std::int64_t kMaxImagePixels = std::int64_t{1} << 24;

/// A PNG or JPEG image as uint8 (C, H, W), C = 1 for grey and 3 for colour (sRGB). Transparency is laid on black; 16
/// bits become 8.
/// @param name what to call the image in messages.
/// @throws Error(kData) if it is neither PNG nor JPEG, is damaged or truncated, or has more than `kMaxImagePixels`.
[[nodiscard]] Tensor decode_image(std::span<const std::uint8_t> content, const std::string& name);

/// The same from a file.
/// @throws Error(kIo) if it cannot be read.
[[nodiscard]] Tensor read_image(const std::filesystem::path& path);

/// A PNG file's content from an image (C, H, W), C = 1 or 3: uint8, or floating point in [0, 1], which is clamped (NaN
/// is black) and rounded.
/// @throws Error(kInternal) if the shape or the type is another.
[[nodiscard]] core::Bytes encode_png(const Tensor& image);

}  // namespace pellucid::data
