#include "pellucid/aggregation/rlwe.h"

#include "pellucid/aggregation/fixed_point.h"
#include "pellucid/aggregation/ntt.h"
#include "pellucid/core/random.h"

#include "tests/core/expect_error.h"

#include <algorithm>
#include <cmath>

namespace pellucid::aggregation {
namespace {

// Keys of n clients and what they encrypt with.
struct Keys {
  Polynomials common = common_polynomial(random_key()), key;
  std::vector<SecretKey> secrets;

  explicit Keys(std::uint32_t n) {
    for (std::uint32_t i = 0; i < n; ++i) {
      secrets.push_back(make_secret_key());
      add(key, key_part(secrets.back(), common));
    }
  }
};

// The sum of the vectors, one a client, by way of their ciphertexts.
std::vector<std::uint32_t> summed(const Keys& keys, const std::vector<std::vector<std::uint32_t>>& vectors) {
  Polynomials c0, c1;
  for (const auto& vector : vectors) {
    const Ciphertext one = encrypt(vector, keys.key, keys.common);
    add(c0, one.c0);
    add(c1, one.c1);
  }
  for (const auto& secret : keys.secrets) add(c0, partial_decryption(c1, secret));
  return decode(c0, vectors.front().size(), static_cast<std::uint32_t>(keys.secrets.size()));
}

TEST(Rlwe, SumsOf16ClientsAreExact) {
  const Keys keys(16);
  const FixedPoint code{.range = 1, .clients = 16};
  core::Stream stream(1, "codes");
  std::vector<std::vector<std::uint32_t>> vectors(16);
  std::vector<std::uint32_t> sum(kBlock + 100);  // two ciphertexts, the second not full
  for (auto& vector : vectors) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      const std::uint64_t drawn = stream.below(2 * std::uint64_t{code.levels()} + 1);
      vector.push_back(i % 4 == 0 ? 0 : i % 4 == 1 ? 2 * code.levels() : static_cast<std::uint32_t>(drawn));
      sum[i] += vector[i];
    }
  }
  EXPECT_EQ(summed(keys, vectors), sum);
}

TEST(Rlwe, SumsUpToTheLargestAreExactForTheMostClients) {
  const Keys keys(kMostKeys);
  // 30 * 143165576 = 2^32 - 16: the sum's places are all full, or all empty, or between.
  std::vector<std::vector<std::uint32_t>> vectors(kMostKeys, {143165576, 0, 143165576, 143165576, 143165576, 0, 1});
  vectors[3] = {143165591, 0, 143165591, 143165591, 143165591, 0, 0};
  EXPECT_EQ(summed(keys, vectors),
            (std::vector<std::uint32_t>{0xFFFFFFFF, 0, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 29}));
}

