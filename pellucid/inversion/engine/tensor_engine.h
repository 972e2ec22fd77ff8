// The matching engine over libtorch's operations: the four sweeps of engine.h on any device and in any floating type.
#pragma once

#include "pellucid/inversion/candidate.h"
#include "pellucid/inversion/problem.h"

#include <memory>
#include <optional>
#include <span>

namespace pellucid::inversion {

/// Checks that a device can compute in a precision.
/// @throws Error(kUsage) if it is kTf32 on another device than CUDA.
void check_precision(Precision precision, const torch::Device& device);

/// What `Engine` computes, by libtorch's operations over all trials at once: one matrix product, sum or copy for all of
/// them. So it runs on a CUDA device, in float64 too, and takes layers that `Engine` does not.
///
/// Convolutions are products of a matrix of windows, which every sweep of a layer shares; the gradient of a weight is
/// formed for each trial, or used through Gram matrices where that costs less (docs/engine.md). Values lie as (images,
/// height, width, channels).
///
/// Arithmetic: kFloat64; kFloat32, strictly; kTf32 and kMixed, where the products of all but the forward sweep take
/// factors rounded to TF32 or to brain floats, so that no ReLU changes sides. Sums over a tensor that make up the loss
/// are float64.
///
/// Nothing is read back from the device and no work depends on values, so that an evaluation can be recorded
/// (core/recording.h).
class TensorEngine {
 public:
  /// Why the engine cannot take this network, or nothing where it can.
  [[nodiscard]] static std::optional<std::string> lacks(const nets::Architecture& architecture);

  /// @param trials independent trial images (or batches of them), at least 1.
  /// @param device where it computes.
  /// @throws Error(kUsage) if `lacks` names a reason.
  /// @throws Error(kUsage) if the objective is kL1.
  /// @throws Error(kUsage) as `check_precision`.
  TensorEngine(const Problem& problem, std::int64_t trials, Precision precision,
               const torch::Device& device = torch::kCPU);
  ~TensorEngine();
  TensorEngine(TensorEngine&&) noexcept;
  TensorEngine& operator=(TensorEngine&&) noexcept;

  /// The objective at each trial and its gradient. The results are new tensors on the engine's device.
  /// @param images (trials * B, C, H, W) in pixels' units, on the engine's device and of its type, a trial's images one
  /// after the other.
  /// @param labels (trials * B, classes) likewise, distributions, by which the objective is differentiated too;
  /// undefined: the problem's. @pre the functional is the loss where they are given.
  [[nodiscard]] Evaluated evaluate(const Tensor& images, const Tensor& labels = {});

  /// The same for images from anywhere, with the losses on the host. @param losses out: of each trial.
  Tensor evaluate(const Tensor& images, std::span<double> losses);

  /// What a layer gave in the last forward sweep, (trials * B, C, H, W) or (trials * B, features), channels first as in
  /// PyTorch, on the cpu.
  [[nodiscard]] Tensor output(std::size_t layer) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pellucid::inversion
