#include "pellucid/aggregation/ntt.h"

#include "pellucid/core/error.h"

#include <algorithm>
#include <bit>

namespace pellucid::aggregation {
namespace {

std::uint64_t times(std::uint64_t a, std::uint64_t b, std::uint64_t prime) {
  return static_cast<std::uint64_t>(Wide{a} * b % prime);
}

// All primitive 2N-th roots are odd powers of one of them.
std::uint64_t least_root(std::size_t degree, std::uint64_t prime) {
  std::uint64_t root = 0;
  for (std::uint64_t x = 2; root == 0; ++x) {
    const std::uint64_t candidate = power(x, (prime - 1) / (2 * degree), prime);
    if (power(candidate, degree, prime) == prime - 1) root = candidate;
  }
  const std::uint64_t square = times(root, root, prime);
  std::uint64_t least = root, odd = root;
  for (std::size_t i = 1; i < degree; ++i) least = std::min(least, odd = times(odd, square, prime));
  return least;
}

std::vector<Factor> powers(std::uint64_t root, std::size_t degree, std::uint64_t prime) {
  std::vector<Factor> all(degree);
  const int bits = std::countr_zero(degree);
  std::uint64_t x = 1;
  for (std::size_t i = 0; i < degree; ++i) {
    std::size_t reversed = 0;
    for (int bit = 0; bit < bits; ++bit) reversed |= (i >> bit & 1) << (bits - 1 - bit);
    all[reversed] = factor(x, prime);
    x = times(x, root, prime);
  }
  return all;
}

}  // namespace

std::uint64_t power(std::uint64_t x, std::uint64_t exponent, std::uint64_t prime) {
  std::uint64_t result = 1;
  for (; exponent > 0; exponent >>= 1, x = times(x, x, prime)) {
    if ((exponent & 1) != 0) result = times(result, x, prime);
  }
  return result;
}

Ntt::Ntt(std::size_t degree, std::uint64_t prime) : prime_(prime) {
  if (degree < 2 || !std::has_single_bit(degree))
    throw core::Error(core::ErrorKind::kUsage, "degree: got {}, expected a power of two from 2", degree);
  if (prime >= std::uint64_t{1} << 61 || prime % (2 * degree) != 1)
    throw core::Error(core::ErrorKind::kUsage, "prime: got {}, expected one below 2^61 that is 1 modulo {}", prime,
                      2 * degree);
  root_ = least_root(degree, prime);
  forward_ = powers(root_, degree, prime);
  inverse_ = powers(power(root_, prime - 2, prime), degree, prime);
  shrink_ = factor(power(degree, prime - 2, prime), prime);
}

void Ntt::forward(std::span<std::uint64_t> x) const {
  const std::uint64_t p = prime_, twice = 2 * prime_;
  for (std::size_t blocks = 1, half = x.size() / 2; half > 0; blocks *= 2, half /= 2) {
    for (std::size_t block = 0; block < blocks; ++block) {
      const Factor by = forward_[blocks + block];
      std::uint64_t* left = x.data() + 2 * half * block;
      std::uint64_t* right = left + half;
      for (std::size_t i = 0; i < half; ++i) {  // all below 4p
        const std::uint64_t a = below(left[i], twice), b = lazy_product(right[i], by, p);
        left[i] = a + b;
        right[i] = a + twice - b;
      }
    }
  }
  for (auto& value : x) value = below(below(value, twice), p);
}

void Ntt::inverse(std::span<std::uint64_t> x) const {
  const std::uint64_t p = prime_, twice = 2 * prime_;
  for (std::size_t blocks = x.size() / 2, half = 1; blocks > 0; blocks /= 2, half *= 2) {
    for (std::size_t block = 0; block < blocks; ++block) {
      const Factor by = inverse_[blocks + block];
      std::uint64_t* left = x.data() + 2 * half * block;
      std::uint64_t* right = left + half;
      for (std::size_t i = 0; i < half; ++i) {  // all below 2p
        const std::uint64_t a = left[i], b = right[i];
        left[i] = below(a + b, twice);
        right[i] = lazy_product(a + twice - b, by, p);
      }
    }
  }
  for (auto& value : x) value = product(value, shrink_, p);
}

}  // namespace pellucid::aggregation
