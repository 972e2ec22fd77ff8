#include "pellucid/core/sealed.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/memory.h"

#include <algorithm>

namespace pellucid::core {
namespace {

constexpr std::uint64_t kBytesOfMemory = 16;  // that a byte of JSON text may come to: "[0,0,0,..."

bool is_digest(const Json& value) {
  const auto* text = value.get_ptr<const std::string*>();
  const auto hexadecimal = [](char c) { return ('0' <= c && c <= '9') || ('a' <= c && c <= 'f'); };
  return text != nullptr && text->size() == 64 && std::all_of(text->begin(), text->end(), hexadecimal);
}

}  // namespace

Json sealed(Json document) {
  document.erase("checksum");
  document["checksum"] = "";
  document["checksum"] = sha256(to_text(document));
  return document;
}

Json parse_sealed(std::string_view text, const std::string& name) {
  Json json = parse_json(text, name);
  if (!json.is_object() || json.empty()) return json;
  // The seal is known by its name or by its look, so that damage to one of the two does not undo it.
  const auto last = std::prev(json.end());
  if (!json.contains("checksum") && !is_digest(last.value())) return json;
  if (last.key() == "checksum" && is_digest(last.value())) {
    const auto& digest = last.value().get_ref<const std::string&>();
    if (const auto at = text.rfind(digest); at != std::string_view::npos) {
      std::string blank(text);
      if (sha256(blank.erase(at, digest.size())) == digest) return json;
    }
  }
  throw Error(ErrorKind::kData,
              "{}: checksum: the file is not as it was written; run the command that wrote it again, or, if it was "
              "edited on purpose, take the checksum out",
              name);
}

Json read_sealed(const std::filesystem::path& path) {
  const Bytes content = read_file(path, memory_budget() / kBytesOfMemory);
  return parse_sealed({reinterpret_cast<const char*>(content.data()), content.size()}, path.string());
}

}  // namespace pellucid::core
