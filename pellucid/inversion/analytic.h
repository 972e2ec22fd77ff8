// Images read off the gradient of a linear layer, without a descent.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/trial.h"
#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// What a linear layer took, read off the update of one image exactly: its weight's gradient is d h^T and its bias's is
/// d, so h = (grad W)^T d / |d|^2, least squares over the rows. Source: Phong et al. 2017, section 3; Geiping et al.
/// 2020, proposition 3.1.
/// @return (in) float64. @throws Error(kModel) if the bias's gradient is zero everywhere.
[[nodiscard]] Tensor linear_input(const sharing::Update& update, const std::string& layer);

/// A linear layer's input and how far it can be trusted.
struct LinearInput {
  Tensor input;  ///< (in) float64
  double noise;  ///< the expected share of it, of |h|^2, that is noise; above 1 it says nothing
};

/// The same where the client changed its update: the gradients of weight and bias together, d (h, 1)^T and noise of one
/// size on each value, are fitted by total least squares, the likeliest h under normal noise. What is left over is the
/// size of the noise, whatever it comes of. Source: Golub and Van Loan 1980, An Analysis of the Total Least Squares
/// Problem.
/// @param sparse zeros of the weight's gradient were left out by the client: each value is fitted to the others of its
///   column by plain least squares, and is 0 where there are none.
/// @pre the bias's gradient is not zero everywhere.
[[nodiscard]] LinearInput noisy_linear_input(const sharing::Update& update, const std::string& layer, bool sparse);

/// Why `analytic` does not apply: the batch is not one image, or something other than the normalisation and a
/// flattening stands before the first linear layer.
[[nodiscard]] std::optional<std::string> analytic_lacks(const sharing::Observation& observation, const Attack& attack);

/// The image that `linear_input` gives for the first layer, the same for every restart. @pre `analytic_lacks` names
/// nothing. @throws Error(kModel) as `linear_input`.
[[nodiscard]] std::vector<Trial> analytic(const sharing::Observation& observation, const Attack& attack,
                                          std::int64_t first, std::int64_t count, const torch::Device& device);

}  // namespace pellucid::inversion
