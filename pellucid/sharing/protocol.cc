#include "pellucid/sharing/protocol.h"

namespace pellucid::sharing {

std::vector<Tensor> simulate(const Protocol& protocol, const nets::Architecture& architecture,
                             const nets::Leaves& leaves, const Tensor& images, const Loss& loss,
                             std::optional<core::Stream> dropout, bool differentiable) {
  const auto output = nets::evaluate(architecture, leaves.state, images, protocol.mode, dropout);
  return torch::autograd::grad({loss(output.logits)}, leaves.parameters, {}, /*retain_graph=*/differentiable,
                               /*create_graph=*/differentiable);
}

}  // namespace pellucid::sharing
