// Whole files in and out. What is written appears complete or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pellucid::core {

using Bytes = std::vector<std::uint8_t>;

/// The content of a file.
/// @throws Error(kIo) if it cannot be opened or read, naming the path and the system's reason.
/// @throws Error(kIo) if it holds more than `limit` bytes.
[[nodiscard]] Bytes read_file(const std::filesystem::path& path, std::uint64_t limit = std::uint64_t{8} << 30);
[[nodiscard]] std::string read_text(const std::filesystem::path& path);

/// Writes a file so that a reader sees the old content or the new, whole: a temporary file beside it, fsync, rename,
/// fsync of the folder. Missing folders are made.
/// @throws Error(kIo) if any step fails (a full disk included); what stood at `path` is untouched then.
void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> content);
void write_file(const std::filesystem::path& path, std::string_view content);

/// The SHA-256 of the bytes, in lower-case hexadecimal.
[[nodiscard]] std::string sha256(std::span<const std::uint8_t> content);
[[nodiscard]] std::string sha256(std::string_view content);

/// Base64 with padding (RFC 4648).
[[nodiscard]] std::string base64(std::span<const std::uint8_t> content);

}  // namespace pellucid::core
