// What a client did before it shared: a value that the client and the attacker both execute, so that they cannot drift
// apart.
#pragma once

#include "pellucid/sharing/mechanisms.h"

#include <functional>
#include <optional>

namespace pellucid::sharing {

/// What a client computes and shares in.
enum class Arithmetic { kFloat32, kFloat64 };

/// "float32" or "float64".
[[nodiscard]] std::string to_string(Arithmetic arithmetic);

/// The field of an options struct that holds one.
[[nodiscard]] core::Field arithmetic_field(std::string name, Arithmetic& value, std::string help);

/// How an update comes about, as server and client agreed: the gradient of a mean loss over one batch.
struct Protocol {
  std::int64_t batch_size = 1;                ///< images behind the update
  nets::Mode mode = nets::Mode::kEvaluation;  ///< how the client evaluates the network
  Arithmetic arithmetic = Arithmetic::kFloat32;
  std::vector<MechanismUse> mechanisms = {};  ///< applied to what `simulate` gives, in order
};

/// A loss of a batch by its logits, (B, classes).
using Loss = std::function<Tensor(const Tensor& logits)>;

/// What the client computes, before any mechanism: the gradient of the loss by each parameter, in the order of
/// `nets::parameter_names`. Nothing is mutated.
///
/// @param leaves the network's parameters (`nets::with_gradients`), of any type and on any device.
/// @param images (B, C, H, W), likewise.
/// @param dropout the client's randomness, in training mode; an attacker has none, and takes dropout as the identity.
/// @param differentiable whether the result can be differentiated again, by the images too.
[[nodiscard]] std::vector<Tensor> simulate(const Protocol& protocol, const nets::Architecture& architecture,
                                           const nets::Leaves& leaves, const Tensor& images, const Loss& loss,
                                           std::optional<core::Stream> dropout, bool differentiable);

}  // namespace pellucid::sharing
