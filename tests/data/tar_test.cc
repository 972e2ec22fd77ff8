#include "pellucid/data/tar.h"

#include "tests/core/expect_error.h"
#include "tests/data/samples.h"

namespace pellucid::data {
namespace {

using core::ErrorKind;
using core::expect_error;

std::string text(const TarFile& file) { return {file.content.begin(), file.content.end()}; }

TEST(ParseTar, ReadsFilesAndPassesOverTheRest) {
  const core::Bytes archive = tar({tar_entry("d/", "", '5'), tar_entry("d/a", "alpha"), tar_entry("link", "", '2'),
                                   tar_entry("d/b", std::string(512, 'b')), tar_entry("old", "", '\0')});
  const auto files = parse_tar(archive, "x");
  ASSERT_EQ(files.size(), 3);
  EXPECT_EQ(files[0].name, "d/a");
  EXPECT_EQ(text(files[0]), "alpha");
  EXPECT_EQ(text(files[1]), std::string(512, 'b'));
  EXPECT_EQ(files[2].name, "old");
}

TEST(ParseTar, RefusesADamagedHeader) {
  core::Bytes archive = tar({tar_entry("a", "alpha")});
  archive[0] = 'b';
  expect_error([&] { (void)parse_tar(archive, "x"); }, ErrorKind::kData, "x: byte 148: tar header's checksum, got ");
}

TEST(ParseTar, RefusesATruncatedArchive) {
  const core::Bytes archive = tar({tar_entry("a", "alpha")});
  for (const std::size_t size : {0, 100, 512, 514, 600, 1024, 1500}) {
    expect_error([&] { (void)parse_tar(std::span(archive).first(size), "x"); }, ErrorKind::kData,
                 "truncated tar archive");
  }
}

}  // namespace
}  // namespace pellucid::data
