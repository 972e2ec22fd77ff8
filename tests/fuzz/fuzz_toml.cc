// TOML documents.
#include "pellucid/core/config.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pellucid::read_or_refuse(pellucid::core::ErrorKind::kUsage, [&] {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    (void)pellucid::core::to_text(pellucid::core::parse_toml(text, "input"));
  });
}
