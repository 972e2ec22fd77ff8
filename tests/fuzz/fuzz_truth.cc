// Files of true images.
#include "pellucid/gradients/truth.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pellucid;
  return read_or_refuse(core::ErrorKind::kModel, [&] {
    const nets::Spec spec{.net = "tiny", .input = {1, 2, 2}, .classes = 2};
    const auto truth = gradients::load_truth(nets::SafeTensorsFile({data, data + size}, "input"), spec);
    if (truth.images.size(0) != truth.labels.size(0) || truth.images.max().item<float>() > 1) std::abort();
  });
}
