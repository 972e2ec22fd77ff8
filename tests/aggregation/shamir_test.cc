#include "pellucid/aggregation/shamir.h"

#include "tests/aggregation/statistics.h"
#include "tests/core/expect_error.h"

#include <algorithm>

namespace pellucid::aggregation {
namespace {

std::vector<Share> chosen(const std::vector<Scalar>& shares, const std::vector<std::uint32_t>& places) {
  std::vector<Share> some;
  for (const auto place : places) some.push_back({place, shares[place - 1]});
  return some;
}

TEST(Shamir, AnyEnoughSharesGiveTheSecret) {
  const Scalar secret = random_scalar();
  const auto shares = split(secret, 3, 5);
  std::vector<std::uint32_t> places = {1, 2, 3, 4, 5};
  for (std::uint32_t a = 1; a <= 5; ++a) {
    for (std::uint32_t b = a + 1; b <= 5; ++b) {
      EXPECT_NE(combine(chosen(shares, {a, b})), secret);
      for (std::uint32_t c = b + 1; c <= 5; ++c) EXPECT_EQ(combine(chosen(shares, {c, a, b})), secret);
    }
  }
  EXPECT_EQ(combine(chosen(shares, places)), secret);
}

TEST(Shamir, ManyPlaces) {
  const Scalar secret = random_scalar();
  const auto shares = split(secret, 20, 256);
  std::vector<std::uint32_t> places;
  for (std::uint32_t place = 256; places.size() < 20; --place) places.push_back(place);
  EXPECT_EQ(combine(chosen(shares, places)), secret);
}

TEST(Shamir, AThresholdOfOneIsTheSecretItself) {
  const Scalar secret = random_scalar();
  EXPECT_EQ(split(secret, 1, 2), (std::vector<Scalar>{secret, secret}));
}

// Fewer shares than the threshold have the same distribution whatever the secret is.
TEST(Shamir, TooFewSharesTellNothing) {
  Scalar one{};
  one[0] = 1;
  Counts of_zero{}, of_one{};
  for (int i = 0; i < 4000; ++i) {
    for (const auto& share : chosen(split(Scalar{}, 3, 3), {1, 3})) ++of_zero[share.value[5]];
    for (const auto& share : chosen(split(one, 3, 3), {1, 3})) ++of_one[share.value[5]];
  }
  EXPECT_LT(from_uniform(of_zero), 7);
  EXPECT_LT(between(of_zero, of_one), 7);
  Counts all{};  // and enough of them do tell
  for (int i = 0; i < 4000; ++i) ++all[combine(chosen(split(one, 3, 3), {1, 2, 3}))[0]];
  EXPECT_GT(from_uniform(all), 7);
}

TEST(Shamir, AChangedShareGivesAnotherSecret) {
  const Scalar secret = random_scalar();
  auto shares = chosen(split(secret, 2, 3), {1, 2});
  shares[0].value[0] ^= 1;
  EXPECT_NE(combine(shares), secret);
}

TEST(Shamir, RefusesWhatAreNoShares) {
  using core::ErrorKind;
  const auto shares = split(random_scalar(), 2, 3);
  expect_error([&] { return combine(chosen(shares, {2, 2})); }, ErrorKind::kIo, "got two of place 2");
  expect_error([&] { return combine({{0, shares[0]}, {1, shares[0]}}); }, ErrorKind::kIo, "of place 1 or more");
  Scalar large;
  large.fill(0xFF);
  EXPECT_FALSE(is_scalar(large));
  expect_error([&] { return combine({{1, large}, {2, shares[1]}}); }, ErrorKind::kIo, "a share of a secret");
  expect_error([&] { return split(shares[0], 0, 3); }, ErrorKind::kUsage, "threshold: got 0, expected 1 to 3");
  expect_error([&] { return split(shares[0], 4, 3); }, ErrorKind::kUsage, "threshold: got 4, expected 1 to 3");
}

TEST(Shamir, ScalarsAreBelowThePrimeAndFresh) {
  EXPECT_NE(random_scalar(), random_scalar());
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(is_scalar(random_scalar()));
}

}  // namespace
}  // namespace pellucid::aggregation
