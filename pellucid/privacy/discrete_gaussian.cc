#include "pellucid/privacy/discrete_gaussian.h"

#include "pellucid/core/error.h"
#include "pellucid/privacy/renyi.h"

#include <boost/multiprecision/cpp_int.hpp>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <numbers>
#include <utility>

namespace pellucid::privacy {
namespace {

using core::Error;
using core::ErrorKind;

// Holds all that occurs: with 64-bit ratios the largest number is (|Y| t den)^2 k, below 2^300.
using Whole = boost::multiprecision::uint512_t;

// Uniform in {0, .., n - 1}.
Whole uniform_below(const Whole& n, const Bits& bits) {
  if (n == 1) return 0;
  const unsigned width = msb(Whole(n - 1)) + 1;
  for (;;) {
    Whole candidate = 0;
    for (unsigned done = 0; done < width; done += 64) candidate = (candidate << 64) | bits();
    candidate &= (Whole(1) << width) - 1;
    if (candidate < n) return candidate;
  }
}

// True with probability e^(-numerator / denominator), for a ratio of at most 1.
bool short_exponential(const Whole& numerator, const Whole& denominator, const Bits& bits) {
  Whole k = 1;
  while (uniform_below(denominator * k, bits) < numerator) ++k;
  return (k & 1) == 1;
}

// The same for any ratio: algorithm 1.
bool exponential(Whole numerator, const Whole& denominator, const Bits& bits) {
  for (; numerator > denominator; numerator -= denominator) {
    if (!short_exponential(1, 1, bits)) return false;
  }
  return short_exponential(numerator, denominator, bits);
}

void check_ratio(const Ratio& ratio, const char* what) {
  if (ratio.numerator == 0 || ratio.denominator == 0) {
    throw Error(ErrorKind::kUsage, "{}: got {}/{}, expected a ratio of whole numbers above 0", what, ratio.numerator,
                ratio.denominator);
  }
}

// The largest whole number whose square is at most n / d.
std::uint64_t floor_of_root(std::uint64_t n, std::uint64_t d) { return static_cast<std::uint64_t>(sqrt(Whole(n / d))); }

double uniform(const Bits& bits) { return (static_cast<double>(bits() >> 11) + 0.5) * 0x1p-53; }

void check_discrete(const DiscreteNoise& n, double order) {
  if (!(n.variance > 0 && std::isfinite(n.variance)))
    throw Error(ErrorKind::kUsage, "variance: got {}, expected a number above 0", n.variance);
  if (n.clients < 1) throw Error(ErrorKind::kUsage, "clients: got {}, expected a whole number from 1", n.clients);
  if (n.clients > 1 && n.variance < 0.25) {
    throw Error(ErrorKind::kUsage, "variance: got {}, expected at least 0.25 where several clients add noise",
                n.variance);
  }
  if (n.dimension < 1) throw Error(ErrorKind::kUsage, "dimension: got {}, expected a whole number from 1", n.dimension);
  if (!(n.l2 >= 0 && std::isfinite(n.l2))) throw Error(ErrorKind::kUsage, "l2: got {}, expected a number from 0", n.l2);
  if (!(n.l1 >= 0 && std::isfinite(n.l1))) throw Error(ErrorKind::kUsage, "l1: got {}, expected a number from 0", n.l1);
  if (!(order >= 1 && std::isfinite(order)))
    throw Error(ErrorKind::kUsage, "order: got {}, expected a number from 1", order);
}

}  // namespace

Bits system_bits() {
  struct Buffer {
    std::array<std::uint64_t, 64> words;
    std::size_t left = 0;
  };
  return [buffer = Buffer{}]() mutable {
    if (buffer.left == 0) {
      auto* out = reinterpret_cast<unsigned char*>(buffer.words.data());
      for (std::size_t have = 0; have < sizeof buffer.words;) {
        const auto got = getrandom(out + have, sizeof buffer.words - have, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
          throw Error(ErrorKind::kIo, "getrandom: got {}, expected random bytes of the system", std::strerror(errno));
        }
        have += static_cast<std::size_t>(got);
      }
      buffer.left = buffer.words.size();
    }
    return std::exchange(buffer.words[--buffer.left], 0);  // what was used is not kept
  };
}

std::int64_t discrete_laplace(Ratio scale, const Bits& bits) {
  check_ratio(scale, "scale");
  const Whole t = scale.numerator, s = scale.denominator;
  for (;;) {
    const Whole u = uniform_below(t, bits);
    if (!short_exponential(u, t, bits)) continue;
    Whole v = 0;
    while (short_exponential(1, 1, bits)) ++v;
    const Whole size = (u + t * v) / s;
    const bool negative = (bits() & 1) == 1;
    if (negative && size == 0) continue;
    const auto value = static_cast<std::int64_t>(size);
    return negative ? -value : value;
  }
}

std::int64_t discrete_gaussian(Ratio variance, const Bits& bits) {
  check_ratio(variance, "variance");
  const Whole n = variance.numerator, d = variance.denominator;
  const std::uint64_t t = floor_of_root(variance.numerator, variance.denominator) + 1;
  for (;;) {
    const std::int64_t y = discrete_laplace({t, 1}, bits);
    // (|y| - n / (d t))^2 / (2 n / d)
    const Whole at = Whole(static_cast<std::uint64_t>(y < 0 ? -y : y)) * t * d;
    const Whole off = at > n ? at - n : n - at;
    if (exponential(off * off, 2 * n * d * t * t, bits)) return y;
  }
}

double float_gaussian(double deviation, const Bits& bits) {
  if (!(deviation >= 0 && std::isfinite(deviation)))
    throw Error(ErrorKind::kUsage, "deviation: got {}, expected a number from 0", deviation);
  const double radius = std::sqrt(-2 * std::log(uniform(bits)));
  return deviation * radius * std::cos(2 * std::numbers::pi * uniform(bits));
}

double discrete_divergence(const DiscreteNoise& n, double order) {
  check_discrete(n, order);
  const auto clients = static_cast<double>(n.clients), d = static_cast<double>(n.dimension);
  const double deviation = std::sqrt(clients * n.variance);
  const double a = n.l2 / deviation, b = (n.l1 > 0 ? n.l1 : std::sqrt(d) * n.l2) / deviation;
  // The terms fall towards e^(-2 pi^2 variance), which bounds those past the first few.
  double tau = 0;
  constexpr std::int64_t kFew = 10'000;
  const auto term = [&](double k) {
    return 10 * std::exp(-2 * std::numbers::pi * std::numbers::pi * n.variance * k / (k + 1));
  };
  for (std::int64_t k = 1; k < std::min(n.clients, kFew); ++k) tau += term(static_cast<double>(k));
  if (n.clients > kFew) tau += static_cast<double>(n.clients - kFew) * term(static_cast<double>(kFew));
  return std::min({order * a * a / 2 + tau * d, order / 2 * (a * a + 2 * b * tau + tau * tau * d),
                   order / 2 * std::pow(a + tau * std::sqrt(d), 2)});
}

double discrete_epsilon(const DiscreteNoise& noise, std::int64_t steps, double delta) {
  if (steps < 1) throw Error(ErrorKind::kUsage, "steps: got {}, expected a whole number from 1", steps);
  std::vector<double> divergences;
  for (const double order : default_orders())
    divergences.push_back(static_cast<double>(steps) * discrete_divergence(noise, order));
  return to_epsilon(default_orders(), divergences, delta).value;
}

}  // namespace pellucid::privacy
