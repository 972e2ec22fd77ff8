// The solver that separates a batch at a linear layer as independent sources.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/isolate.h"
#include "pellucid/inversion/trial.h"
#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// Independent components of rows that mix them: of `signals` (m, s), the rows are centred and whitened to n
/// components, of which independent component analysis finds a rotation that maximises the mean log cosh's distance
/// from a Gaussian's (negentropy).
///
/// Source: Hyvarinen 1999, "Fast and robust fixed-point algorithms for independent component analysis", with symmetric
/// decorrelation. @param seed of the rotation to begin with.
/// @return (n, m) float64: what takes the signals to the components, up to their order, sign and scale.
/// @pre n is at most m and s. @throws Error(kStopped) if a stop was asked for.
[[nodiscard]] Tensor independent_components(const Tensor& signals, std::int64_t n, std::uint64_t seed);

/// Why `cpa` does not apply: local training, or no linear layer has more units and inputs than the batch has images.
[[nodiscard]] std::optional<std::string> cpa_lacks(const sharing::Observation& observation, const Attack& attack);

/// The gradient [dW | db] of a linear layer mixes what it took of each image, whatever follows it: the inputs are
/// independent components of its rows, and the bias's column, where each input has a 1, gives their sign and scale.
/// These are solved for with the network and what the layer can take (`agree`) and inverted (`invert`, both
/// layer_inputs.h). The layer is the first that is wide enough. The images come in order of how little is mixed into
/// them; those below a tenth are isolated. Where the layer takes the image itself all are given, else those that are
/// isolated are matched.
///
/// Source: Cocktail Party Attack, Kariyappa et al. 2023, arXiv:2209.05578. Deviates: fixed-point iterations with exact
/// decorrelation for gradient ascent with a penalty; of images, the components are those of the differences between
/// neighbouring pixels, which are less alike than images are; sign and scale by the bias; the network's part.
/// @pre `cpa_lacks` names nothing.
/// @throws Error(kStopped) if a stop was asked for.
[[nodiscard]] std::vector<Trial> cpa(const sharing::Observation& observation, const Attack& attack, std::int64_t first,
                                     std::int64_t count, const torch::Device& device);

}  // namespace pellucid::inversion
