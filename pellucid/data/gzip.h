// Unpacks gzip in memory, and finds files that may be packed.
#pragma once

#include "pellucid/core/file.h"

namespace pellucid::data {

/// The most that a packed file may unpack to, in bytes.
inline constexpr std::uint64_t kMaxUnpacked = std::uint64_t{1} << 30;

/// True if `content` begins as gzip data does.
[[nodiscard]] bool is_gzip(std::span<const std::uint8_t> content);

/// The data that `content`, one gzip member (RFC 1952), holds.
/// @param name what to call the content in messages.
/// @throws Error(kData) if it is not gzip data or is damaged (zlib's checksum and length included).
/// @throws Error(kData) if it is truncated, or followed by other bytes.
/// @throws Error(kData) if it holds more than `limit` bytes; no more than twice the limit is allocated.
[[nodiscard]] core::Bytes gunzip(std::span<const std::uint8_t> content, const std::string& name,
                                 std::uint64_t limit = kMaxUnpacked);

/// `path` if that file exists, else `path`.gz if that exists, else an empty path.
[[nodiscard]] std::filesystem::path find_packed_or_not(const std::filesystem::path& path);

}  // namespace pellucid::data
