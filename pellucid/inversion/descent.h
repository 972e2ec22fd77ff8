// The descent of several trials side by side: matching gradient, priors, signed Adam, box; in operations on tensors
// alone, so that a CUDA device runs an iteration as one recorded graph.
#pragma once

#include "pellucid/inversion/reconstruct.h"
#include "pellucid/inversion/tensor_engine.h"

#include <functional>
#include <span>
#include <string>

namespace pellucid::inversion {

/// The units in which the descent moves: those of the network's normalisation, or pixels where it has none.
class Units {
 public:
  explicit Units(const nets::Spec& spec, const torch::TensorOptions& options = torch::kFloat32);

  [[nodiscard]] Tensor to_pixels(const Tensor& z) const { return z * deviation_ + mean_; }
  [[nodiscard]] Tensor from_pixels(const Tensor& x) const { return (x - mean_) / deviation_; }
  [[nodiscard]] const Tensor& deviation() const { return deviation_; }

 private:
  Tensor mean_, deviation_;  // (1, C, 1, 1), or (1, 1, 1, 1)
};

/// What computes the matching loss and its gradient.
struct Evaluation {
  std::string method;                                 ///< what it is called in results
  std::function<Evaluated(const Tensor& pixels)> at;  ///< on the pixels' device
  bool reads_back = false;  ///< reads values back from the device, so that it cannot be recorded
};

/// Runs the descent that `run_trials` describes.
///
/// @param z (trials * B, C, H, W), the starts in `units`, of the type and on the device where everything is computed.
/// @param trials out: what each came to. `images` stays undefined where not even the start could be evaluated.
/// @throws Error(kStopped) between iterations if a stop was asked for.
void descend(const Evaluation& matching, const Units& units, const Tensor& z, const InversionOptions& options,
             std::span<Trial> trials);

}  // namespace pellucid::inversion
