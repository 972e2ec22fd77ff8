// The gradient that one step of training follows: the method's loss on a batch, by the weights.
#pragma once

#include "pellucid/core/processes.h"
#include "pellucid/training/options.h"

namespace pellucid::training {

/// What is trained: the network, and with `dual_norm` the batch norms that clean images pass instead of the network's.
struct Model {
  nets::Network network;
  nets::TensorMap clean_norms = {};  ///< every entry of each batch norm, under its name in the network; or empty
};

/// A freshly initialised model.
[[nodiscard]] Model initial_model(const nets::Architecture& architecture, const TrainingOptions& options);

/// The network that clean images pass: the same weights with the batch norms of the clean images.
[[nodiscard]] nets::Network clean_network(const Model& model);

/// The tensors that are trained, in the network's order of parameters, the clean batch norms' behind them.
struct Parameters {
  std::vector<std::string> names;  ///< of the clean batch norms: "clean/" before the name
  std::vector<Tensor> tensors;     ///< they share their memory with the model
};
[[nodiscard]] Parameters parameters(const Model& model);

/// A batch, or the part of it that this process holds.
struct Batch {
  Tensor images;          ///< (B, C, H, W) in [0, 1], augmented
  Tensor labels;          ///< (B) int64
  Tensor ids;             ///< (B) int64: the numbers of the images in the whole run: what the randomness depends on
  nets::Part part;        ///< which images of the batch they are
  double epoch = 0;       ///< epochs done, fractions included
  std::int64_t step = 0;  ///< steps done

  /// Images of the whole batch.
  [[nodiscard]] std::int64_t size() const { return part.batch > 0 ? part.batch : images.size(0); }
};

/// Which images of a batch are attacked, (n) bool: a share of them, rounded down, spread evenly.
[[nodiscard]] Tensor attacked(std::int64_t n, double share);
/// Likewise in private training, where an example must not depend on which others were drawn: each with that
/// probability, independently. @param ids (n) int64.
[[nodiscard]] Tensor attacked_privately(const Tensor& ids, const TrainingOptions& options);

/// The images with the attacked ones replaced by what the inner attack of the method finds near them.
[[nodiscard]] Tensor inner_attack(const nets::Network& network, const Batch& batch, const TrainingOptions& options);

struct Gradient {
  std::vector<Tensor> parameters;  ///< of the mean loss of the whole batch, in the order of `parameters`
  Tensor images;                   ///< (B, C, H, W), `kFree` only: by the points that were trained on
  double loss = 0;                 ///< the mean loss of the whole batch
  std::int64_t correct =
      0;  ///< right answers in the whole batch, at the points that were trained on; 0 of an autoencoder
  nets::TensorMap running, clean_running;  ///< batch norm's statistics after the batch
};

/// The gradient of the method's loss at the points.
///
/// With adversarial weight perturbation (Wu et al. 2020, arXiv:2004.05884, eq. 10 and 12) it is taken at w + v, where
/// v = awp * |w| * g / |g| for each weight of more than one dimension and g is the gradient at w. Their code finds g's
/// direction by a step of SGD on a copy, and adds weight decay at w + v; we add it at w.
///
/// With `clip_norm` it is the private one (Abadi et al. 2016, algorithm 1): the sum of the examples' clipped gradients
/// (`clipped_sum`) and normal noise, over the expected size of the batch. An example's passes are summed before they
/// are clipped, so that its images under attack cost no privacy of their own: they depend on nothing but it and the
/// weights. A batch may be empty: the noise remains. Random: the noise of each tensor depends on (seed, its name, the
/// step). It is drawn in floating point from a seeded stream, which measures what a guarantee costs and is not itself a
/// guarantee (Mironov 2012).
///
/// @param points (B, C, H, W), as from `inner_attack`: what stands for the attacked images.
[[nodiscard]] Gradient gradient(const Model& model, const Batch& batch, const Tensor& points,
                                const TrainingOptions& options, const core::Processes& processes);

}  // namespace pellucid::training
