#include "pellucid/aggregation/shamir.h"

#include "pellucid/core/error.h"

#include <sodium.h>

#include <algorithm>

namespace pellucid::aggregation {
namespace {

Scalar small(std::uint32_t x) {
  Scalar scalar{};
  for (std::size_t i = 0; i < 4; ++i) scalar[i] = static_cast<std::uint8_t>(x >> (8 * i));
  return scalar;
}

Scalar times(const Scalar& a, const Scalar& b) {
  Scalar result;
  crypto_core_ed25519_scalar_mul(result.data(), a.data(), b.data());
  return result;
}

Scalar plus(const Scalar& a, const Scalar& b) {
  Scalar result;
  crypto_core_ed25519_scalar_add(result.data(), a.data(), b.data());
  return result;
}

Scalar minus(const Scalar& a, const Scalar& b) {
  Scalar result;
  crypto_core_ed25519_scalar_sub(result.data(), a.data(), b.data());
  return result;
}

}  // namespace

Scalar random_scalar() {
  static_cast<void>(random_key());  // opens the source
  Scalar scalar;
  crypto_core_ed25519_scalar_random(scalar.data());
  return scalar;
}

bool is_scalar(const Scalar& bytes) { return plus(bytes, Scalar{}) == bytes; }

std::vector<Scalar> split(const Scalar& secret, std::uint32_t threshold, std::uint32_t n) {
  if (threshold < 1 || threshold > n)
    throw core::Error(core::ErrorKind::kUsage, "threshold: got {}, expected 1 to {}", threshold, n);
  std::vector<Scalar> coefficients = {secret};
  while (coefficients.size() < threshold) coefficients.push_back(random_scalar());
  std::vector<Scalar> shares;
  for (std::uint32_t place = 1; place <= n; ++place) {
    Scalar value{};
    for (std::size_t k = coefficients.size(); k-- > 0;) value = plus(times(value, small(place)), coefficients[k]);
    shares.push_back(value);
  }
  for (auto& coefficient : coefficients) forget(coefficient);
  return shares;
}

Scalar combine(const std::vector<Share>& shares) {
  Scalar secret{};
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i].place == 0 || !is_scalar(shares[i].value))
      throw core::Error(core::ErrorKind::kIo, "a share of a secret: got none, expected a number of place 1 or more");
    Scalar over = small(1), under = small(1);
    for (std::size_t j = 0; j < shares.size(); ++j) {
      if (i == j) continue;
      if (shares[i].place == shares[j].place)
        throw core::Error(core::ErrorKind::kIo, "shares of a secret: got two of place {}, expected one",
                          shares[i].place);
      over = times(over, small(shares[j].place));
      under = times(under, minus(small(shares[j].place), small(shares[i].place)));
    }
    Scalar inverse;
    if (crypto_core_ed25519_scalar_invert(inverse.data(), under.data()) != 0)
      throw core::Error(core::ErrorKind::kInternal, "shares of a secret: two places are the same");
    secret = plus(secret, times(shares[i].value, times(over, inverse)));
  }
  return secret;
}

}  // namespace pellucid::aggregation
