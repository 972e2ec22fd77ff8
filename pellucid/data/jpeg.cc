#include "pellucid/core/error.h"
#include "pellucid/data/decoders.h"

#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

// A progressive file of a few kB can ask for thousands of passes over a large image; real ones have about ten.
constexpr int kMaxScans = 100;

// libjpeg's decoder with its error handling: any complaint jumps back to `attempt`.
struct JpegDecoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf back{};
  char message[JMSG_LENGTH_MAX] = "";

  JpegDecoder() = default;
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;
  ~JpegDecoder() { jpeg_destroy_decompress(&info); }

  // Runs `step`, which may hold nothing that needs a destructor; false if libjpeg complained.
  template <typename Step>
  bool attempt(Step step) {
    if (setjmp(back) != 0) return false;
    step();
    return true;
  }
};

[[noreturn]] void fail(j_common_ptr info) {
  auto* decoder = static_cast<JpegDecoder*>(info->client_data);
  info->err->format_message(info, decoder->message);
  std::longjmp(decoder->back, 1);
}

void take_message(j_common_ptr info, int level) {
  if (level < 0) fail(info);  // below 0: the data are damaged but libjpeg could go on
}

void count_scans(j_common_ptr info) {
  auto* decoder = static_cast<JpegDecoder*>(info->client_data);
  if (decoder->info.input_scan_number <= kMaxScans) return;
  std::snprintf(decoder->message, sizeof decoder->message, "more than %d scans", kMaxScans);
  std::longjmp(decoder->back, 1);
}

// `rows` (H, W, C, M, Y and K), inverted as Adobe writes them, in RGB.
Tensor from_cmyk(const Tensor& rows) {
  const Tensor image = torch::empty({rows.size(0), rows.size(1), 3}, torch::kUInt8);
  const auto* from = rows.data_ptr<std::uint8_t>();
  auto* to = image.data_ptr<std::uint8_t>();
  for (std::int64_t pixel = 0; pixel < rows.size(0) * rows.size(1); ++pixel, from += 4) {
    for (int c = 0; c < 3; ++c) *to++ = static_cast<std::uint8_t>((from[c] * from[3] + 127) / 255);
  }
  return image;
}

}  // namespace

Tensor decode_jpeg(std::span<const std::uint8_t> content, const std::string& name, const Accept& accept) {
  JpegDecoder decoder;
  jpeg_decompress_struct& info = decoder.info;
  info.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = fail;
  decoder.errors.emit_message = take_message;
  decoder.progress.progress_monitor = count_scans;
  info.client_data = &decoder;
  auto require = [&](bool fine) {
    if (!fine) throw Error(ErrorKind::kData, "{}: damaged JPEG: {}", name, decoder.message);
  };

  require(decoder.attempt([&] {
    jpeg_create_decompress(&info);
    info.progress = &decoder.progress;
    jpeg_mem_src(&info, content.data(), content.size());
    jpeg_read_header(&info, TRUE);
    info.out_color_space = info.num_components == 1 ? JCS_GRAYSCALE : info.num_components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_calc_output_dimensions(&info);
  }));
  if (info.num_components != 1 && info.num_components != 3 && info.num_components != 4) {
    throw Error(ErrorKind::kData, "{}: JPEG of {} components, expected 1 (grey), 3 (colour) or 4 (CMYK)", name,
                info.num_components);
  }
  const std::int64_t height = info.output_height, width = info.output_width, stored = info.num_components,
                     channels = std::min<std::int64_t>(stored, 3);
  // A progressive image is held as coefficients of two bytes, too.
  const std::int64_t each = (jpeg_has_multiple_scans(&info) ? 3 : 1) * stored + (stored == channels ? 0 : channels);
  accept(channels, height, width, static_cast<std::uint64_t>(height * width * each));

  const Tensor rows = torch::empty({height, width, stored}, torch::kUInt8);
  std::uint8_t* pixels = rows.data_ptr<std::uint8_t>();
  const std::int64_t stride = rows.stride(0);
  require(decoder.attempt([&] {
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = pixels + info.output_scanline * stride;
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
  }));
  return stored == channels ? rows : from_cmyk(rows);
}

}  // namespace pellucid::data
