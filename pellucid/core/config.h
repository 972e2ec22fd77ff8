// TOML at the edge: parsed to JSON once, so that everything inside knows one kind of tree.
#pragma once

#include "pellucid/core/fields.h"

#include <filesystem>
#include <string_view>

namespace pellucid::core {

/// A TOML document as JSON. Dates and times become text; a number keeps the type it was written with.
/// @param name what to call the document in messages.
/// @throws Error(kUsage) if it is not TOML, with line and column.
[[nodiscard]] Json parse_toml(std::string_view text, const std::string& name);

/// The same from a file.
/// @throws Error(kIo) if the file cannot be read.
[[nodiscard]] Json read_toml(const std::filesystem::path& path);

/// A JSON document from a file.
/// @throws Error(kIo) if the file cannot be read.
/// @throws Error(kData) if it is not JSON, with the offset.
[[nodiscard]] Json read_json(const std::filesystem::path& path);

/// JSON text as files hold it: indented, one trailing newline, non-finite numbers as null.
[[nodiscard]] std::string to_text(const Json& json);

}  // namespace pellucid::core
