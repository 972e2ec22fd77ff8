// PNG and JPEG images in and out.
#pragma once

#include "pellucid/core/file.h"
#include "pellucid/core/torch.h"

#include <vector>

namespace pellucid::data {

/// The most pixels (width x height) that an image may have: 4096 x 4096.
inline constexpr std::int64_t kMaxImagePixels = std::int64_t{1} << 24;

/// The most bytes that an image's file may hold.
inline constexpr std::uint64_t kMaxImageFile = std::uint64_t{64} << 20;

/// A PNG or JPEG image as uint8 (C, H, W), C = 1 for grey and 3 for colour, its values as they are stored, which is how
/// torchvision, OpenCV and PIL read them:
/// - 16 bits become 8 by their upper byte; gamma, chromaticities and colour profiles are not applied;
/// - transparency is laid on black: value x alpha / 255, rounded;
/// - a palette is colour; of an animation the still image is read;
/// - CMYK is taken to be inverted, as Adobe writes it, and becomes C x K / 255, M x K / 255, Y x K / 255;
/// - an orientation in EXIF data is not applied: rows and columns are those of the file.
/// @param name what to call the image in messages.
/// @param expected the shape (C, H, W) that it must have, found out before it is unpacked; empty: any.
/// @throws Error(kData) if it is neither PNG nor JPEG (naming what it is, where that can be seen), is damaged or
///     truncated, has more than `kMaxImagePixels`, another shape than `expected`, or needs more than
///     `core::memory_budget`.
[[nodiscard]] Tensor decode_image(std::span<const std::uint8_t> content, const std::string& name,
                                  const std::vector<std::int64_t>& expected = {});

/// The same from a file, of which no more than its first bytes are read if it is no image or too large.
/// @throws Error(kData) if it holds more than `kMaxImageFile`.
/// @throws Error(kIo) if it cannot be read or is not a regular file.
[[nodiscard]] Tensor read_image(const std::filesystem::path& path, const std::vector<std::int64_t>& expected = {});

/// @throws Error(kData) if an image has more than `kMaxImagePixels`.
void check_image_size(std::int64_t width, std::int64_t height, const std::string& name);

/// A PNG file's content from an image (C, H, W), C = 1 or 3: uint8, or floating point in [0, 1], which is clamped (NaN
/// is black) and rounded.
/// @throws Error(kInternal) if the shape or the type is another.
[[nodiscard]] core::Bytes encode_png(const Tensor& image);

}  // namespace pellucid::data
