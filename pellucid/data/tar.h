// Reads tar archives of plain files.
#pragma once

#include "pellucid/core/file.h"
#include "pellucid/data/byte_stream.h"

#include <cstdint>
#include <optional>
#include <string>

namespace pellucid::data {

/// The most that the archive of a data set may hold in all, in bytes: CIFAR-10's holds 184 million.
inline constexpr std::uint64_t kMaxArchive = std::uint64_t{1} << 28;

/// The regular files of a tar archive (POSIX ustar or GNU, names up to 100 bytes), plain or gzip, one after the other;
/// other entries are passed over.
class TarReader {
 public:
  explicit TarReader(ByteStream archive) : archive_(std::move(archive)) {}

  /// Goes on to the next file; its name in the archive, untrusted, or nothing after the last.
  /// @throws Error(kData) if a header is damaged (its checksum, its size) or the archive is truncated.
  /// @throws Error(kData) if the archive holds more than `kMaxArchive`.
  /// @throws Error(kData), Error(kIo) as `ByteStream`.
  [[nodiscard]] std::optional<std::string> next();

  /// What the file holds that `next` came to; to be asked once.
  /// @throws Error(kData) if the archive is truncated or claims more than `core::memory_budget`.
  [[nodiscard]] core::Bytes content();

 private:
  void skip(std::uint64_t count);

  ByteStream archive_;
  std::uint64_t size_ = 0;     // of the content that comes next
  std::uint64_t padding_ = 0;  // after it
};

}  // namespace pellucid::data
