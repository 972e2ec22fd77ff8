#include "pellucid/data/tar.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

constexpr std::size_t kBlock = 512;

// A field of octal digits, padded with spaces or ended by a zero byte; nothing if it is something else.
std::optional<std::uint64_t> octal(std::span<const std::uint8_t> field) {
  std::uint64_t value = 0;
  for (const std::uint8_t digit : field) {
    if (digit == ' ') continue;
    if (digit == '\0') break;
    if (digit < '0' || digit > '7') return std::nullopt;
    value = value * 8 + (digit - '0');
  }
  return value;
}

}  // namespace

void TarReader::skip(std::uint64_t count) {
  std::array<std::uint8_t, 1 << 14> unread;
  while (count > 0) {
    const std::size_t want = std::min<std::uint64_t>(count, unread.size());
    const std::size_t have = archive_.read(std::span(unread).first(want));
    count -= have;
    if (have < want) {
      throw Error(ErrorKind::kData, "{}: byte {}: truncated tar archive, got {} bytes fewer than it says",
                  archive_.name(), archive_.position(), count);
    }
  }
}

std::optional<std::string> TarReader::next() {
  for (;;) {
    skip(size_ + padding_);
    size_ = padding_ = 0;
    const std::uint64_t at = archive_.position();
    std::array<std::uint8_t, kBlock> header{};
    if (archive_.read(header) < kBlock)
      throw Error(ErrorKind::kData, "{}: byte {}: truncated tar archive", archive_.name(), at);
    if (std::all_of(header.begin(), header.end(), [](std::uint8_t byte) { return byte == 0; })) return std::nullopt;

    // The checksum counts its own eight bytes as spaces.
    const auto stated = std::span(header).subspan(148, 8);
    const std::uint64_t sum = std::accumulate(header.begin(), header.end(), std::uint64_t{8 * ' '}) -
                              std::accumulate(stated.begin(), stated.end(), std::uint64_t{0});
    if (sum != octal(stated)) {
      throw Error(ErrorKind::kData, "{}: byte {}: tar header's checksum, got {}, expected {}", archive_.name(),
                  at + 148, octal(stated).value_or(0), sum);
    }
    const auto size = octal(std::span(header).subspan(124, 12));
    if (!size) throw Error(ErrorKind::kData, "{}: byte {}: size, expected octal digits", archive_.name(), at + 124);
    if (*size > kMaxArchive || archive_.position() + *size > kMaxArchive) {
      throw Error(ErrorKind::kData, "{}: byte {}: size, got {} bytes, expected at most {} in all", archive_.name(),
                  at + 124, *size, kMaxArchive);
    }
    if (*size > archive_.most_left()) {
      throw Error(ErrorKind::kData, "{}: byte {}: truncated tar archive, got at most {} bytes, expected {}",
                  archive_.name(), at + kBlock, archive_.most_left(), *size);
    }
    size_ = *size;
    padding_ = (kBlock - size_ % kBlock) % kBlock;
    const char type = static_cast<char>(header[156]);
    if (type == '0' || type == '\0')
      return std::string(header.begin(), std::find(header.begin(), header.begin() + 100, '\0'));
  }
}

core::Bytes TarReader::content() {
  core::require_memory(size_, fmt::format("{}: a file of {} bytes in it", archive_.name(), size_));
  core::Bytes content(size_);
  const std::uint64_t have = archive_.read(content);
  if (have < size_)
    throw Error(ErrorKind::kData, "{}: byte {}: truncated tar archive, got {} bytes, expected {}", archive_.name(),
                archive_.position(), have, size_);
  size_ = 0;
  return content;
}

}  // namespace pellucid::data
