#include "pellucid/sharing/protocol.h"

namespace pellucid::sharing {

std::string to_string(Arithmetic arithmetic) { return arithmetic == Arithmetic::kFloat64 ? "float64" : "float32"; }

core::Field arithmetic_field(std::string name, Arithmetic& value, std::string help) {
  return core::field(std::move(name), value, std::move(help),
                     {{"float32", Arithmetic::kFloat32}, {"float64", Arithmetic::kFloat64}});
}

std::vector<Tensor> simulate(const Protocol& protocol, const nets::Architecture& architecture,
                             const nets::Leaves& leaves, const Tensor& images, const Loss& loss,
                             std::optional<core::Stream> dropout, bool differentiable) {
  const auto output = nets::evaluate(architecture, leaves.state, images, protocol.mode, dropout);
  return torch::autograd::grad({loss(output.logits)}, leaves.parameters, {}, /*retain_graph=*/differentiable,
                               /*create_graph=*/differentiable);
}

}  // namespace pellucid::sharing
