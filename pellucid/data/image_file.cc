#include "pellucid/data/image_file.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"
#include "pellucid/data/byte_stream.h"
#include "pellucid/data/decoders.h"
#include "pellucid/data/shown.h"

#include <png.h>

#include <algorithm>
#include <string_view>

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

constexpr std::size_t kHead = 32;  // bytes that say what a file is

enum class Format { kPng, kJpeg };

// What a file is by its first bytes.
// @throws Error(kData) if it is neither PNG nor JPEG.
Format format_of(std::span<const std::uint8_t> head, const std::string& name) {
  using namespace std::string_view_literals;
  const std::string_view text(reinterpret_cast<const char*>(head.data()), std::min(head.size(), kHead));
  if (text.starts_with("\x89PNG"sv)) return Format::kPng;
  if (text.starts_with("\xff\xd8\xff"sv)) return Format::kJpeg;
  const auto other = text.starts_with("GIF8"sv)                                                         ? "GIF"
                     : text.starts_with("RIFF"sv) && text.size() >= 12 && text.substr(8, 4) == "WEBP"sv ? "WebP"
                     : text.starts_with("II*\0"sv) || text.starts_with("MM\0*"sv)                       ? "TIFF"
                     : text.starts_with("BM"sv)                                                         ? "BMP"
                                                                                                        : nullptr;
  if (other != nullptr)
    throw Error(ErrorKind::kData, "{}: byte 0: neither a PNG nor a JPEG image, but {}; convert it", name, other);
  if (text.starts_with("version https://git-lfs"sv)) {
    throw Error(ErrorKind::kData,
                "{}: byte 0: neither a PNG nor a JPEG image, but the pointer that Git LFS puts in its place; get it "
                "with `git lfs pull`",
                name);
  }
  throw Error(ErrorKind::kData, "{}: byte 0: neither a PNG nor a JPEG image", name);
}

std::string describe(std::int64_t channels, std::int64_t height, std::int64_t width) {
  return fmt::format("{} x {} pixels of {} channels", width, height, channels);
}

}  // namespace

void check_image_size(std::int64_t width, std::int64_t height, const std::string& name) {
  if (width <= kMaxImagePixels / std::max<std::int64_t>(height, 1)) return;
  throw Error(ErrorKind::kData, "{}: size, got {} x {} pixels, expected at most {} in all", name, width, height,
              kMaxImagePixels);
}

Tensor decode_image(std::span<const std::uint8_t> content, const std::string& name,
                    const std::vector<std::int64_t>& expected) {
  const Accept accept = [&](std::int64_t channels, std::int64_t height, std::int64_t width, std::uint64_t memory) {
    check_image_size(width, height, name);
    if (!expected.empty() && expected != std::vector{channels, height, width}) {
      throw Error(ErrorKind::kData, "{}: got {}, expected {} as the other images have", name,
                  describe(channels, height, width), describe(expected.at(0), expected.at(1), expected.at(2)));
    }
    core::require_memory(memory, fmt::format("{}: {}", name, describe(channels, height, width)));
  };
  const auto decode = format_of(content, name) == Format::kPng ? decode_png : decode_jpeg;
  return decode(content, name, accept).permute({2, 0, 1}).contiguous();
}

Tensor read_image(const std::filesystem::path& path, const std::vector<std::int64_t>& expected) {
  InputFile file(path);
  core::Bytes content(std::min<std::uint64_t>(file.size(), kHead));
  content.resize(file.read(content));
  (void)format_of(content, shown(path));
  if (file.size() > kMaxImageFile) {
    throw Error(ErrorKind::kData, "{}: size, got {}, expected at most {} of an image", shown(path),
                core::format_bytes(file.size()), core::format_bytes(kMaxImageFile));
  }
  const std::size_t have = content.size();
  content.resize(std::max<std::uint64_t>(file.size(), have));
  content.resize(have + file.read(std::span(content).subspan(have)));
  return decode_image(content, shown(path), expected);
}

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
