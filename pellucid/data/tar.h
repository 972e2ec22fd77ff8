// Reads tar archives of plain files.
#pragma once

#include "pellucid/core/file.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

struct archive;
struct archive_entry;

namespace pellucid::data {

/// The most that the archive of a data set may hold in all, unpacked, in bytes: CIFAR-10's holds 184 million.
inline constexpr std::uint64_t kMaxArchive = std::uint64_t{1} << 28;

/// The regular files of a tar archive, plain or gzip, one after the other; other entries are passed over. Read by
/// libarchive, which does not check gzip's own checksum: the archive is one whose SHA-256 is known.
class TarReader {
 public:
  /// @param archive must outlive it.   @param name what to call it in messages.
  TarReader(std::span<const std::uint8_t> archive, std::string name);

  /// Goes on to the next file; its name in the archive, untrusted, or nothing after the last.
  /// @throws Error(kData) if it is no tar archive, a header is damaged or the archive is truncated.
  /// @throws Error(kData) if the archive holds more than `kMaxArchive`.
  [[nodiscard]] std::optional<std::string> next();

  /// What the file holds that `next` came to; to be asked once.
  /// @throws Error(kData) if the archive is truncated or claims more than `core::memory_budget`.
  /// @throws Error(kData) if the file has holes (GNU sparse).
  [[nodiscard]] core::Bytes content();

 private:
  void require(bool sound) const;

  std::string name_;
  std::unique_ptr<archive, int (*)(archive*)> archive_;
  archive_entry* entry_ = nullptr;
};

}  // namespace pellucid::data
