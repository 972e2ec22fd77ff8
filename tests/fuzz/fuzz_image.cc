// PNG and JPEG images. What was read must survive being written as PNG.
#include "pellucid/data/image_file.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pellucid::read_or_refuse(pellucid::core::ErrorKind::kData, [&] {
    const auto image = pellucid::data::decode_image({data, size}, "input");
    if (image.numel() > 1 << 16) return;  // to write a large one takes long
    if (!torch::equal(pellucid::data::decode_image(pellucid::data::encode_png(image), "again"), image)) std::abort();
  });
}
