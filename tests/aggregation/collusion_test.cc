// What all but one of the clients see together with the server, of the one that is left: numbers that are uniform, and
// the same under two different vectors. Each test also looks with the last secret in hand, where it must not hold.
#include "pellucid/aggregation/masked.h"
#include "pellucid/aggregation/masking.h"
#include "pellucid/aggregation/ntt.h"
#include "pellucid/aggregation/rlwe.h"

#include "tests/aggregation/statistics.h"
#include "tests/core/expect_error.h"

#include <cmath>

namespace pellucid::aggregation {
namespace {

constexpr double kSuspicious = 7;
constexpr std::uint64_t kFirstPrime = 0xfffffffff70001;
constexpr std::uint32_t kClients = 3;
constexpr std::uint32_t kHighest = 0x55555555;  // of three clients

// c_0 + c_1 s modulo the first prime, in coefficients: what is left of a ciphertext for who knows these parts of s.
Counts opened_with(const Ciphertext& ciphertext, const std::vector<SecretKey>& known) {
  static const Ntt ntt(kDegree, kFirstPrime);
  std::vector<std::uint64_t> secret(kDegree);
  for (const auto& key : known) {
    for (std::size_t i = 0; i < kDegree; ++i)
      secret[i] =
          (secret[i] + kFirstPrime + static_cast<std::uint64_t>(static_cast<std::int64_t>(key.coefficients[i]))) %
          kFirstPrime;
  }
  ntt.forward(secret);
  Counts counts{};
  for (std::size_t block = 0; block < ciphertext.c0.size(); block += kPrimes * kDegree) {
    std::vector<std::uint64_t> left(kDegree);
    for (std::size_t i = 0; i < kDegree; ++i) {
      left[i] = static_cast<std::uint64_t>((Wide{ciphertext.c1[block + i]} * secret[i] + ciphertext.c0[block + i]) %
                                           kFirstPrime);
    }
    ntt.inverse(left);
    for (const auto value : left) ++counts[static_cast<std::size_t>(Wide{value} * 256 / kFirstPrime)];
  }
  return counts;
}

TEST(Collusion, AnEncryptedVectorIsUniformWithoutTheLastKey) {
  const Polynomials common = common_polynomial(random_key());
  Polynomials key;
  std::vector<SecretKey> secrets;
  for (std::uint32_t i = 0; i < kClients; ++i) {
    secrets.push_back(make_secret_key());
    add(key, key_part(secrets.back(), common));
  }
  const std::vector<SecretKey> colluders(secrets.begin() + 1, secrets.end());
  const Ciphertext zeros = encrypt(std::vector<std::uint32_t>(8 * kBlock), key, common);
  const Ciphertext highs = encrypt(std::vector<std::uint32_t>(8 * kBlock, kHighest), key, common);
  const Counts of_zeros = opened_with(zeros, colluders), of_highs = opened_with(highs, colluders);
  EXPECT_LT(std::abs(from_uniform(of_zeros)), kSuspicious);
  EXPECT_LT(std::abs(from_uniform(of_highs)), kSuspicious);
  EXPECT_LT(between(of_zeros, of_highs), kSuspicious);
  EXPECT_GT(from_uniform(opened_with(zeros, secrets)), 1000);
  EXPECT_GT(between(opened_with(zeros, secrets), opened_with(highs, secrets)), 1000);
}

// A partial decryption less C_1 s_i, which who holds all else finds up to the noise: smudging noise, far wider than
// that. Modulo a prime of 56 bits it is uniform.
TEST(Collusion, APartialDecryptionIsHiddenBySmudging) {
  const Polynomials zero(8 * kPrimes * kDegree);
  const Ciphertext left{.c0 = partial_decryption(zero, make_secret_key()), .c1 = zero};
  EXPECT_LT(std::abs(from_uniform(opened_with(left, {}))), kSuspicious);
}

// What colluders play in a round with the one: keys of their own, and shares that are random.
struct Masked {
  Round round{.scheme = Scheme::kMasked, .threshold = kClients, .range = 1};
  History history{view("a round")};
  Counts seen{}, opened{};  // the bytes of the vector without the colluders' masks, and without the self mask too

