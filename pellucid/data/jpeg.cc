#include "pellucid/data/jpeg.h"

#include "pellucid/core/error.h"

#include <jpeglib.h>

#include <csetjmp>
#include <cstdio>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

// A progressive file of a few kB can ask for thousands of passes over a large image; real ones have about ten.
constexpr int kMaxScans = 100;

// libjpeg's decoder with its error handling: any complaint jumps back to `attempt`.
struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf back{};
  char message[JMSG_LENGTH_MAX] = "";

  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&info); }

  // Runs `step`, which may hold nothing that needs a destructor; false if libjpeg complained.
  template <typename Step>
  bool attempt(Step step) {
    if (setjmp(back) != 0) return false;
    step();
    return true;
  }
};

[[noreturn]] void fail(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  info->err->format_message(info, decoder->message);
  std::longjmp(decoder->back, 1);
}

void take_message(j_common_ptr info, int level) {
  if (level < 0) fail(info);  // below 0: the data are damaged but libjpeg could go on
}

void count_scans(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  if (decoder->info.input_scan_number <= kMaxScans) return;
  std::snprintf(decoder->message, sizeof decoder->message, "more than %d scans", kMaxScans);
  std::longjmp(decoder->back, 1);
}

}  // namespace

Tensor decode_jpeg(std::span<const std::uint8_t> content, const std::string& name) {
  Decoder decoder;
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
    info.out_color_space = info.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_calc_output_dimensions(&info);
  }));
  check_image_size(info.output_width, info.output_height, name);

  const Tensor image = torch::empty({info.output_height, info.output_width, info.out_color_components}, torch::kUInt8);
  std::uint8_t* pixels = image.data_ptr<std::uint8_t>();
  const std::int64_t stride = image.stride(0);
  require(decoder.attempt([&] {
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = pixels + info.output_scanline * stride;
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
  }));
  return image;
}

}  // namespace pellucid::data
