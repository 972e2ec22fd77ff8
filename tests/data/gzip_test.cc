#include "pellucid/data/gzip.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/data/samples.h"

namespace pellucid::data {
namespace {

using core::ErrorKind;
using core::expect_error;

TEST(Gunzip, RoundTripsSmallEmptyAndLarge) {
  for (const std::size_t size : {0, 1, 65'536, 65'537, 1'000'000}) {
    core::Bytes content(size);
    for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<std::uint8_t>(i * i >> 3);
    EXPECT_EQ(gunzip(gzip(content), "x"), content) << size;
  }
}

TEST(Gunzip, TakesExactlyTheLimit) { EXPECT_EQ(gunzip(gzip(core::Bytes(100'000)), "x", 100'000).size(), 100'000); }

TEST(Gunzip, RefusesABomb) {
  const core::Bytes bomb = gzip(core::Bytes(100'001));
  expect_error([&] { (void)gunzip(bomb, "x", 100'000); }, ErrorKind::kData, "x: unpacked size: got more than 100000");
}

TEST(Gunzip, RefusesEveryTruncation) {
  const core::Bytes packed = gzip(bytes("some text, some text, some text"));
  for (std::size_t size = 0; size < packed.size(); ++size) {
    expect_error([&] { (void)gunzip(std::span(packed).first(size), "x"); }, ErrorKind::kData,
                 fmt::format("x: byte {}: truncated gzip data", size));
  }
}

TEST(Gunzip, RefusesDamage) {
  core::Bytes packed = gzip(bytes("some text, some text, some text"));
  packed[packed.size() - 6] ^= 1;  // in the checksum
  expect_error([&] { (void)gunzip(packed, "x"); }, ErrorKind::kData, "damaged gzip data: incorrect data check");
  expect_error([] { (void)gunzip(bytes("not gzip at all"), "x"); }, ErrorKind::kData, "incorrect header check");
}

TEST(Gunzip, RefusesWhatFollows) {
  core::Bytes packed = gzip(bytes("text"));
  const std::size_t size = packed.size();
  packed.push_back(7);
  expect_error([&] { (void)gunzip(packed, "x"); }, ErrorKind::kData,
               fmt::format("x: byte {}: gzip data ends here, got 1 bytes more, expected none", size));
}

TEST(FindPackedOrNot, PrefersThePlainFile) {
  const core::Folder folder;
  EXPECT_TRUE(find_packed_or_not(folder / "x").empty());
  core::write_file(folder / "x.gz", "");
  EXPECT_EQ(find_packed_or_not(folder / "x"), folder / "x.gz");
  core::write_file(folder / "x", "");
  EXPECT_EQ(find_packed_or_not(folder / "x"), folder / "x");
}

}  // namespace
}  // namespace pellucid::data
