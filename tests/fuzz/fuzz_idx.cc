// IDX files, plain and gzip.
#include "pellucid/data/idx.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pellucid::read_or_refuse(pellucid::core::ErrorKind::kData, [&] {
    if (pellucid::data::parse_idx({data, size}, "input").numel() < 1) std::abort();
  });
}
