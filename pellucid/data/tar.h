// Reads tar archives of plain files.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pellucid::data {

/// A file in an archive: its name there, untrusted, and its content, which points into the archive.
struct TarFile {
  std::string name;
  std::span<const std::uint8_t> content;
};

/// The regular files of a tar archive (POSIX ustar or GNU, names up to 100 bytes); other entries are passed over.
/// @param name what to call the archive in messages.
/// @throws Error(kData) if a header is damaged (its checksum) or the archive is truncated.
[[nodiscard]] std::vector<TarFile> parse_tar(std::span<const std::uint8_t> content, const std::string& name);

}  // namespace pellucid::data
