#include "pellucid/aggregation/masking.h"

#include "tests/core/expect_error.h"

#include <string>

namespace pellucid::aggregation {
namespace {

TEST(Masking, BothOfAPairHaveTheSameKey) {
  const Scalar a = random_scalar(), b = random_scalar(), c = random_scalar();
  const Digest round = random_key();
  EXPECT_EQ(pair_key(a, exchange_key(b), round), pair_key(b, exchange_key(a), round));
  EXPECT_NE(pair_key(a, exchange_key(b), round), pair_key(a, exchange_key(c), round));
  EXPECT_NE(pair_key(a, exchange_key(b), round), pair_key(a, exchange_key(b), random_key()));
}

TEST(Masking, RefusesKeysOfSmallOrder) {
  Digest one{};
  one[0] = 1;
  for (const auto& weak : {Digest{}, one})
    expect_error([&] { return pair_key(random_scalar(), weak, Digest{}); }, core::ErrorKind::kIo, "small order");
}

TEST(Masking, MasksCancel) {
  const Digest key = random_key();
  const std::vector<std::uint32_t> values = {0, 1, 0xFFFFFFFF, 42};
  auto masked = values;
  add_mask(masked, key);
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NE(masked[i], values[i]);
  subtract_mask(masked, key);
  EXPECT_EQ(masked, values);
}

TEST(Masking, TheSelfMaskIsOfItsSeed) {
  const Scalar seed = random_scalar();
  EXPECT_EQ(self_mask(seed), self_mask(seed));
  EXPECT_NE(self_mask(seed), self_mask(random_scalar()));
  EXPECT_NE(self_mask(seed), seed);
}

TEST(Masking, SealedTextsAreOfOneSenderAndUnchanged) {
  const Digest key = random_key();
  const std::string text = "two shares";
  const core::Bytes closed = sealed(view(text), key, 3);
  EXPECT_EQ(opened(closed, key, 3), core::Bytes(text.begin(), text.end()));
  const auto refused = [](View bytes, const Digest& by, std::uint32_t sender) {
    expect_error([&] { return opened(bytes, by, sender); }, core::ErrorKind::kIo, "they were changed on the way");
  };
  refused(closed, key, 4);
  refused(closed, random_key(), 3);
  refused(View(closed).first(5), key, 3);
  for (std::size_t i = 0; i < closed.size(); ++i) {
    core::Bytes changed = closed;
    changed[i] ^= 0x10;
    refused(changed, key, 3);
  }
}

}  // namespace
}  // namespace pellucid::aggregation
