#include "pellucid/core/error.h"
#include "pellucid/data/decoders.h"

#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

// libpng's decoder with its error handling: an error jumps back to `attempt`.
struct PngDecoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::span<const std::uint8_t> left;
  std::jmp_buf back{};
  char message[200] = "";

  PngDecoder() = default;
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;
  ~PngDecoder() { png_destroy_read_struct(&png, &info, nullptr); }

  // Runs `step`, which may hold nothing that needs a destructor; false if libpng complained.
  template <typename Step>
  bool attempt(Step step) {
    if (setjmp(back) != 0) return false;
    step();
    return true;
  }
};

[[noreturn]] void fail(png_structp png, png_const_charp message) {
  auto* decoder = static_cast<PngDecoder*>(png_get_error_ptr(png));
  std::snprintf(decoder->message, sizeof decoder->message, "%s", message);
  std::longjmp(decoder->back, 1);
}

void pass_over(png_structp, png_const_charp) {}

void give(png_structp png, png_bytep out, std::size_t count) {
  auto* decoder = static_cast<PngDecoder*>(png_get_io_ptr(png));
  if (count > decoder->left.size()) png_error(png, "truncated");
  std::memcpy(out, decoder->left.data(), count);
  decoder->left = decoder->left.subspan(count);
}

// `rows` (H, W, C and alpha) on black.
Tensor without_alpha(const Tensor& rows) {
  const std::int64_t channels = rows.size(2) - 1;
  const Tensor image = torch::empty({rows.size(0), rows.size(1), channels}, torch::kUInt8);
  const auto* from = rows.data_ptr<std::uint8_t>();
  auto* to = image.data_ptr<std::uint8_t>();
  for (std::int64_t pixel = 0; pixel < rows.size(0) * rows.size(1); ++pixel, from += channels + 1) {
    const int alpha = from[channels];
    for (std::int64_t c = 0; c < channels; ++c) *to++ = static_cast<std::uint8_t>((from[c] * alpha + 127) / 255);
  }
  return image;
}

}  // namespace

Tensor decode_png(std::span<const std::uint8_t> content, const std::string& name, const Accept& accept) {
  PngDecoder decoder;
  decoder.left = content;
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, fail, pass_over);
  if (decoder.png != nullptr) decoder.info = png_create_info_struct(decoder.png);
  if (decoder.info == nullptr) throw Error(ErrorKind::kInternal, "libpng cannot start");
  auto require = [&](bool fine) {
    if (!fine) throw Error(ErrorKind::kData, "{}: damaged PNG: {}", name, decoder.message);
  };

  int passes = 1;
  require(decoder.attempt([&] {
    png_structp png = decoder.png;
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);  // gamma, profiles and texts
    png_set_read_fn(png, &decoder, give);
    png_read_info(png, decoder.info);
    png_set_expand(png);
    png_set_strip_16(png);
    passes = png_set_interlace_handling(png);
    png_read_update_info(png, decoder.info);
  }));
  const std::int64_t height = png_get_image_height(decoder.png, decoder.info),
                     width = png_get_image_width(decoder.png, decoder.info);
  const std::int64_t stored = png_get_channels(decoder.png, decoder.info), channels = stored >= 3 ? 3 : 1;
  accept(channels, height, width, static_cast<std::uint64_t>(height * width) * (stored + channels));

  const Tensor rows = torch::empty({height, width, stored}, torch::kUInt8);
  std::uint8_t* pixels = rows.data_ptr<std::uint8_t>();
  const std::int64_t stride = rows.stride(0);
  require(decoder.attempt([&] {
    for (int pass = 0; pass < passes; ++pass) {
      for (std::int64_t y = 0; y < height; ++y) png_read_row(decoder.png, pixels + y * stride, nullptr);
    }
    png_read_end(decoder.png, nullptr);
  }));
  return stored == channels ? rows : without_alpha(rows);
}

}  // namespace pellucid::data
