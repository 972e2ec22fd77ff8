// Where the trials of an attack stand, and what is said of it: the types that its parts share.
#pragma once

#include "pellucid/nets/network.h"

#include <cstdint>
#include <functional>

namespace pellucid::inversion {

/// The units in which a descent moves: those of the network's normalisation, or pixels where it has none.
class Units {
 public:
  explicit Units(const nets::Spec& spec, const torch::TensorOptions& options = torch::kFloat32);

  [[nodiscard]] Tensor to_pixels(const Tensor& z) const { return z * deviation_ + mean_; }
  [[nodiscard]] Tensor from_pixels(const Tensor& x) const { return (x - mean_) / deviation_; }
  [[nodiscard]] const Tensor& deviation() const { return deviation_; }

 private:
  Tensor mean_, deviation_;  // (1, C, 1, 1), or (1, 1, 1, 1)
};

/// Where several trials stand, each with a batch of B images, one after the other.
struct Candidate {
  std::int64_t trials;
  Tensor pixels;        ///< (trials * B, C, H, W)
  Tensor standardised;  ///< the same in `Units`: what the descent moves
};

/// A loss of each trial and its gradient.
struct Evaluated {
  Tensor losses;          ///< (trials) float64
  Tensor gradient;        ///< of each trial's loss by its images, in the shape of the images
  Tensor by_labels = {};  ///< likewise by its labels, where they were given
};

/// Adds what it says of a candidate to `sum`, where the gradient is by `Candidate::standardised`. It runs on the
/// candidate's device and reads nothing back from it, so that an iteration can be recorded (core/recording.h).
using Term = std::function<void(const Candidate& candidate, Evaluated& sum)>;

}  // namespace pellucid::inversion
