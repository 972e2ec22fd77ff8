// Writes two networks and, beside each, the logits of a formula image: python_loads.py must find the same.
#include "pellucid/core/config.h"
#include "pellucid/core/file.h"
#include "pellucid/core/tensor.h"
#include "pellucid/nets/weights.h"

#include "tests/nets/formula.h"

int main(int argc, char** argv) {
  using namespace pellucid;
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  const nets::Spec specs[] = {{.net = "small_cnn"}, {.net = "preact_resnet18", .input = {3, 32, 32}}};
  for (const auto& spec : specs) {
    const nets::Network network = nets::formula_network(spec);
    nets::save_network(network, folder / (spec.net + ".safetensors"));
    const core::Json logits = core::to_doubles(nets::logits(network, nets::formula_images(spec, 1)));
    core::write_file(folder / (spec.net + ".json"), core::to_text(logits));
  }
}
