// Weight files and updates. What was read must survive being written.
#include "pellucid/nets/safetensors.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pellucid::nets;
  return pellucid::read_or_refuse(pellucid::core::ErrorKind::kModel, [&] {
    const auto written = write_safetensors(parse_safetensors({data, size}, "input"));
    if (write_safetensors(parse_safetensors(written, "again")) != written) std::abort();
  });
}
