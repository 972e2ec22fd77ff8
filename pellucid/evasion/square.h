// Square: a random search that sees only the model's answers, never a gradient.
#pragma once

#include "pellucid/evasion/ball.h"
#include "pellucid/evasion/objective.h"

namespace pellucid::evasion {

struct SquareOptions {
  std::int64_t queries = 5000;  ///< evaluations of each image, the first one included
  double p = 0.8;               ///< the share of the image that the first squares cover
};

[[nodiscard]] core::Fields fields(SquareOptions& options);

/// The share of the image that the square of a query covers: p, halved after the queries 10, 50, 200, 500, 1000, 2000,
/// 4000, 6000 and 8000, whatever the number of queries. Source: Andriushchenko et al. 2020, arXiv:1912.00049,
/// section 3.1, without rescaling, as AutoAttack has it.
[[nodiscard]] double square_share(double p, std::int64_t query);

/// Random search for a low margin z_y - max_{i != y} z_i on the ball's surface; a proposal that lowers it is kept.
///
/// L-infinity: begins with vertical stripes of +-epsilon; a proposal sets a square of each channel to +-epsilon.
/// L2: begins with a grid of pseudo-Gaussian patches; a proposal moves the budget of one square into another.
/// Source: Andriushchenko et al. 2020, algorithms 1 to 3. Deviation: each image has squares of its own, where the code
/// in AutoAttack gives one place to the whole batch. Image i depends on (seed, ids[i]) alone.
/// @param images (B, C, H, W) in [0, 1].   @param labels, ids (B) int64.
/// @return (B, C, H, W), in the ball and in [0, 1]; an image is left alone once the model errs.
[[nodiscard]] Tensor square(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                            const Ball& ball, const SquareOptions& options, std::uint64_t seed);

}  // namespace pellucid::evasion
