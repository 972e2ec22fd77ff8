#include "pellucid/aggregation/rlwe.h"

#include "pellucid/aggregation/ntt.h"
#include "pellucid/core/error.h"

#include <algorithm>
#include <array>

namespace pellucid::aggregation {
namespace {

using core::Error;
using core::ErrorKind;

constexpr std::size_t kPolynomial = kPrimes * kDegree;
constexpr int kScale = 71;  // log2 Delta

// The largest primes of 56 bits that are 1 modulo 2 * 8192.
const std::array<Ntt, kPrimes>& transforms() {
  static const std::array<Ntt, kPrimes> all = {Ntt(kDegree, 0xfffffffff70001), Ntt(kDegree, 0xfffffffff78001),
                                               Ntt(kDegree, 0xfffffffffb4001)};
  return all;
}

std::uint64_t prime_of(std::size_t index) { return transforms()[index / kDegree % kPrimes].prime(); }

std::span<std::uint64_t> part(Polynomials& x, std::size_t block, std::size_t prime) {
  return std::span(x).subspan(block * kPolynomial + prime * kDegree, kDegree);
}

// A small number modulo the prime, without a division or a branch, since it is secret.
std::uint64_t residue(std::int8_t x, std::uint64_t prime) {
  const auto whole = static_cast<std::int64_t>(x);
  return static_cast<std::uint64_t>(whole) + (prime & static_cast<std::uint64_t>(whole >> 63));
}

std::uint64_t residue(Signed x, std::uint64_t prime) {
  constexpr Wide shift = Wide{1} << 66;  // at least |x|
  const Wide up = static_cast<Wide>(x) + shift;
  // The primes are just below 2^56: modulo one 2^56 is 2^56 - prime, a number below 2^20.
  const std::uint64_t top = (std::uint64_t{1} << 56) - prime;
  const std::uint64_t low = static_cast<std::uint64_t>(up) & ((std::uint64_t{1} << 56) - 1);
  const std::uint64_t sum = static_cast<std::uint64_t>(up >> 56) * top + low;
  return below(below(sum, prime) + prime - (top << 10), prime);
}

// Small numbers as residues, transformed.
template <typename Number>
Polynomials transformed(const std::vector<Number>& small) {
  Polynomials result(small.size() * kPrimes);
  for (std::size_t block = 0; block < small.size() / kDegree; ++block) {
    for (std::size_t k = 0; k < kPrimes; ++k) {
      const auto out = part(result, block, k);
      for (std::size_t i = 0; i < kDegree; ++i) out[i] = residue(small[block * kDegree + i], transforms()[k].prime());
      transforms()[k].forward(out);
    }
  }
  return result;
}

// One polynomial as factors, for products with many.
std::vector<Factor> factors(const Polynomials& one) {
  std::vector<Factor> all;
  all.reserve(kPolynomial);
  for (std::size_t i = 0; i < kPolynomial; ++i) all.push_back(factor(one[i], prime_of(i)));
  return all;
}

// sum += each of these polynomials * the one.
void add_products(Polynomials& sum, const Polynomials& many, const std::vector<Factor>& one) {
  for (std::size_t at = 0; at < many.size(); at += kDegree) {
    const std::uint64_t p = prime_of(at);
    const Factor* by = one.data() + at % kPolynomial;
    for (std::size_t i = 0; i < kDegree; ++i) sum[at + i] = below(sum[at + i] + product(many[at + i], by[i], p), p);
  }
}

// Delta m as residues, transformed: value j of a coefficient counts 2^(71 + 32 j).
Polynomials encoded(std::span<const std::uint32_t> values) {
  Polynomials result(blocks(values.size()) * kPolynomial);
  for (std::size_t k = 0; k < kPrimes; ++k) {
    const auto& transform = transforms()[k];
    std::array<Factor, kValues> places;
    for (std::size_t j = 0; j < kValues; ++j)
      places[j] = factor(power(2, kScale + 32 * j, transform.prime()), transform.prime());
    for (std::size_t block = 0; block * kBlock < values.size(); ++block) {
      const auto out = part(result, block, k);
      const auto in = values.subspan(block * kBlock, std::min(kBlock, values.size() - block * kBlock));
      for (std::size_t i = 0; i < in.size(); ++i) {
        auto& residue = out[i / kValues];
        residue = below(residue + product(in[i], places[i % kValues], transform.prime()), transform.prime());
      }
      transform.forward(out);
    }
  }
  return result;
}

// A number below q as three words, the lowest first, from its residues (Garner).
struct Garner {
  std::array<std::uint64_t, kPrimes> p;
  Factor p0_in_1, p0_in_2, p1_in_2;  // inverses
  Wide p0p1;

  Garner() {
    for (std::size_t k = 0; k < kPrimes; ++k) p[k] = transforms()[k].prime();
    const auto inverse = [](std::uint64_t x, std::uint64_t prime) { return factor(power(x, prime - 2, prime), prime); };
    p0_in_1 = inverse(p[0], p[1]);
    p0_in_2 = inverse(p[0], p[2]);
    p1_in_2 = inverse(p[1], p[2]);
    p0p1 = Wide{p[0]} * p[1];
  }

