#include "pellucid/data/byte_stream.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/data/samples.h"
#include <sys/stat.h>
#include <unistd.h>

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;
using core::ErrorKind;
using core::expect_error;

// All that is left, asked for in pieces of `piece`.
core::Bytes rest(ByteStream stream, std::size_t piece = 1000) {
  core::Bytes all;
  for (;;) {
    core::Bytes part(piece);
    part.resize(stream.read(part));
    if (part.empty()) return all;
    all.insert(all.end(), part.begin(), part.end());
  }
}

core::Bytes varied(std::size_t size) {
  core::Bytes content(size);
  for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<std::uint8_t>(i * i >> 3);
  return content;
}

core::Bytes operator+(core::Bytes a, const core::Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

void expect_no_content(const core::Bytes& content, const std::string& message) {
  expect_error([&] { (void)rest(ByteStream(content, "x")); }, ErrorKind::kData, message);
}

TEST(ByteStream, GivesPlainAndPackedBytesOfMemoryAndFiles) {
  const core::Folder folder;
  for (const std::size_t size : {0, 1, 65'535, 65'536, 65'537, 300'000}) {
    const core::Bytes content = varied(size);
    for (const core::Bytes& stored : {content, gzip(content)}) {
      core::write_file(folder / "x", stored);
      for (const std::size_t piece : {7, 65'536, 1'000'000}) {
        EXPECT_EQ(rest(ByteStream(stored, "x"), piece), content) << size << " in pieces of " << piece;
        EXPECT_EQ(rest(ByteStream(folder / "x"), piece), content) << size << " in pieces of " << piece;
      }
    }
  }
}

TEST(ByteStream, JoinsGzipMembersAndPassesOverPaddingWithZeros) {
  const core::Bytes a = bytes("some "), b = bytes("text"), none;
  EXPECT_EQ(rest(ByteStream(gzip(a) + gzip(none) + gzip(b), "x"), 3), a + b);
  EXPECT_EQ(rest(ByteStream(gzip(a) + core::Bytes(512), "x")), a);
}

TEST(ByteStream, SaysHowMuchCanCome) {
  const core::Bytes zeros(1 << 20), packed = gzip(zeros);
  EXPECT_EQ(ByteStream(zeros, "x").most_left(), zeros.size());
  ByteStream stream(packed, "x");
  EXPECT_EQ(stream.name(), "x (unpacked)");
  core::Bytes part(1 << 19);
  while (true) {
    EXPECT_GE(stream.position() + stream.most_left(), zeros.size());
    if (stream.read(part) == 0) break;
  }
  EXPECT_EQ(stream.position(), zeros.size());
  EXPECT_LT(ByteStream(packed, "x").most_left(), 3 * zeros.size());
}

TEST(ByteStream, UnpacksNoFurtherThanAsked) {
  core::Bytes damaged = gzip(varied(1 << 20));
  damaged[damaged.size() / 2] ^= 1;
  ByteStream stream(damaged, "x");
  core::Bytes part(1000);
  EXPECT_EQ(stream.read(part), 1000u) << "the damage lies behind";
}

TEST(ByteStream, RefusesEveryTruncation) {
  const core::Bytes packed = gzip(bytes("some text, some text, some text"));
  for (std::size_t size = 2; size < packed.size(); ++size) {
    expect_no_content({packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(size)},
                      fmt::format("x: byte {}: truncated gzip data", size));
  }
}

TEST(ByteStream, RefusesDamage) {
  core::Bytes packed = gzip(bytes("some text, some text, some text"));
  packed[packed.size() - 6] ^= 1;  // in the checksum
  expect_no_content(packed, "damaged gzip data: incorrect data check");
}

TEST(ByteStream, RefusesWhatFollows) {
  const core::Bytes packed = gzip(bytes("text"));
  expect_no_content(packed + core::Bytes{7},
                    fmt::format("x: byte {}: gzip data end here, got 1 bytes more, expected none", packed.size()));
  expect_no_content(packed + core::Bytes{0, 7},
                    fmt::format("x: byte {}: gzip data end here, got 2 bytes more", packed.size()));
  expect_no_content(packed + core::Bytes(1 << 20), "bytes more, expected none");
}

TEST(ByteStream, RefusesWhatIsNoFile) {
  const core::Folder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error([&] { (void)ByteStream(folder / "pipe"); }, ErrorKind::kIo, "pipe: cannot read: not a regular file");
  expect_error([&] { (void)ByteStream(folder.path()); }, ErrorKind::kIo, "cannot read: Is a directory");
  expect_error([&] { (void)ByteStream(folder / "none"); }, ErrorKind::kIo, "none: cannot open: No such file");
}

TEST(FindFile, PrefersThePlainFileAndKnowsTheDottedName) {
  const core::Folder folder;
  const auto plain = folder / "train-images-idx3-ubyte", dotted = folder / "train-images.idx3-ubyte";
  EXPECT_TRUE(find_file(plain).empty());
  for (const fs::path& path : {fs::path(dotted.string() + ".gz"), dotted, fs::path(plain.string() + ".gz"), plain}) {
    core::write_file(path, "");
    EXPECT_EQ(find_file(plain), path);
  }
}

TEST(FindFile, PassesOverAFolderOfThatName) {
  const core::Folder folder;
  fs::create_directories(folder / "x");
  core::write_file(folder / "x.gz", "");
  EXPECT_EQ(find_file(folder / "x"), folder / "x.gz");
}

TEST(FindFile, DoesNotTakeAPlaceThatCannotBeLookedAtForAnEmptyOne) {
  const core::Folder folder;
  fs::create_directory_symlink("loop", folder / "loop");
  expect_error([&] { (void)find_file(folder / "loop" / "x"); }, ErrorKind::kIo,
               "loop/x: Too many levels of symbolic links");
}

}  // namespace
}  // namespace pellucid::data