  explicit Masked(std::uint32_t code) {
    const std::size_t values = 200'000;
    const Answers honest = masked_client(round, kClients, 0, std::vector<std::uint32_t>(values, code));
    std::vector<Scalar> encryption, masks;
    std::vector<Message> joins = {message(0, Writer().raw(Digest{}).raw(honest(history).body).take())};
    for (std::uint32_t i = 1; i < kClients; ++i) {
      encryption.push_back(random_scalar());
      masks.push_back(random_scalar());
      joins.push_back(message(
          i, Writer().raw(Digest{}).raw(exchange_key(encryption.back())).raw(exchange_key(masks.back())).take()));
    }
    history.add(joins);
    Reader keys(joined(joins[0]), "the keys");
    const Digest encryption_key = keys.digest(), mask_key = keys.digest();
    const Digest transcript = history.transcripts[1];

    const core::Bytes given = honest(history).body;
    std::vector<Share> self_shares;
    std::vector<Message> shares = {message(0, given)};
    for (std::uint32_t i = 1; i < kClients; ++i) {
      const Digest key = pair_key(encryption[i - 1], encryption_key, transcript);
      const auto mine = opened_shares(given, i, key);
      self_shares.push_back({i + 1, mine});
      Writer body;
      body.raw(Digest{});
      for (std::uint32_t to = 0; to < kClients; ++to) {
        if (to == i) continue;
        body.raw(sealed(core::Bytes(64), to == 0 ? key : Digest{}, i));
      }
      shares.push_back(message(i, body.take()));
    }
    history.add(shares);

    const core::Bytes sent = honest(history).attachment;
    std::vector<std::uint32_t> y(values);
    for (std::size_t i = 0; i < sent.size(); ++i) y[i / 4] |= std::uint32_t{sent[i]} << (8 * (i % 4));
    for (const auto& seed : masks) subtract_mask(y, pair_key(seed, mask_key, transcript));
    count(seen, y);

    // The third share is the one's own: it tells it only of those in the sum, and then the self mask is known.
    history.add({message(0, {}), message(1, {}), message(2, {})});
    history.add({message(0, {}), message(1, {}), message(2, {})});
    const core::Bytes unmasking = honest(history).body;
    Share own{.place = 1};
    std::copy_n(unmasking.begin(), own.value.size(), own.value.begin());
    self_shares.push_back(own);
    subtract_mask(y, self_mask(combine(self_shares)));
    count(opened, y);
    EXPECT_EQ(y, std::vector<std::uint32_t>(values, code));
  }

  [[nodiscard]] Message message(std::uint32_t sender, core::Bytes body) const {
    return {.step = static_cast<std::uint32_t>(history.steps.size()), .sender = sender, .body = std::move(body)};
  }

  // The share of the self seed that the first client sent `to`.
  static Scalar opened_shares(const core::Bytes& sent, std::uint32_t to, const Digest& key) {
    const auto clear = aggregation::opened(View(sent).subspan(32 + 80 * (to - 1), 80), key, 0);
    Scalar share;
    std::copy_n(clear.begin() + 32, share.size(), share.begin());
    return share;
  }

  static void count(Counts& counts, const std::vector<std::uint32_t>& values) {
    for (const auto value : values) ++counts[value >> 24];
  }
};

TEST(Collusion, AMaskedVectorIsUniformWithoutTheLastShare) {
  const Masked zeros(0), highs(kHighest);
  EXPECT_LT(std::abs(from_uniform(zeros.seen)), kSuspicious);
  EXPECT_LT(std::abs(from_uniform(highs.seen)), kSuspicious);
  EXPECT_LT(between(zeros.seen, highs.seen), kSuspicious);
  EXPECT_GT(from_uniform(zeros.opened), 1000);
  EXPECT_GT(between(zeros.opened, highs.opened), 1000);
}

}  // namespace
}  // namespace pellucid::aggregation