  [[nodiscard]] std::array<std::uint64_t, 3> whole(std::uint64_t r0, std::uint64_t r1, std::uint64_t r2) const {
    // (x - y) / d modulo a prime; the primes differ by less than a factor of two.
    const auto step = [](std::uint64_t x, std::uint64_t y, const Factor& d, std::uint64_t prime) {
      return product(x + prime - below(y, prime), d, prime);
    };
    const std::uint64_t v1 = step(r1, r0, p0_in_1, p[1]);
    const std::uint64_t v2 = step(step(r2, r0, p0_in_2, p[2]), v1, p1_in_2, p[2]);
    const Wide low = r0 + Wide{p[0]} * v1;
    const Wide first = Wide{v2} * static_cast<std::uint64_t>(p0p1) + static_cast<std::uint64_t>(low);
    const Wide second = Wide{v2} * static_cast<std::uint64_t>(p0p1 >> 64) + static_cast<std::uint64_t>(low >> 64) +
                        static_cast<std::uint64_t>(first >> 64);
    return {static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(second),
            static_cast<std::uint64_t>(second >> 64)};
  }
};

}  // namespace

SecretKey make_secret_key() { return {ternary(kDegree)}; }

Polynomials common_polynomial(const Digest& seed) {
  Polynomials a;
  std::vector<std::uint64_t> words(2 * kPolynomial);  // each is rejected with a probability below 2^-36
  expand(seed, words);
  for (const auto word : words) {
    const std::uint64_t candidate = word >> 8;
    if (a.size() < kPolynomial && candidate < prime_of(a.size())) a.push_back(candidate);
  }
  return a;
}

Polynomials key_part(const SecretKey& secret, const Polynomials& common) {
  Polynomials b(kPolynomial);
  add_products(b, transformed(secret.coefficients), factors(common));
  const Polynomials noise = transformed(gaussian(kDegree));
  for (std::size_t i = 0; i < kPolynomial; ++i) {
    const std::uint64_t p = prime_of(i);
    b[i] = below(noise[i] + p - b[i], p);
  }
  return b;
}

Ciphertext encrypt(std::span<const std::uint32_t> values, const Polynomials& key, const Polynomials& common) {
  const std::size_t n = blocks(values.size()) * kDegree;
  const Polynomials u = transformed(ternary(n));
  Ciphertext made{.c0 = encoded(values), .c1 = transformed(gaussian(n))};
  add(made.c0, transformed(gaussian(n)));
  add_products(made.c0, u, factors(key));
  add_products(made.c1, u, factors(common));
  return made;
}

void add(Polynomials& sum, const Polynomials& one) {
  sum.resize(one.size());
  for (std::size_t i = 0; i < one.size(); ++i) sum[i] = below(sum[i] + one[i], prime_of(i));
}

Polynomials partial_decryption(const Polynomials& c1, const SecretKey& secret) {
  Polynomials d = transformed(smudging(c1.size() / kPrimes));
  add_products(d, c1, factors(transformed(secret.coefficients)));
  return d;
}

std::vector<std::uint32_t> decode(const Polynomials& total, std::size_t values, std::uint32_t clients) {
  static const Garner garner;
  constexpr Wide half = Wide{1} << (kScale - 1);
  const Wide allowed = (Wide{clients} << 65) + (Wide{1} << 29);
  const auto garbled = [] {
    return Error(ErrorKind::kIo,
                 "the sum does not decrypt: a key or a partial decryption is not what the protocol says");
  };
  std::vector<std::uint32_t> sums;
  sums.reserve(values + kValues);
  Polynomials x = total;
  for (std::size_t block = 0; block < x.size() / kPolynomial; ++block) {
    for (std::size_t k = 0; k < kPrimes; ++k) {
      transforms()[k].inverse(part(x, block, k));
      const std::uint64_t p = transforms()[k].prime();
      for (auto& residue : part(x, block, k)) residue = below(residue + static_cast<std::uint64_t>(half % p), p);
    }
    for (std::size_t i = 0; i < kDegree; ++i) {
      const auto at = [&](std::size_t k) { return part(x, block, k)[i]; };
      const auto [low, middle, high] = garner.whole(at(0), at(1), at(2));
      const Wide rest = (Wide{middle} << 64 | low) & (2 * half - 1);
      if ((rest > half ? rest - half : half - rest) > allowed || high >> 39 != 0) throw garbled();
      const std::uint64_t lower = middle >> 7 | high << 57, upper = high >> 7;
      for (const auto value : {static_cast<std::uint32_t>(lower), static_cast<std::uint32_t>(lower >> 32),
                               static_cast<std::uint32_t>(upper)}) {
        if (sums.size() < values) {
          sums.push_back(value);
        } else if (value != 0) {
          throw garbled();
        }
      }
    }
  }
  return sums;
}

core::Bytes pack(const Polynomials& polynomials) {
  core::Bytes bytes(7 * polynomials.size());
  auto* out = bytes.data();
  for (const auto value : polynomials) {
    for (int i = 0; i < 7; ++i) *out++ = static_cast<std::uint8_t>(value >> (8 * i));
  }
  return bytes;
}

Polynomials unpack(View bytes, std::size_t count, const std::string& what) {
  if (bytes.size() != packed_size(count))
    throw Error(ErrorKind::kIo, "{}: got {} bytes, expected {}", what, bytes.size(), packed_size(count));
  Polynomials polynomials(count * kPolynomial);
  const auto* in = bytes.data();
  for (std::size_t i = 0; i < polynomials.size(); ++i) {
    for (int k = 0; k < 7; ++k) polynomials[i] |= std::uint64_t{*in++} << (8 * k);
    if (polynomials[i] >= prime_of(i)) {
      throw Error(ErrorKind::kIo, "{}: number {}: got {}, expected one below the prime {}", what, i, polynomials[i],
                  prime_of(i));
    }
  }
  return polynomials;
}

}  // namespace pellucid::aggregation
