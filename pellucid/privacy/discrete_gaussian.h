// Noise on whole numbers whose distribution is exact, from a cryptographic source; and what it guarantees.
#pragma once

#include <cstdint>
#include <functional>

namespace pellucid::privacy {

/// Gives 64 random bits a call, independent and uniform. What is private about noise rests on nobody knowing them.
using Bits = std::function<std::uint64_t()>;

/// The system's cryptographic source, getrandom(2), read in blocks. What it returns belongs to one thread.
/// @throws Error(kIo) when called, if the system gives none.
[[nodiscard]] Bits system_bits();

/// numerator / denominator, both above 0.
struct Ratio {
  std::uint64_t numerator = 1;
  std::uint64_t denominator = 1;
};

/// A whole number k with probability proportional to e^(-|k| / scale): the discrete Laplace distribution.
/// Exact, as `discrete_gaussian`. Algorithm 2 of the same source.
/// @throws Error(kUsage) if the scale's numerator or denominator is 0.
[[nodiscard]] std::int64_t discrete_laplace(Ratio scale, const Bits& bits);

/// A whole number k with probability proportional to e^(-k^2 / (2 variance)): the discrete Gaussian distribution. For
/// values on a fixed-point grid of step g, noise of variance v in the values' units is g times that of variance v /
/// g^2.
///
/// Exact: computed in whole numbers from uniform ones, without a logarithm, an exponential or a float, so that there
/// are none of the holes that floating-point noise has. Its variance is at most `variance`, and for variance above 1
/// smaller by less than 1e-6 of it.
///
/// What it does not show: the time that it takes depends on what it draws, so who can time single draws learns of them.
///
/// Source: Canonne, Kamath, Steinke 2020, "The discrete Gaussian for differential privacy", algorithms 1 to 3.
/// @throws Error(kUsage) if the variance's numerator or denominator is 0.
[[nodiscard]] std::int64_t discrete_gaussian(Ratio variance, const Bits& bits);

/// A normal number in floating point (Box-Muller on 53-bit uniforms).
///
/// NOT private in the strict sense: a float takes only some values near a given one, and which ones depends on what the
/// noise was added to, so a single output can rule inputs out, whatever epsilon was computed for real numbers (Mironov
/// 2012, "On significance of the least significant bits for differential privacy"). Use `discrete_gaussian` where that
/// matters.
/// @throws Error(kUsage) unless the deviation is finite and from 0.
[[nodiscard]] double float_gaussian(double deviation, const Bits& bits);

/// Noise on a vector of whole numbers, and how far two inputs can be apart.
struct DiscreteNoise {
  double variance = 1;         ///< of each client's noise in each value
  std::int64_t clients = 1;    ///< whose noise is in the sum
  std::int64_t dimension = 1;  ///< values in the vector
  double l2 = 1;               ///< the largest 2-norm of the difference that one record makes to the sum
  double l1 = 0;               ///< the largest 1-norm of it; 0 is sqrt(dimension) * l2
};

/// A bound on the Renyi divergence of an order, from 1, between the noised sums of two neighbouring inputs.
///
/// One client: order * l2^2 / (2 variance), which is (1/2)(l2^2 / variance)-concentrated differential privacy, the same
/// as the continuous Gaussian's (Canonne, Kamath, Steinke 2020, theorem 4 and its form for vectors). Several: the sum
/// of discrete Gaussians is none, but nearly; with tau = 10 sum_{k=1}^{n-1} e^(-2 pi^2 variance k / (k + 1)), a = l2 /
/// sqrt(n variance), b = l1 / sqrt(n variance), the least of order a^2 / 2 + tau d, (order / 2)(a^2 + 2 b tau + tau^2
/// d) and (order / 2)(a + tau sqrt(d))^2 (Kairouz, Liu, Steinke 2021, "The distributed discrete Gaussian mechanism for
/// federated learning with secure aggregation", proposition 14).
///
/// What it does not show: the sum when clients left their noise out, or the privacy that sampling adds.
/// @throws Error(kUsage) for a variance, clients, dimension, norm or order out of range.
/// @throws Error(kUsage) for several clients with a variance below 1/4, where the theorem does not hold.
[[nodiscard]] double discrete_divergence(const DiscreteNoise& noise, double order);

/// Epsilon at `delta` of `steps` such sums, by Renyi DP (`to_epsilon`, at `default_orders`).
/// @throws Error(kUsage) as `discrete_divergence` and `check_delta`, or for steps below 1.
[[nodiscard]] double discrete_epsilon(const DiscreteNoise& noise, std::int64_t steps, double delta);

}  // namespace pellucid::privacy
