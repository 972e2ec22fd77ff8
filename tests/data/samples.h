// Small valid files in the formats that the data layer reads, for its tests to damage.
#pragma once

#include "pellucid/core/file.h"
#include "pellucid/core/torch.h"

#include <fmt/format.h>
#include <jpeglib.h>
#include <zlib.h>

#include <cstring>
#include <string>
#include <vector>

namespace pellucid::data {

inline core::Bytes bytes(const std::string& text) { return {text.begin(), text.end()}; }

inline core::Bytes gzip(const core::Bytes& content) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  core::Bytes packed(deflateBound(&stream, content.size()));
  stream.next_in = const_cast<Bytef*>(content.data());
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

/// An IDX file of unsigned bytes.
inline core::Bytes idx(const std::vector<std::uint32_t>& shape, const core::Bytes& values) {
  core::Bytes content{0, 0, 8, static_cast<std::uint8_t>(shape.size())};
  for (const std::uint32_t extent : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) content.push_back(static_cast<std::uint8_t>(extent >> shift));
  }
  content.insert(content.end(), values.begin(), values.end());
  return content;
}

/// CIFAR-10 records of the given labels; the pixels count up.
inline core::Bytes cifar10(const core::Bytes& labels) {
  core::Bytes content;
  for (const std::uint8_t label : labels) {
    content.push_back(label);
    for (int i = 0; i < 3072; ++i) content.push_back(static_cast<std::uint8_t>(i % 251));
  }
  return content;
}

/// A uint8 image (channels, height, width) whose neighbouring pixels differ little.
inline Tensor smooth_image(std::int64_t channels, std::int64_t height, std::int64_t width) {
  const Tensor ramp = torch::arange(height).view({1, height, 1}) * 3 + torch::arange(width).view({1, 1, width}) * 5;
  return (ramp + 40 * torch::arange(channels).view({channels, 1, 1})).to(torch::kUInt8);
}

/// The passes of a JPEG file: one, the usual ten or so of a progressive file, or 127 (of a grey image alone).
enum class Scans { kOne, kUsual, kMany };

/// A JPEG file of the best quality, without chroma subsampling, from a uint8 image: (1, H, W) grey, (3, H, W) colour or
/// (4, H, W) CMYK.
inline core::Bytes jpeg(const Tensor& image, Scans scans = Scans::kOne) {
  const Tensor rows = image.permute({1, 2, 0}).contiguous();
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  std::uint8_t* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_height = static_cast<JDIMENSION>(rows.size(0));
  info.image_width = static_cast<JDIMENSION>(rows.size(1));
  info.input_components = static_cast<int>(rows.size(2));
  info.in_color_space = rows.size(2) == 4 ? JCS_CMYK : rows.size(2) == 3 ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 100, TRUE);
  info.comp_info[0].h_samp_factor = info.comp_info[0].v_samp_factor = 1;
  if (scans == Scans::kUsual) jpeg_simple_progression(&info);
  std::vector<jpeg_scan_info> script{{.comps_in_scan = 1, .component_index = {0}, .Ss = 0, .Se = 0, .Ah = 0, .Al = 0}};
  for (int k = 1; k < 64; ++k) {  // each coefficient but its last bit, then that bit
    script.push_back({.comps_in_scan = 1, .component_index = {0}, .Ss = k, .Se = k, .Ah = 0, .Al = 1});
    script.push_back({.comps_in_scan = 1, .component_index = {0}, .Ss = k, .Se = k, .Ah = 1, .Al = 0});
  }
  if (scans == Scans::kMany) {
    info.scan_info = script.data();
    info.num_scans = static_cast<int>(script.size());
  }
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = rows.data_ptr<std::uint8_t>() + info.next_scanline * rows.stride(0);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  core::Bytes content(memory, memory + size);
  jpeg_destroy_compress(&info);
  std::free(memory);
  return content;
}

/// One entry of a tar archive: a header and the padded content.
inline core::Bytes tar_entry(const std::string& name, const std::string& content, char type = '0') {
  core::Bytes block(512 + (content.size() + 511) / 512 * 512);
  std::memcpy(block.data(), name.data(), name.size());
  const auto size = fmt::format("{:011o}", content.size());
  std::memcpy(block.data() + 124, size.data(), size.size());
  block[156] = static_cast<std::uint8_t>(type);
  unsigned sum = 8 * ' ';
  for (int i = 0; i < 512; ++i) sum += block[i];
  const auto checksum = fmt::format("{:06o}", sum);
  std::memcpy(block.data() + 148, checksum.data(), checksum.size());
  block[155] = ' ';
  std::memcpy(block.data() + 512, content.data(), content.size());
  return block;
}

/// An archive of the entries.
inline core::Bytes tar(const std::vector<core::Bytes>& entries) {
  core::Bytes archive;
  for (const auto& entry : entries) archive.insert(archive.end(), entry.begin(), entry.end());
  archive.resize(archive.size() + 1024);
  return archive;
}

}  // namespace pellucid::data
