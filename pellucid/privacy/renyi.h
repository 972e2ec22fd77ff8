// The accountant by Renyi differential privacy: adds up divergences, order by order, and converts at the end.
#pragma once

#include "pellucid/privacy/guarantee.h"

#include <span>

namespace pellucid::privacy {

/// The Renyi divergence, of an order above 1, between what one step of DP-SGD says with and without an example.
///
/// log A / (order - 1), with A = E[((1 - q) + q e^L)^order], L = (2z - 1) / (2 s^2), z ~ N(0, s^2), for rate q and
/// noise s. This is the larger of the two directions, adding and removing (theorem 5 of the source), and exact: no
/// smaller number bounds it.
///
/// Whole orders: the binomial sum, of whose terms all are positive once 1 is taken from A. Others: the trapezoidal rule
/// on E[(1 + u)^order - 1 - order u], u = q (e^L - 1), whose integrand is never negative, with steps at which it has
/// converged to rounding (it converges exponentially: the integrand is analytic in a strip). We deviate here from the
/// source's signed series, which is the same number: where A is near 1 the series' terms cancel to nothing, and with
/// much noise and a rate near 1/2 it takes thousands of them. Google's dp_accounting adds the series' absolute values:
/// an upper bound, too high by 3 % at q = 0.01, s = 2.5, order 1.5.
///
/// Source: Mironov, Talwar, Zhang 2019, "Renyi differential privacy of the sampled Gaussian mechanism", section 3.3.
/// @param rate in [0, 1]. @param noise above 0. @param order above 1; relative error about 1e-12 from 1.01.
/// @throws Error(kUsage) for a rate or noise out of range, as `check`.
/// @throws Error(kUsage) unless order is finite and above 1.
[[nodiscard]] double renyi_divergence(double rate, double noise, double order);

/// The orders that are tried unless others are given: 1.1, 1.2 .. 10.9 and 12 .. 63, which are Opacus', and 11, 128,
/// 256, 512, 1024.
[[nodiscard]] const std::vector<double>& default_orders();

/// How a divergence r of order a becomes (epsilon, delta).
enum class Conversion {
  /// epsilon = r + log((a - 1) / a) - (log delta + log a) / (a - 1). Canonne, Kamath, Steinke 2020, "The discrete
  /// Gaussian for differential privacy", proposition 12.
  kTight,
  /// epsilon = r - log delta / (a - 1). Mironov 2017, "Renyi differential privacy", proposition 3. Never smaller; what
  /// was published before 2020 used it: 3.01 is 2.60 today.
  kOld,
};

/// What comes out, and at which order.
struct RenyiBound {
  double value = 0;     ///< epsilon or delta; infinite if no order gives one
  double order = 0;     ///< the one that attains it
  bool at_end = false;  ///< it is the first or the last that was tried: others may give less
};

/// The smallest epsilon that the orders give for divergences that were added up, at least 0.
/// @param orders above 1, in ascending order. @param divergences one for each; infinite ones are passed over.
/// @throws Error(kUsage) as `check_delta`.
/// @throws Error(kUsage) for no orders, or one that is not above 1.
/// @throws Error(kInternal) if the two differ in size.
[[nodiscard]] RenyiBound to_epsilon(std::span<const double> orders, std::span<const double> divergences, double delta,
                                    Conversion conversion = Conversion::kTight);

/// The smallest epsilon that the orders give for the phases at `delta`.
///
/// Theorem: divergences of one order add up over steps that may look at each other's results (Mironov 2017,
/// proposition 1); with `Conversion` this bounds epsilon from above. What it does not show: the least epsilon there is;
/// that is 8 to 13 % smaller in usual settings, see `loss_distribution.h`.
/// @throws Error(kUsage) as `check` and `to_epsilon`.
[[nodiscard]] RenyiBound renyi_epsilon(const Phases& phases, double delta, Conversion conversion = Conversion::kTight,
                                       std::span<const double> orders = default_orders());

/// The smallest delta for `epsilon`, by the tight conversion.
/// @param epsilon from 0. @throws Error(kUsage) as `check` and `to_epsilon`, and for an epsilon below 0.
[[nodiscard]] RenyiBound renyi_delta(const Phases& phases, double epsilon,
                                     std::span<const double> orders = default_orders());

/// The same as a guarantee; its warning says if the order lies at the end of those that were tried.
[[nodiscard]] Guarantee renyi_guarantee(const Phases& phases, double delta, Conversion conversion = Conversion::kTight);

}  // namespace pellucid::privacy
