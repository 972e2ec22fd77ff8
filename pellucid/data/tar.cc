#include "pellucid/data/tar.h"

#include "pellucid/core/error.h"

#include <algorithm>
#include <numeric>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

constexpr std::size_t kBlock = 512;

// A field of octal digits, padded with spaces or ended by a zero byte.
std::uint64_t octal(std::span<const std::uint8_t> field) {
  std::uint64_t value = 0;
  for (const std::uint8_t digit : field) {
    if (digit == ' ') continue;
    if (digit < '0' || digit > '7') break;
    value = value * 8 + (digit - '0');
  }
  return value;
}

}  // namespace

std::vector<TarFile> parse_tar(std::span<const std::uint8_t> content, const std::string& name) {
  std::vector<TarFile> files;
  for (std::size_t at = 0;;) {
    if (content.size() - at < kBlock) throw Error(ErrorKind::kData, "{}: byte {}: truncated tar archive", name, at);
    const auto header = content.subspan(at, kBlock);
    if (std::all_of(header.begin(), header.end(), [](std::uint8_t byte) { return byte == 0; })) return files;

    // The checksum counts its own eight bytes as spaces.
    const auto stated = header.subspan(148, 8);
    const std::uint64_t sum = std::accumulate(header.begin(), header.end(), std::uint64_t{8 * ' '}) -
                              std::accumulate(stated.begin(), stated.end(), std::uint64_t{0});
    if (sum != octal(stated)) {
      throw Error(ErrorKind::kData, "{}: byte {}: tar header's checksum, got {}, expected {}", name, at + 148,
                  octal(stated), sum);
    }
    at += kBlock;
    const std::uint64_t size = octal(header.subspan(124, 12));
    if (size > content.size() - at) {
      throw Error(ErrorKind::kData, "{}: byte {}: truncated tar archive, got {} bytes, expected {}", name, at,
                  content.size() - at, size);
    }
    const char type = static_cast<char>(header[156]);
    if (type == '0' || type == '\0') {
      const auto* text = reinterpret_cast<const char*>(header.data());
      files.push_back({std::string(text, std::find(text, text + 100, '\0')), content.subspan(at, size)});
    }
    at += std::min<std::size_t>((size + kBlock - 1) / kBlock * kBlock, content.size() - at);
  }
}

}  // namespace pellucid::data
