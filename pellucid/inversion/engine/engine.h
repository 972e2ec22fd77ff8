// The matching engine: the matching loss and its gradient in four sweeps, without a graph, exactly.
#pragma once

#include "pellucid/inversion/problem.h"

#include <memory>
#include <optional>
#include <span>

namespace pellucid::inversion {

/// What `DoubleBackward` computes by differentiating twice, computed by one forward, one backward and one tangent sweep
/// (forward and backward), for several independent trials at once.
///
/// With g(x) the gradient of the client's loss by the parameters and v = dD/dg, the gradient of D by the images is the
/// derivative of the images' own gradient when the parameters move along v: no second graph is needed. v is alpha g* +
/// beta g for every objective but l1, so layers with few positions never form it. docs/engine.md derives it; source of
/// the identity: Pearlmutter 1994, "Fast exact multiplication by the Hessian".
///
/// Arithmetic: float32, sums in float64 (kFloat32); or brain floats in every convolution but the forward sweep's, so
/// that no ReLU changes sides (kMixed). The softmax is float32 with the framework's formulas: `ig` stays the published
/// attack. Accuracy of the gradient against float64, where no ReLU differs: about 1e-6 and 1e-2, see docs/engine.md.
///
/// One engine belongs to one thread at a time; memory is fixed once it is made. A trial's result does not depend on the
/// other trials.
class Engine {
 public:
  /// Why the engine cannot take this network, or nothing where it can.
  [[nodiscard]] static std::optional<std::string> lacks(const nets::Architecture& architecture);

  /// @param trials independent trial images (or batches of them), at least 1.
  /// @param precision kFloat32 or kMixed.
  /// @throws Error(kUsage) if `lacks` names a reason, if the objective is kL1, if precision is kFloat64, or if it is
  ///   kMixed and oneDNN has no brain floats for this processor.
  Engine(const Problem& problem, std::int64_t trials, Precision precision);
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  /// The objective at each trial and its gradient.
  /// @param images (trials * B, C, H, W) float32 in pixels' units, a trial's images one after the other.
  /// @param losses out: the matching loss of each trial.
  /// @return the gradient of each trial's matching loss by its images, in the shape of `images`; valid until the next
  /// call.
  Tensor evaluate(const Tensor& images, std::span<double> losses);

  /// The same with each trial's own labels, as distributions over the classes that may be optimised too.
  /// @param labels (trials * B, classes) float32; rows sum to 1. @pre the functional is the loss.
  struct Gradients {
    Tensor images, labels;  ///< by `images` and by `labels`
  };
  Gradients evaluate(const Tensor& images, const Tensor& labels, std::span<double> losses);

  /// What a layer gave in the last forward sweep, (trials * B, C, H, W) or (trials * B, features), channels first as in
  /// PyTorch: to see on which side of its kinks every value was. A layer whose output a ReLU takes shows the ReLU's.
  [[nodiscard]] Tensor output(std::size_t layer) const;

  /// Multiply-accumulates of the matrix products and convolutions of one `evaluate`, all trials together.
  [[nodiscard]] std::int64_t macs() const;

  /// Bytes that the engine holds: activations, weights in the layouts of the sweeps, gradients.
  [[nodiscard]] std::size_t memory() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Whether this processor computes with brain floats, so that kMixed pays.
[[nodiscard]] bool has_brain_floats();

}  // namespace pellucid::inversion
