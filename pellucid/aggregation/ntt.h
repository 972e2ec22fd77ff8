// Products of polynomials modulo X^N + 1 and a prime, by the number-theoretic transform.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pellucid::aggregation {

__extension__ typedef unsigned __int128 Wide;  // what a product of two words takes

/// A factor modulo a prime with what makes products by it fast (Shoup): floor(factor 2^64 / prime).
struct Factor {
  std::uint64_t value = 0, quotient = 0;
};

[[nodiscard]] inline Factor factor(std::uint64_t value, std::uint64_t prime) {
  return {value, static_cast<std::uint64_t>((Wide{value} << 64) / prime)};
}

/// x * factor modulo the prime, plus 0 or the prime. @param x any word.
[[nodiscard]] inline std::uint64_t lazy_product(std::uint64_t x, const Factor& by, std::uint64_t prime) {
  return x * by.value - static_cast<std::uint64_t>(Wide{x} * by.quotient >> 64) * prime;
}

/// x if it is below the bound, else x - bound, without a branch on x.
[[nodiscard]] inline std::uint64_t below(std::uint64_t x, std::uint64_t bound) {
  const std::uint64_t less = x - bound;
  return less + (bound & (0 - (less >> 63)));
}

/// x * factor modulo the prime.
[[nodiscard]] inline std::uint64_t product(std::uint64_t x, const Factor& by, std::uint64_t prime) {
  return below(lazy_product(x, by, prime), prime);
}

/// x to a power modulo the prime.
[[nodiscard]] std::uint64_t power(std::uint64_t x, std::uint64_t exponent, std::uint64_t prime);

/// The negacyclic transform of one degree and prime: where two polynomials are transformed, their product modulo X^N +
/// 1 is the product of their values place by place, and their sum the sum.
///
/// Source: Longa and Naehrig 2016, "Speeding up the number theoretic transform", algorithms 1 and 2, with the
/// reductions of Harvey 2014, "Faster arithmetic for number-theoretic transforms".
class Ntt {
 public:
  /// @param degree N, a power of two from 2.
  /// @param prime below 2^61 and 1 modulo 2N.
  /// @throws Error(kUsage) if the degree or the prime is none of these. That it is prime is not checked.
  Ntt(std::size_t degree, std::uint64_t prime);

  [[nodiscard]] std::size_t degree() const { return forward_.size(); }
  [[nodiscard]] std::uint64_t prime() const { return prime_; }
  /// The least primitive 2N-th root of one that there is.
  [[nodiscard]] std::uint64_t root() const { return root_; }

  /// In place, N coefficients below the prime to N values below it, in bit-reversed order; and back.
  void forward(std::span<std::uint64_t> x) const;
  void inverse(std::span<std::uint64_t> x) const;

 private:
  std::uint64_t prime_, root_ = 0;
  std::vector<Factor> forward_, inverse_;  // powers of the root in bit-reversed order
  Factor shrink_;                          // 1 / N
};

}  // namespace pellucid::aggregation
