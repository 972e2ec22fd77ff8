#include "pellucid/core/file.h"

#include "expect_error.h"
#include "folder.h"

namespace pellucid::core {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names(const Folder& folder) {
  std::vector<std::string> list;
  for (const auto& entry : fs::directory_iterator(folder.path())) list.push_back(entry.path().filename());
  return list;
}

TEST(WriteFile, RoundTripsEveryByte) {
  const Folder folder;
  Bytes content(70'000);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::uint8_t>(i * 7);
  write_file(folder / "x", content);
  EXPECT_EQ(read_file(folder / "x"), content);
}

TEST(WriteFile, MakesMissingFolders) {
  const Folder folder;
  write_file(folder / "a/b/x", "text");
  EXPECT_EQ(read_text(folder / "a/b/x"), "text");
}

TEST(WriteFile, ReplacesAndLeavesNothingElseBehind) {
  const Folder folder;
  write_file(folder / "x", "a longer old text");
  write_file(folder / "x", "new");
  EXPECT_EQ(read_text(folder / "x"), "new");
  EXPECT_THAT(names(folder), testing::ElementsAre("x"));
}

// A reader that has the old file open goes on reading the old content: the file is replaced, not rewritten.
TEST(WriteFile, DoesNotTouchTheOldFile) {
  const Folder folder;
  write_file(folder / "x", "old");
  fs::create_hard_link(folder / "x", folder / "same");
  write_file(folder / "x", "new");
  EXPECT_EQ(read_text(folder / "same"), "old");
}

TEST(WriteFile, IsReadableByOthers) {
  const Folder folder;
  write_file(folder / "x", "text");
  EXPECT_EQ(fs::status(folder / "x").permissions(), static_cast<fs::perms>(0644));
}

TEST(WriteFile, LeavesNothingBehindWhenItFails) {
  const Folder folder;
  fs::create_directory(folder / "taken");
  expect_error([&] { write_file(folder / "taken", "text"); }, ErrorKind::kIo, "taken: cannot write: ");
  EXPECT_THAT(names(folder), testing::ElementsAre("taken"));
}

TEST(WriteFile, RefusesAFileInPlaceOfAFolder) {
  const Folder folder;
  write_file(folder / "file", "text");
  expect_error([&] { write_file(folder / "file/x", "text"); }, ErrorKind::kIo, "file: cannot make the folder: ");
  EXPECT_EQ(read_text(folder / "file"), "text");
}

TEST(ReadFile, AnEmptyFileHoldsNothing) {
  const Folder folder;
  write_file(folder / "x", "");
  EXPECT_TRUE(read_file(folder / "x").empty());
}

TEST(ReadFile, RefusesAMissingFile) {
  const Folder folder;
  expect_error([&] { (void)read_file(folder / "none"); }, ErrorKind::kIo,
               "none: cannot open: No such file or directory");
}

TEST(ReadFile, RefusesAFolder) {
  const Folder folder;
  expect_error([&] { (void)read_file(folder.path()); }, ErrorKind::kIo, "cannot read: Is a directory");
}

TEST(ReadFile, RefusesAFileThatCannotBeOpened) {
  const Folder folder;
  fs::create_symlink(folder / "loop", folder / "loop");  // missing permissions would not stop root
  expect_error([&] { (void)read_file(folder / "loop"); }, ErrorKind::kIo, "loop: cannot open: Too many levels");
}

TEST(ReadFile, RefusesMoreThanItsLimit) {
  const Folder folder;
  write_file(folder / "x", "12345");
  EXPECT_EQ(read_file(folder / "x", 5).size(), 5u);
  expect_error([&] { (void)read_file(folder / "x", 4); }, ErrorKind::kIo, "x: size: got 5 bytes, expected at most 4");
}

// The examples of FIPS 180-2, appendix B, and the empty message.
TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256(Bytes(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Base64, MatchesTheVectorsOfRfc4648) {
  EXPECT_EQ(base64(Bytes{}), "");
  EXPECT_EQ(base64(Bytes{'f'}), "Zg==");
  EXPECT_EQ(base64(Bytes{'f', 'o'}), "Zm8=");
  EXPECT_EQ(base64(Bytes{'f', 'o', 'o', 'b', 'a', 'r'}), "Zm9vYmFy");
}

}  // namespace
}  // namespace pellucid::core
