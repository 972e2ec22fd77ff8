#include "pellucid/core/events.h"

#include "pellucid/core/file.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include <events.pb.h>
#include <sys/resource.h>

#include <csignal>

namespace pellucid::core {
namespace {

// RFC 3720, appendix B.4, and the check value of the catalogue of CRC algorithms.
TEST(Crc32c, GivesThePublishedValues) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(""), 0u);
}

std::uint64_t number(const std::string& bytes, std::size_t at, int size) {
  std::uint64_t value = 0;
  for (int i = size; i-- > 0;) value = value << 8 | static_cast<std::uint8_t>(bytes.at(at + i));
  return value;
}
std::uint64_t masked(const std::string& bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return static_cast<std::uint32_t>(((crc >> 15) | (crc << 17)) + 0xA282EAD8u);
}

// The events of all files of a folder, in the order of the files' names; each record's checksums are looked at.
std::vector<events::Event> read_events(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<events::Event> list;
  for (const auto& file : files) {
    EXPECT_THAT(file.filename().string(), testing::StartsWith("events.out.tfevents."));
    const std::string content = read_text(file);
    for (std::size_t at = 0; at < content.size();) {
      const auto size = number(content, at, 8);
      EXPECT_EQ(number(content, at + 8, 4), masked(content.substr(at, 8)));
      const auto record = content.substr(at + 12, size);
      EXPECT_EQ(number(content, at + 12 + size, 4), masked(record));
      EXPECT_TRUE(list.emplace_back().ParseFromString(record));
      at += 16 + size;
    }
  }
  return list;
}

TEST(EventFile, HoldsScalarsAndImages) {
  const Folder folder;
  EventFile file(folder / "run");
  file.scalar("loss/epoch", 7, 0.25);
  const std::uint8_t png[] = {1, 2, 3};
  file.image("images", 8, png, 28, 56, 1);
  const auto list = read_events(folder / "run");
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].file_version(), "brain.Event:2");
  EXPECT_EQ(list[1].step(), 7);
  EXPECT_GT(list[1].wall_time(), 1.6e9);
  EXPECT_EQ(list[1].summary().value(0).tag(), "loss/epoch");
  EXPECT_EQ(list[1].summary().value(0).simple_value(), 0.25f);
  const auto& image = list[2].summary().value(0).image();
  EXPECT_EQ(image.encoded_image_string(), std::string("\1\2\3"));
  EXPECT_EQ(image.height(), 28);
  EXPECT_EQ(image.width(), 56);
  EXPECT_EQ(image.colorspace(), 1);
}

TEST(EventFile, IsWholeAfterEachEvent) {
  const Folder folder;
  EventFile file(folder.path());
  for (int i = 1; i <= 3; ++i) {
    file.scalar("x", i, i);
    EXPECT_EQ(read_events(folder.path()).size(), static_cast<std::size_t>(i + 1));
  }
}

TEST(EventFile, IsNotMadeWithoutAnEvent) {
  const Folder folder;
  { const EventFile file(folder / "none"); }
  EXPECT_FALSE(std::filesystem::exists(folder / "none"));
}

TEST(EventFile, WhatCannotBeWrittenIsAnError) {
  const Folder folder;
  write_file(folder / "taken", std::string_view("a file"));
  EventFile file(folder / "taken");
  for (int i = 0; i < 2; ++i) {
    expect_error([&] { file.scalar("x", 1, 1); }, ErrorKind::kIo, "cannot write: Not a directory");
  }
}

TEST(EventFile, AFullDiskIsAnError) {
  struct Limit {  // a file-size limit is a full disk that needs no disk
    rlimit before{};
    Limit() {
      std::signal(SIGXFSZ, SIG_IGN);
      getrlimit(RLIMIT_FSIZE, &before);
      const rlimit small{.rlim_cur = 1000, .rlim_max = before.rlim_max};
      setrlimit(RLIMIT_FSIZE, &small);
    }
    ~Limit() { setrlimit(RLIMIT_FSIZE, &before); }
  } const limit;
  const Folder folder;
  EventFile file(folder.path());
  file.scalar("x", 1, 1);
  expect_error([&] { file.scalar(std::string(2000, 'x'), 2, 2); }, ErrorKind::kIo, "cannot write: File too large");
}

}  // namespace
}  // namespace pellucid::core
