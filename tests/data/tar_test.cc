#include "pellucid/data/tar.h"

#include "tests/core/expect_error.h"
#include "tests/data/samples.h"

namespace pellucid::data {
namespace {

using core::ErrorKind;
using core::expect_error;

using Files = std::vector<std::pair<std::string, std::string>>;

Files read_all(const core::Bytes& archive, bool contents = true) {
  TarReader reader{ByteStream(archive, "x")};
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

// The header of an empty file with `size` in its field of twelve bytes, and a checksum that is right.
core::Bytes claims(const std::string& size) {
  core::Bytes block = tar_entry("a", "");
  std::copy(size.begin(), size.end(), block.begin() + 124);
  unsigned sum = 8 * ' ';
  for (int i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? 0 : block[i];
  const auto checksum = fmt::format("{:06o}", sum);
  std::copy(checksum.begin(), checksum.end(), block.begin() + 148);
  return block;
}

TEST(TarReader, ReadsFilesAndPassesOverTheRest) {
  const core::Bytes archive = tar({tar_entry("d/", "", '5'), tar_entry("d/a", "alpha"), tar_entry("link", "", '2'),
                                   tar_entry("d/b", std::string(512, 'b')), tar_entry("old", "", '\0')});
  const Files expected{{"d/a", "alpha"}, {"d/b", std::string(512, 'b')}, {"old", ""}};
  EXPECT_EQ(read_all(archive), expected);
  EXPECT_EQ(read_all(gzip(archive)), expected);
  EXPECT_EQ(read_all(archive, /*contents=*/false).size(), 3u) << "what is not asked for is passed over";
}

TEST(TarReader, RefusesADamagedHeader) {
  core::Bytes archive = tar({tar_entry("a", "alpha")});
  archive[0] = 'b';
  expect_no_tar(archive, "x: byte 148: tar header's checksum, got ");
  expect_no_tar(claims("0000000000x"), "x: byte 124: size, expected octal digits");
  expect_no_tar(claims(std::string("\x80\0\0\0\0\0\0\0\0\0\1\0", 12)), "x: byte 124: size, expected octal digits");
}

TEST(TarReader, RefusesATruncatedArchive) {
  const core::Bytes archive = tar({tar_entry("a", "alpha")});
  for (const std::size_t size : {0, 100, 512, 514, 600, 1024, 1500}) {
    expect_no_tar({archive.begin(), archive.begin() + static_cast<std::ptrdiff_t>(size)}, "truncated tar archive");
    expect_no_tar(gzip({archive.begin(), archive.begin() + static_cast<std::ptrdiff_t>(size)}),
                  "truncated tar archive");
  }
}

TEST(TarReader, RefusesAClaimBeforeAnythingIsAllocated) {
  expect_no_tar(claims("77777777777"), "x: byte 124: size, got 8589934591 bytes, expected at most 268435456 in all");
  expect_no_tar(claims("777777777777"), "expected at most 268435456 in all");
  expect_no_tar(claims("00777777777"), "x: byte 512: truncated tar archive, got at most 0 bytes, expected 134217727");
}

}  // namespace
}  // namespace pellucid::data
