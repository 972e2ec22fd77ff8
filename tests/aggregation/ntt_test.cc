#include "pellucid/aggregation/ntt.h"

#include "pellucid/core/random.h"

#include "tests/core/expect_error.h"

namespace pellucid::aggregation {
namespace {

constexpr std::uint64_t kPrime = 0x3fffffff000001;

using Numbers = std::vector<std::uint64_t>;

Numbers by_transform(const Ntt& ntt, Numbers a, Numbers b) {
  ntt.forward(a);
  ntt.forward(b);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = product(a[i], factor(b[i], ntt.prime()), ntt.prime());
  ntt.inverse(a);
  return a;
}

// By the definition: X^N is -1.
Numbers by_hand(const Ntt& ntt, const Numbers& a, const Numbers& b) {
  const std::uint64_t p = ntt.prime();
  const std::size_t n = a.size();
  Numbers c(n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const auto term = static_cast<std::uint64_t>(Wide{a[i]} * b[j] % p);
      auto& at = c[(i + j) % n];
      at = (i + j < n ? at + term : at + p - term) % p;
    }
  }
  return c;
}

Numbers sequence(std::size_t n, std::uint64_t (*at)(std::uint64_t)) {
  Numbers values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = at(i);
  return values;
}

// Computed with another program, by the definition.
TEST(Ntt, GivesKnownProducts) {
  const auto a = [](std::uint64_t i) { return i * i + 1; };
  const auto b = [](std::uint64_t i) { return 3 * i + 7; };
  const Ntt small(2048, kPrime), large(4096, kPrime);
  EXPECT_EQ(small.root(), 729480106838U);
  EXPECT_EQ(large.root(), 7776163339600U);
  const Numbers c = by_transform(small, sequence(2048, a), sequence(2048, b));
  EXPECT_EQ(c[0], 18009980412436495U);
  EXPECT_EQ(c[1], 18009971828798513U);
  EXPECT_EQ(c[2047], 4409496624128U);
  const Numbers d = by_transform(large, sequence(4096, a), sequence(4096, b));
  EXPECT_EQ(d[0], 17943869440802831U);
  EXPECT_EQ(d[1], 17943800746502193U);
  EXPECT_EQ(d[4095], 70460357588992U);
}

TEST(Ntt, FindsTheLeastRootOfOtherPrimes) {
  EXPECT_EQ(Ntt(4096, 68719403009).root(), 24250113U);
  EXPECT_EQ(Ntt(4096, 68719230977).root(), 29008497U);
  EXPECT_EQ(Ntt(4096, 137438822401).root(), 8625844U);
}

TEST(Ntt, MultipliesAsByHand) {
  core::Stream stream(1, "polynomials");
  for (const std::size_t n : {2, 4, 64, 512}) {
    for (const std::uint64_t prime : {std::uint64_t{12289}, kPrime, std::uint64_t{0xfffffffff70001}}) {
      if (prime % (2 * n) != 1) continue;
      const Ntt ntt(n, prime);
      Numbers a(n), b(n);
      for (auto& x : a) x = stream.below(prime);
      for (auto& x : b) x = stream.below(prime);
      EXPECT_EQ(by_transform(ntt, a, b), by_hand(ntt, a, b)) << n << " " << prime;
      const Numbers largest(n, prime - 1);  // where a reduction that is missing shows
      EXPECT_EQ(by_transform(ntt, largest, largest), by_hand(ntt, largest, largest)) << n << " " << prime;
    }
  }
}

TEST(Ntt, AgreesWithTheDefinitionAtDegree2048) {
  core::Stream stream(2, "polynomials");
  const Ntt ntt(2048, kPrime);
  Numbers a(2048), b(2048);
  for (auto& x : a) x = stream.below(kPrime);
  for (auto& x : b) x = stream.below(kPrime);
  EXPECT_EQ(by_transform(ntt, a, b), by_hand(ntt, a, b));
}

TEST(Ntt, RefusesWhatHasNoTransform) {
  expect_error([] { return Ntt(3, kPrime); }, core::ErrorKind::kUsage, "degree: got 3, expected a power of two from 2");
  expect_error([] { return Ntt(1, kPrime); }, core::ErrorKind::kUsage, "degree: got 1");
  expect_error([] { return Ntt(4096, 12289); }, core::ErrorKind::kUsage, "prime: got 12289, expected one below 2^61");
  expect_error([] { return Ntt(2, (std::uint64_t{1} << 61) + 1); }, core::ErrorKind::kUsage, "below 2^61");
}

}  // namespace
}  // namespace pellucid::aggregation
