// CIFAR-10 files, plain and gzip.
#include "pellucid/data/cifar.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pellucid::read_or_refuse(pellucid::core::ErrorKind::kData, [&] {
    const auto dataset = pellucid::data::parse_cifar10({data, size}, "input");
    if (dataset.labels.max().item<std::int64_t>() > 9) std::abort();
  });
}
