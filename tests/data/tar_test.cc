#include "pellucid/data/tar.h"

#include "pellucid/core/memory.h"

#include "tests/core/expect_error.h"
#include "tests/data/samples.h"

namespace pellucid::data {
namespace {

using core::ErrorKind;
using core::expect_error;

using Files = std::vector<std::pair<std::string, std::string>>;

Files read_all(const core::Bytes& archive, bool contents = true) {
  TarReader reader(archive, "x");
  Files files;
  while (const auto name = reader.next()) {
    const core::Bytes content = contents ? reader.content() : core::Bytes();
    files.emplace_back(*name, std::string(content.begin(), content.end()));
  }
  return files;
}

void expect_no_tar(const core::Bytes& archive, const std::string& message) {
  for (const bool contents : {true, false})
    expect_error([&] { (void)read_all(archive, contents); }, ErrorKind::kData, message);
}

// A header with `text` at byte `at`, and a checksum that is right.
core::Bytes with(core::Bytes block, std::size_t at, const std::string& text) {
  std::copy(text.begin(), text.end(), block.begin() + static_cast<std::ptrdiff_t>(at));
  unsigned sum = 8 * ' ';
  for (int i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? 0 : block[i];
  const auto checksum = fmt::format("{:06o}", sum);
  std::copy(checksum.begin(), checksum.end(), block.begin() + 148);
  return block;
}

core::Bytes claims(const std::string& size) { return with(tar_entry("a", ""), 124, size); }

TEST(TarReader, ReadsFilesAndPassesOverTheRest) {
  const core::Bytes archive =
      tar({tar_entry("d/", "", '5'), tar_entry("d/a", "alpha"), tar_entry("link", "", '2'), tar_entry("hard", "", '1'),
           tar_entry("d/b", std::string(512, 'b')), tar_entry("old", "", '\0')});
  const Files expected{{"d/a", "alpha"}, {"d/b", std::string(512, 'b')}, {"old", ""}};
  EXPECT_EQ(read_all(archive), expected);
  EXPECT_EQ(read_all(gzip(archive)), expected);
  EXPECT_EQ(read_all(archive, /*contents=*/false).size(), 3u) << "what is not asked for is passed over";
}

TEST(TarReader, RefusesADamagedHeader) {
  core::Bytes archive = tar({tar_entry("a", "alpha"), tar_entry("b", "beta")});
  archive[1024] = 'c';
  expect_no_tar(archive, "x: byte 1536 (unpacked): no tar archive, or a damaged one: Damaged tar archive");
  archive[0] = 'b';
  expect_no_tar(archive, "x: byte 0 (unpacked): no tar archive, or a damaged one: Unrecognized archive format");
  expect_no_tar(claims("0000000000x"), "Unrecognized archive format");
}

TEST(TarReader, RefusesATruncatedArchive) {
  const core::Bytes archive = tar({tar_entry("a", "alpha"), tar_entry("b", "beta")});
  for (const std::ptrdiff_t size : {0, 100, 512, 514, 1023, 1025, 1535, 1536, 1540, 2047}) {
    const core::Bytes part(archive.begin(), archive.begin() + size);
    expect_no_tar(part, "no tar archive, or a damaged one: ");
    expect_no_tar(gzip(part), "no tar archive, or a damaged one: ");
  }
  core::Bytes packed = gzip(archive);
  packed.resize(packed.size() / 2);
  expect_no_tar(packed, "truncated gzip input");
}

TEST(TarReader, RefusesAClaimBeforeAnythingIsAllocated) {
  expect_no_tar(claims("77777777777"), "size, got 8589934591 bytes, expected at most 268435456 in all");
  expect_no_tar(claims("777777777777"), "expected at most 268435456 in all");
  expect_no_tar(claims("00777777777"), "x: byte 512 (unpacked): no tar archive, or a damaged one: Truncated ");
  core::set_memory_budget(1000);
  expect_error([] { (void)read_all(tar({tar_entry("a", std::string(2000, 'a'))})); }, ErrorKind::kData,
               "x: a file of 2000 bytes in it: needs 1.95 KiB of memory, and 1000 bytes are allowed");
  core::set_memory_budget(0);
}

TEST(TarReader, RefusesMoreThanADataSetHolds) {
  constexpr std::size_t kHalf = kMaxArchive / 2;
  core::Bytes archive = tar_entry("a", std::string(kHalf, 'a'));
  const core::Bytes second = claims(fmt::format("{:011o}", kHalf));
  archive.insert(archive.end(), second.begin(), second.end());
  expect_no_tar(archive, "size, got 134217728 bytes, expected at most 268435456 in all");
}

TEST(TarReader, RefusesAFileWithHoles) {
  // GNU's old sparse header: one piece of 5 bytes at byte 500, of a file of `size`.
  const auto sparse = [](const std::string& size) {
    const core::Bytes entry = with(tar_entry("a", "alpha", 'S'), 257, std::string("ustar  \0", 8));
    return tar({with(entry, 386,
                     std::string("00000000764\0"
                                 "00000000005\0",
                                 24) +
                         std::string(73, '\0') + size)});
  };
  EXPECT_EQ(read_all(sparse("00000000764"), /*contents=*/false).size(), 1u) << "it may be passed over";
  expect_error([&] { (void)read_all(sparse("00000001750")); }, ErrorKind::kData,
               "x: a file of 1000 bytes with holes, got 0 bytes, expected all of them");
  expect_no_tar(sparse("77777777777"), "size, got 8589934591 bytes, expected at most 268435456 in all");
}

}  // namespace
}  // namespace pellucid::data
