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

/// The content of a file, to its end: of a pipe or a terminal too, for as long as somebody writes to it. A path that
/// names a descriptor of this process (/dev/stdin, /dev/fd/63) is read from there. A device is read up to 1 MiB.
/// @throws Error(kIo) if it cannot be opened or read, naming the path and the system's reason.
/// @throws Error(kIo) if it holds more than `limit` bytes, before they are allocated.
/// @throws Error(kIo) if it is a named pipe that nobody opens to write for two seconds.
/// @throws Error(kData) if it does not fit the memory budget (core/memory.h).
/// @throws Error(kStopped) if a stop is asked for while it waits.
[[nodiscard]] Bytes read_file(const std::filesystem::path& path, std::uint64_t limit = std::uint64_t{8} << 30);
[[nodiscard]] std::string read_text(const std::filesystem::path& path, std::uint64_t limit = std::uint64_t{1} << 30);

/// Writes a file so that a reader sees the old content or the new, whole: a temporary file beside it, fsync, rename,
/// fsync of the folder. Missing folders are made. A symbolic link stays, and what it leads to is written.
///
/// What stands there and is no regular file (a device, a pipe) is written to; so is a path that names a descriptor of
/// this process (/dev/stdout, /dev/fd/3).
///
/// The first write to a folder removes the temporary files that killed processes left there: ".pellucid-*.tmp" on which
/// no process holds a lock.
///
/// @param mode a new file's permissions, less the umask: 0600 keeps it from others. An old one keeps its own.
/// @throws Error(kIo) if any step fails (a full disk included); what stood at `path` is untouched then, unless only the
/// last step, the fsync of the folder, failed.
/// @throws Error(kIo) if it is a named pipe that nobody opens to read for two seconds.
/// @throws Error(kStopped) if a stop is asked for while a pipe is full.
void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> content, unsigned mode = 0666);
void write_file(const std::filesystem::path& path, std::string_view content, unsigned mode = 0666);

/// The SHA-256 of the bytes, in lower-case hexadecimal.
[[nodiscard]] std::string sha256(std::span<const std::uint8_t> content);
[[nodiscard]] std::string sha256(std::string_view content);

/// Base64 with padding (RFC 4648).
[[nodiscard]] std::string base64(std::span<const std::uint8_t> content);

}  // namespace pellucid::core
