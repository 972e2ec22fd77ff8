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

/// What a client trains before it shares: plain SGD over its images, as in federated averaging.
///
/// Source: McMahan et al. 2017, arXiv:1602.05629, algorithm 1.
struct LocalTraining {
  std::int64_t epochs = 0;       ///< over all its images; 0: it does not train
  std::int64_t step_images = 0;  ///< images of a step; the last of an epoch takes what is left; 0: all
  double learning_rate = 0.01;
  bool hidden = false;  ///< from the server: an update then has no more of the rest than that there were steps

  bool operator==(const LocalTraining&) const = default;
};

/// Its settings, as flags, keys and in files: local_epochs, step_images, learning_rate, hide_schedule.
[[nodiscard]] core::Fields fields(LocalTraining& local);

/// How an update comes about, as server and client agreed: the gradient of a mean loss over one batch, or the change of
/// the weights by local training on it; or the average of several clients' updates, of which the server sees no other.
struct Protocol {
  std::int64_t batch_size = 1;  ///< images behind the update, of all clients
  std::int64_t clients = 1;     ///< each with an equal share of the images, in order
  LocalTraining local = {};
  nets::Mode mode = nets::Mode::kEvaluation;  ///< how the client evaluates the network
  /// Batch norm's new running statistics are shared too, in training mode, as federated averaging does.
  bool share_statistics = false;
  Arithmetic arithmetic = Arithmetic::kFloat32;
  std::vector<MechanismUse> mechanisms = {};  ///< applied to each client's, in order; not to statistics

  bool operator==(const Protocol&) const = default;
};

/// @throws Error(kUsage) if the images cannot be shared equally among the clients.
void require_equal_shares(const Protocol& protocol);

/// The steps of local training, of each client; 0 where there is none.
[[nodiscard]] std::int64_t steps(const Protocol& protocol);

/// What an update is a multiple of a gradient by, on average over the steps: the learning rate times their number. 1
/// where the client does not train, or these are not known.
[[nodiscard]] double gradients_in(const Protocol& protocol);

/// A mean loss over some images of a batch. @param logits (n, classes). @param which (n) int64: their places in the
/// batch.
using Loss = std::function<Tensor(const Tensor& logits, const Tensor& which)>;

struct Simulated {
  /// Of each parameter in the order of `nets::parameter_names`: the gradient of the loss, or with local training the
  /// weights before less those after.
  std::vector<Tensor> gradient;
  nets::TensorMap running;  ///< training mode: batch norm's running statistics and counters after it; else empty
};

/// What each client computes, before any mechanism. Nothing is mutated.
///
/// @param leaves the network's parameters (`nets::with_gradients`), of any type and on any device.
/// @param images (B, C, H, W), likewise: of all clients.
/// @param randomness the client's: of dropout in training mode, and of the order of the images in each epoch of local
///   training. An attacker has none: it takes dropout as the identity, and the images in the same order in each epoch.
/// @param differentiable whether the result can be differentiated again, by the images too.
/// @throws Error(kUsage) as `require_equal_shares`.
[[nodiscard]] std::vector<Simulated> simulate(const Protocol& protocol, const nets::Architecture& architecture,
                                              const nets::Leaves& leaves, const Tensor& images, const Loss& loss,
                                              std::optional<core::Stream> randomness, bool differentiable);

}  // namespace pellucid::sharing
