#include "pellucid/core/sealed.h"

#include "pellucid/core/config.h"
#include "pellucid/core/file.h"
#include "pellucid/core/memory.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"

#include <filesystem>

namespace pellucid::core {
namespace {

const Json kDocument = {{"schema", "x/1"}, {"figures", {1.5, nullptr, -2e-5}}, {"name", "ε"}};

TEST(Sealed, IsReadAsItWasWritten) {
  const Json whole = sealed(kDocument);
  EXPECT_EQ(std::prev(whole.end()).key(), "checksum");
  EXPECT_EQ(parse_sealed(to_text(whole), "x"), whole);
  EXPECT_EQ(sealed(whole), whole) << "a seal is not sealed";
}

TEST(Sealed, EveryFlippedBitAndEveryCutIsFound) {
  const std::string text = to_text(sealed(kDocument));
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {  // without the last line break the document is the same
    for (int bit = 0; bit < 8; ++bit) {
      std::string other = text;
      other[i] = static_cast<char>(other[i] ^ (1 << bit));
      expect_error([&] { (void)parse_sealed(other, "file"); }, ErrorKind::kData, "file: ");
    }
    expect_error([&] { (void)parse_sealed(text.substr(0, i), "file"); }, ErrorKind::kData, "file: not JSON");
  }
}

TEST(Sealed, WhatWasNeverSealedIsRead) {
  EXPECT_EQ(parse_sealed(to_text(kDocument), "x"), kDocument);
  EXPECT_EQ(parse_sealed("{}", "x"), Json::object());
  EXPECT_EQ(parse_sealed("[1]", "x"), Json({1}));
}

TEST(Sealed, RefusesWhatIsNoDocument) {
  expect_error([] { (void)parse_sealed("", "file"); }, ErrorKind::kData, "file: not JSON");
  expect_error([] { (void)parse_sealed("{\"a\": 1e999}", "file"); }, ErrorKind::kData, "a number is out of range");
  expect_error([] { (void)parse_sealed(std::string(200'000, '['), "file"); }, ErrorKind::kData, "file: ");
  expect_error([] { (void)parse_sealed(std::string(101, '[') + std::string(101, ']'), "file"); }, ErrorKind::kData,
               "nested more than 100 deep");
  (void)parse_sealed(std::string(100, '[') + std::string(100, ']'), "file");
}

TEST(Sealed, AFileThatMemoryHasNoRoomForIsNotRead) {
  const Folder folder;
  write_file(folder / "big.json", "{}");
  std::filesystem::resize_file(folder / "big.json", std::uint64_t{7} << 30);  // sparse
  set_memory_budget(std::uint64_t{1} << 30);
  expect_error([&] { (void)read_sealed(folder / "big.json"); }, ErrorKind::kIo, "big.json");
  set_memory_budget(0);
}

}  // namespace
}  // namespace pellucid::core
