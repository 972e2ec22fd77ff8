// Secrets shared so that a number of people can put one together again, and fewer know nothing of it.
#pragma once

#include "pellucid/aggregation/crypto.h"

#include <cstdint>
#include <utility>
#include <vector>

namespace pellucid::aggregation {

/// A number modulo the prime 2^252 + 27742317777372353535851937790883648493 (the order of Ed25519's group),
/// little-endian.
using Scalar = Digest;

/// Uniform and not zero, from the system's cryptographic source.
[[nodiscard]] Scalar random_scalar();

/// Whether the bytes are below the prime.
[[nodiscard]] bool is_scalar(const Scalar& bytes);

/// A share: the polynomial's value at `place`, from 1.
struct Share {
  std::uint32_t place = 0;
  Scalar value{};
};

/// The shares at places 1 to n of a polynomial of degree threshold - 1, random but for its value at 0, the secret: any
/// `threshold` of them determine it, fewer are independent of it.
/// Source: Shamir 1979, "How to share a secret".
/// @throws Error(kUsage) unless 1 <= threshold <= n.
[[nodiscard]] std::vector<Scalar> split(const Scalar& secret, std::uint32_t threshold, std::uint32_t n);

/// The value at 0 of the polynomial through the shares: the secret, if they are at least `threshold` and unchanged.
/// @throws Error(kIo) if two are of the same place, one is of place 0, or no number below the prime.
[[nodiscard]] Scalar combine(const std::vector<Share>& shares);

}  // namespace pellucid::aggregation