// What the header states of the noise, in numbers.
TEST(Rlwe, TheBoundsOfTheNoiseHold) {
  EXPECT_LT((Wide{kMostKeys} << 65) + (Wide{1} << 29), Wide{1} << 70);
  EXPECT_LT(1.0 * kNoiseBound * kMostKeys * (2.0 * kDegree * kMostKeys + 1), 0x1p29);
  // log2 of the total variation distance that smudging leaves
  const auto left = [](double n, double m) {
    return std::log2(std::sqrt(3.12 * m * n * 3.2 * 3.2 * (1 + 4.0 * kDegree * n / 3)) / 2) - 64;
  };
  EXPECT_LT(left(16, static_cast<double>(blocks(312'202) * kDegree)), -43.4);
  EXPECT_LT(left(16, 12e6 / kValues), -40.7);
}

// The noise of a ciphertext of zeros: c_0 + c_1 s modulo the first prime, with all parts of the key in hand.
TEST(Rlwe, TheNoiseHasTheStatedDeviation) {
  constexpr std::uint64_t prime = 0xfffffffff70001;
  const Keys keys(3);
  const Ciphertext zeros = encrypt(std::vector<std::uint32_t>(kBlock), keys.key, keys.common);
  const Ntt ntt(kDegree, prime);
  std::vector<std::uint64_t> secret(kDegree), noise(kDegree);
  for (std::size_t i = 0; i < kDegree; ++i) {
    int sum = 0;
    for (const auto& part : keys.secrets) sum += part.coefficients[i];
    secret[i] = (prime + static_cast<std::uint64_t>(std::int64_t{sum})) % prime;
  }
  ntt.forward(secret);
  for (std::size_t i = 0; i < kDegree; ++i)
    noise[i] = static_cast<std::uint64_t>((Wide{zeros.c1[i]} * secret[i] + zeros.c0[i]) % prime);
  ntt.inverse(noise);
  double square = 0;
  for (const auto x : noise) {
    const double centred = x > prime / 2 ? -static_cast<double>(prime - x) : static_cast<double>(x);
    square += centred * centred / kDegree;
  }
  EXPECT_NEAR(square / (3.2 * 3.2 * (1 + 4.0 * kDegree * 3 / 3)), 1, 0.15);
}

TEST(Rlwe, WithoutOneClientThereIsNoSum) {
  const Keys keys(3);
  const Ciphertext one = encrypt(std::vector<std::uint32_t>{7, 8, 9}, keys.key, keys.common);
  Polynomials total = one.c0;
  for (std::size_t i = 0; i < 2; ++i) add(total, partial_decryption(one.c1, keys.secrets[i]));
  expect_error([&] { return decode(total, 3, 3); }, core::ErrorKind::kIo, "the sum does not decrypt");
  add(total, partial_decryption(one.c1, keys.secrets[2]));
  EXPECT_EQ(decode(total, 3, 3), (std::vector<std::uint32_t>{7, 8, 9}));
}

TEST(Rlwe, AForeignKeyOrAGarbledPartIsSeen) {
  const Keys keys(2), others(2);
  const Ciphertext one = encrypt(std::vector<std::uint32_t>{7}, keys.key, keys.common);
  Polynomials total = one.c0;
  add(total, partial_decryption(one.c1, keys.secrets[0]));
  add(total, partial_decryption(one.c1, others.secrets[1]));
  expect_error([&] { return decode(total, 1, 2); }, core::ErrorKind::kIo, "the sum does not decrypt");
}

TEST(Rlwe, UnusedPlacesMustBeZero) {
  const Keys keys(2);
  const Ciphertext one = encrypt(std::vector<std::uint32_t>{7, 8}, keys.key, keys.common);
  Polynomials total = one.c0;
  for (const auto& secret : keys.secrets) add(total, partial_decryption(one.c1, secret));
  expect_error([&] { return decode(total, 1, 2); }, core::ErrorKind::kIo, "the sum does not decrypt");
}

// A constant of 2^70 on every first coefficient: half way to the next value, where noise never gets.
TEST(Rlwe, NoiseThatIsNoneIsSeen) {
  const Keys keys(2);
  const Ciphertext one = encrypt(std::vector<std::uint32_t>{7}, keys.key, keys.common);
  Polynomials total = one.c0;
  for (const auto& secret : keys.secrets) add(total, partial_decryption(one.c1, secret));
  EXPECT_EQ(decode(total, 1, 2)[0], 7U);
  const std::uint64_t primes[] = {0xfffffffff70001, 0xfffffffff78001, 0xfffffffffb4001};
  Polynomials constant;  // transformed, it is the same everywhere
  for (const auto prime : primes)
    constant.insert(constant.end(), kDegree, static_cast<std::uint64_t>((Wide{1} << 70) % prime));
  add(total, constant);
  expect_error([&] { return decode(total, 1, 2); }, core::ErrorKind::kIo, "the sum does not decrypt");
}

TEST(Rlwe, EncryptsAfreshEachTime) {
  const Keys keys(2);
  const std::vector<std::uint32_t> values = {1, 2, 3};
  const Ciphertext a = encrypt(values, keys.key, keys.common), b = encrypt(values, keys.key, keys.common);
  EXPECT_NE(a.c0, b.c0);
  EXPECT_NE(a.c1, b.c1);
  EXPECT_NE(partial_decryption(a.c1, keys.secrets[0]), partial_decryption(a.c1, keys.secrets[0]));
}

TEST(Rlwe, CommonPolynomialIsOfItsSeed) {
  const Digest seed = random_key();
  EXPECT_EQ(common_polynomial(seed), common_polynomial(seed));
  EXPECT_NE(common_polynomial(seed), common_polynomial(random_key()));
  EXPECT_EQ(common_polynomial(seed).size(), kPrimes * kDegree);
}

TEST(Rlwe, PacksAndUnpacks) {
  const Polynomials two = encrypt(std::vector<std::uint32_t>(kBlock + 1), Keys(2).key, Keys(2).common).c1;
  const core::Bytes bytes = pack(two);
  EXPECT_EQ(bytes.size(), packed_size(2));
  EXPECT_EQ(unpack(bytes, 2, "x"), two);
}

// The target: 312,202 parameters in at most 5.1 MB.
TEST(Rlwe, TakesFourteenBytesAValue) {
  EXPECT_EQ(blocks(312'202), 13U);
  EXPECT_EQ(2 * packed_size(blocks(312'202)), 4'472'832U);
}

TEST(Rlwe, RefusesWhatAreNoPolynomials) {
  core::Bytes bytes = pack(common_polynomial(random_key()));
  const auto refused = [&](const char* what) {
    expect_error([&] { return unpack(bytes, 1, "the key of anna"); }, core::ErrorKind::kIo, what);
  };
  std::fill_n(bytes.begin() + 7 * 5, 7, std::uint8_t{0xFF});
  refused("the key of anna: number 5: got 72057594037927935, expected one below the prime");
  std::fill_n(bytes.begin() + 7 * 5, 7, std::uint8_t{0});
  EXPECT_EQ(unpack(bytes, 1, "x")[5], 0U);
  // The last prime itself, at the last place.
  const std::uint64_t prime = 0xfffffffffb4001;
  for (std::size_t i = 0; i < 7; ++i) bytes[bytes.size() - 7 + i] = static_cast<std::uint8_t>(prime >> (8 * i));
  refused("number 24575: got 72057594037616641");
  --bytes[bytes.size() - 7];
  EXPECT_EQ(unpack(bytes, 1, "x").back(), prime - 1);
  bytes.pop_back();
  refused("got 172031 bytes, expected 172032");
  bytes.resize(bytes.size() + 2);
  refused("got 172033 bytes");
}

}  // namespace
}  // namespace pellucid::aggregation
