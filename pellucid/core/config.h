// TOML at the edge: parsed to JSON once, so that everything inside knows one kind of tree.
#pragma once

#include "pellucid/core/fields.h"

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace pellucid::core {

/// A TOML document as JSON. Dates and times become text; a number keeps the type it was written with.
/// @param name what to call the document in messages.
/// @throws Error(kUsage) if it is not TOML, with line and column.
[[nodiscard]] Json parse_toml(std::string_view text, const std::string& name);

/// The same from a file of at most 16 MiB.
/// @throws Error(kIo) if the file cannot be read or is larger.
[[nodiscard]] Json read_toml(const std::filesystem::path& path);

/// A JSON document. It takes time in proportion to its length, whatever it holds.
/// @param name what to call it in messages.
/// @throws Error(kData) if it is not JSON, with the offset.
/// @throws Error(kData) if it is nested more than 100 deep, or an object has more than 1,000 keys.
[[nodiscard]] Json parse_json(std::string_view text, const std::string& name);

/// The same from a file.
/// @throws Error(kIo) if it cannot be read.
[[nodiscard]] Json read_json(const std::filesystem::path& path);

/// A file of settings and where each stands in it, for messages.
struct Config {
  Json values;
  std::map<std::string, std::size_t> lines = {};  ///< by path, "attack.epsilon"; none where the file is JSON
};

/// Settings from a file of at most 16 MiB, TOML or JSON; JSON is told by its first character, '{'.
/// @throws Error(kIo) if the file cannot be read or is larger.
/// @throws Error(kUsage) if it is neither, with line and column.
[[nodiscard]] Config read_config(const std::filesystem::path& path);

/// JSON text as files hold it: indented, one trailing newline, non-finite numbers as null.
[[nodiscard]] std::string to_text(const Json& json);

}  // namespace pellucid::core
