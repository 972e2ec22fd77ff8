#include "pellucid/nets/autoencoder.h"

#include "pellucid/core/error.h"

namespace pellucid::nets {

void require_autoencoder(const Architecture& architecture) {
  const auto& spec = architecture.spec;
  const auto pixels = c10::multiply_integers(spec.input);
  const auto output = output_shapes(architecture).back();
  if (output == std::vector<std::int64_t>{pixels}) return;
  throw core::Error(
      core::ErrorKind::kUsage,
      "{}: outputs: got [{}], expected [{}], one for each value of a {} image, as `pellucid train --method "
      "autoencoder` makes them",
      spec.net, fmt::join(output, ", "), pixels, fmt::join(spec.input, " x "));
}

Tensor reconstruction_errors(const Tensor& outputs, const Tensor& images) {
  return (outputs - images.flatten(1)).square().mean(1);
}

}  // namespace pellucid::nets
