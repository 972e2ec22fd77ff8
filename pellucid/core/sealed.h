// JSON files that carry a checksum of their own text, so that a figure that changed on the disk is not shown as a
// result.
#pragma once

#include "pellucid/core/fields.h"

#include <filesystem>

namespace pellucid::core {

/// The document with a last field "checksum": the SHA-256 of the text that `to_text` makes of it while that field is
/// "".
/// @param document an object.
[[nodiscard]] Json sealed(Json document);

/// A JSON document from a file, sealed or (as older versions wrote them) not.
///
/// @throws Error(kIo) if the file cannot be read, or is larger than what memory allows for.
/// @throws Error(kData) if it is not JSON, or nested more than 100 deep.
/// @throws Error(kData) if it is sealed and another text than the one that was sealed: a flipped bit, an edit.
[[nodiscard]] Json read_sealed(const std::filesystem::path& path);

/// The same from a text. @param name what to call it in messages.
[[nodiscard]] Json parse_sealed(std::string_view text, const std::string& name);

}  // namespace pellucid::core
