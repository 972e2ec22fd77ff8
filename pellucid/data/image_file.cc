#include "pellucid/data/image_file.h"

#include "pellucid/core/error.h"
#include "pellucid/data/jpeg.h"

#include <png.h>

#include <algorithm>
#include <array>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

// libpng's simplified interface, with its memory freed.
struct Png {
  png_image image{};

  Png() { image.version = PNG_IMAGE_VERSION; }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;
  ~Png() { png_image_free(&image); }
};

bool begins_with(std::span<const std::uint8_t> content, std::span<const std::uint8_t> signature) {
  return content.size() >= signature.size() && std::equal(signature.begin(), signature.end(), content.begin());
}

Tensor decode_png(std::span<const std::uint8_t> content, const std::string& name) {
  Png png;
  auto require = [&](int fine) {
    if (!fine) throw Error(ErrorKind::kData, "{}: damaged PNG: {}", name, png.image.message);
  };
  require(png_image_begin_read_from_memory(&png.image, content.data(), content.size()));
  check_image_size(png.image.width, png.image.height, name);
  const bool colour = png.image.format & PNG_FORMAT_FLAG_COLOR;
  png.image.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  const Tensor image = torch::empty({png.image.height, png.image.width, colour ? 3 : 1}, torch::kUInt8);
  constexpr png_color kBlack{};
  require(png_image_finish_read(&png.image, &kBlack, image.data_ptr<std::uint8_t>(), 0, nullptr));
  return image;
}

}  // namespace

void check_image_size(std::int64_t width, std::int64_t height, const std::string& name) {
  if (width * height <= kMaxImagePixels) return;
  throw Error(ErrorKind::kData, "{}: size, got {} x {} pixels, expected at most {} in all", name, width, height,
              kMaxImagePixels);
}

Tensor decode_image(std::span<const std::uint8_t> content, const std::string& name) {
  constexpr std::array<std::uint8_t, 4> kPng{0x89, 'P', 'N', 'G'};
  constexpr std::array<std::uint8_t, 3> kJpeg{0xff, 0xd8, 0xff};
  auto planes_first = [](const Tensor& image) { return image.permute({2, 0, 1}).contiguous(); };
  if (begins_with(content, kPng)) return planes_first(decode_png(content, name));
  if (begins_with(content, kJpeg)) return planes_first(decode_jpeg(content, name));
  throw Error(ErrorKind::kData, "{}: byte 0: neither a PNG nor a JPEG image", name);
}

Tensor read_image(const std::filesystem::path& path) { return decode_image(core::read_file(path), path.string()); }

core::Bytes encode_png(const Tensor& image) {
  const bool bytes = image.scalar_type() == torch::kUInt8;
  if (image.dim() != 3 || (image.size(0) != 1 && image.size(0) != 3) || image.numel() == 0 ||
      !(bytes || image.is_floating_point())) {
    throw Error(ErrorKind::kInternal, "PNG: got {} of shape {}, expected uint8 or floats of shape (1 or 3, H, W)",
                c10::toString(image.scalar_type()), c10::str(image.sizes()));
  }
  Tensor rows = image.detach().cpu().permute({1, 2, 0});
  if (!bytes) rows = rows.nan_to_num(0).clamp(0, 1).mul(255).round().to(torch::kUInt8);
  rows = rows.contiguous();

  Png png;
  png.image.height = static_cast<png_uint_32>(rows.size(0));
  png.image.width = static_cast<png_uint_32>(rows.size(1));
  png.image.format = rows.size(2) == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png.image);
  core::Bytes content(size);
  if (!png_image_write_to_memory(&png.image, content.data(), &size, 0, rows.data_ptr<std::uint8_t>(), 0, nullptr)) {
    throw Error(ErrorKind::kInternal, "PNG: {}", png.image.message);
  }
  content.resize(size);
  return content;
}

}  // namespace pellucid::data
