// What Gaussian noise leaves of an image in a shared update: its Fisher information, and the error that no estimate of
// the image can go below.
#pragma once

#include "pellucid/sharing/protocol.h"

#include <functional>

namespace pellucid::sharing {

/// F v for a direction v of one image's pixels: both (d) float64, d = C * H * W.
using FisherProduct = std::function<Tensor(const Tensor& direction)>;

/// The Fisher information F = J^T J / sigma^2 of what a client shares about one image's pixels: J is the derivative of
/// the update before the noise by these pixels, sigma the deviation of the mechanism `gaussian`. Clipping before the
/// noise is differentiated too, norm and all. Mechanisms after the noise see nothing else of the image, so that they
/// can only lessen F: they are left out, and bounds stay bounds.
///
/// F is that of an attacker who knows everything else: the labels, and the batch's other images. Who knows less does
/// not estimate better. Of several clients, of whose noisy updates the mean is seen, F is that of the one with the
/// image, over their number.
///
/// Source: Hannun, Guo, van der Maaten 2021, "Measuring data leakage in machine-learning models with Fisher
/// information", arXiv:2102.11673, who perturb a trained model; here it is the gradient. What it does not count:
/// rounding of what the client computes, in float32 say, and of the noise.
///
/// In float64. Two passes backward for each product, along graphs that are kept; one thread at a time.
/// @param images (B, C, H, W) in [0, 1], all of the batch.   @param labels (B) int64.   @param which of the images
/// @throws Error(kUsage) if no mechanism is `gaussian`, or one before it is not `clip`.
/// @throws Error(kUsage) if statistics are shared: no noise is added to them.
/// @throws Error(kUsage) if the client draws besides the noise: dropout, or an order of several steps in an epoch.
/// @throws Error(kUsage) as `require_equal_shares`.
[[nodiscard]] FisherProduct fisher_product(const nets::Network& network, const Tensor& images, const Tensor& labels,
                                           Protocol protocol, std::int64_t which = 0);

/// Of up to so many pixels a caller takes F itself, which is seconds; of more it would be minutes.
inline constexpr std::int64_t kMostPixels = 1024;

/// F itself, (d, d) float64, by d products.
/// @throws as `fisher_product`.
[[nodiscard]] Tensor fisher_information(const nets::Network& network, const Tensor& images, const Tensor& labels,
                                        const Protocol& protocol, std::int64_t which = 0);

/// What F at one image says of UNBIASED estimates alone: those that are right on average over the noise, at this image
/// and at all near it. An attack that knows more of images than the update says (that pixels lie in [0, 1], that digits
/// are black at the border) is biased, and may be closer. So may any attack where F is singular.
struct UnbiasedBound {
  /// Of the mean squared error per pixel, at the least: tr(F^-1) / d, the Cramer-Rao bound. Each eigenvalue is taken to
  /// be larger by what rounding may have taken off it, so this holds, and is finite, also where `rank` is below d; of a
  /// singular F the bound itself is infinite: there is no unbiased estimate.
  double error = 0;
  double by_trace = 0;    ///< the same, weaker: d / tr(F), which is the smaller one (Guo et al. 2022)
  double largest = 0;     ///< sqrt(lambda_max(F)): the Fisher information loss (Hannun et al. 2021)
  std::int64_t rank = 0;  ///< eigenvalues above rounding, which is d 2^-52 times the largest; 0 where not known
  std::int64_t pixels = 0;
  double trace_deviation = 0;  ///< the standard error of tr(F) as a part of it; 0 where it is exact
};

/// Theorem: Cramer and Rao; for the trace alone Guo, Karrer, Chaudhuri, van der Maaten 2022, "Bounding training data
/// reconstruction in private (deep) learning", arXiv:2201.12383. It holds at an image around which the update is
/// differentiable: with ReLU and max pooling at almost all.
/// @param information (d, d) float64, as `fisher_information`
[[nodiscard]] UnbiasedBound unbiased_bound(const Tensor& information);

/// What so many products say of it, for images of many pixels: tr(F) by Hutchinson's estimate, with its standard error,
/// and the largest eigenvalue by as many steps of Lanczos, from below. `error` is infinite, as it takes all of F: only
/// `by_trace` is a bound, but for the error of tr(F).
/// @param products from 2   @param seed of the directions, which are random signs
[[nodiscard]] UnbiasedBound estimated_bound(const FisherProduct& product, std::int64_t pixels, std::int64_t products,
                                            std::uint64_t seed);

/// What an attacker knows of images before the update: that they are drawn from this normal distribution.
struct Prior {
  Tensor mean;        ///< (d) float64
  Tensor covariance;  ///< (d, d) float64, positive definite
};

/// That of the images' mean and covariance, plus `ridge` on its diagonal, without which pixels that never change would
/// be known exactly.
/// @param images (n, C, H, W), from 2   @param ridge a variance, above 0
[[nodiscard]] Prior fitted_prior(const Tensor& images, double ridge);

/// The mean squared error per pixel of the best estimate of an image that the prior draws, if the update were linear in
/// the image, with the derivative that it has where F was taken: tr((F + covariance^-1)^-1) / d. The posterior's mean
/// attains it. Of a network it is NO BOUND, but a picture of what noise leaves to an attacker who knows that prior: one
/// who knows better, or who profits from what is not linear, comes closer.
[[nodiscard]] double linear_error(const Tensor& information, const Prior& prior);

/// What F says of ALL estimates, biased ones too, on average over images drawn from the prior and over the noise.
///
/// It says nothing of one image, and nothing of images that the prior does not draw. Those of a data set are not: who
/// knows better than the prior what they look like may come closer.
struct BayesBound {
  double error = 0;     ///< of the mean squared error per pixel: tr((E[F] + covariance^-1)^-1) / d
  double by_trace = 0;  ///< the same, weaker: d / (tr E[F] + tr covariance^-1)
  double prior = 0;     ///< of who has no update: tr(covariance) / d, which `error` does not exceed
  /// E[F] is a mean over so many images. `error` is corrected by the jackknife for what that adds on average; this is
  /// its standard error.
  double deviation = 0;
  std::int64_t draws = 0;
};

/// Theorem: van Trees 1968, "Detection, estimation, and modulation theory", part I, section 2.4; Gill and Levit 1995,
/// "Applications of the van Trees inequality", for several dimensions and what must hold: F is finite on average, the
/// prior's density falls to zero, and the update's changes with the image without a jump. The scalar form as Maeng,
/// Guo, Kariyappa, Suh 2023, "Bounding the invertibility of privacy-preserving instance encoding using Fisher
/// information", arXiv:2305.04146.
/// @param informations F at images drawn from the prior, each (d, d) float64; at least 2
[[nodiscard]] BayesBound bayes_bound(const std::vector<Tensor>& informations, const Prior& prior);

/// The same, of one image with a known label: draws the images, and takes F at each.
/// @param label of all that are drawn   @param draws from 2   @param seed of the draws
/// @throws Error(kUsage) if the network has a layer with a kink (ReLU, leaky ReLU, max pooling): there the gradient
///   jumps, F does not see what a jump says of the image, and the theorem does not hold.
/// @throws Error(kUsage) for a batch or several clients, and as `fisher_product`.
[[nodiscard]] BayesBound bayes_bound(const nets::Network& network, std::int64_t label, const Protocol& protocol,
                                     const Prior& prior, std::int64_t draws, std::uint64_t seed);

/// -10 log10 of a mean squared error, dB. Of a lower bound of a mean it is an upper bound of the PSNR of the mean
/// error, and not of the mean PSNR, which is larger.
[[nodiscard]] double psnr_of(double error);

}  // namespace pellucid::sharing
