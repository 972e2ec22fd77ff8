// How messages name files.
#pragma once

#include "pellucid/core/error.h"
#include "pellucid/core/text.h"

#include <cstring>
#include <filesystem>
#include <string>

namespace pellucid::data {

/// A path as a terminal may show it (`core::printable`); of a long one its end, which says most.
[[nodiscard]] inline std::string shown(const std::filesystem::path& path) {
  constexpr std::size_t kMost = 240;
  const std::string text = path.string();
  if (text.size() <= kMost) return core::printable(text, kMost);
  return "..." + core::printable(std::string_view(text).substr(text.size() - kMost), kMost);
}

/// "FILE: cannot read: No such file or directory", of an `errno`.
[[nodiscard]] inline core::Error io_error(const std::filesystem::path& path, const char* what, int reason) {
  return {core::ErrorKind::kIo, "{}: cannot {}: {}", shown(path), what, std::strerror(reason)};
}

}  // namespace pellucid::data
