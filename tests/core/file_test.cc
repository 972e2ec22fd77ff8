#include "pellucid/core/file.h"

#include "pellucid/core/memory.h"
#include "pellucid/core/stop.h"

#include "folder.h"
#include "tests/core/expect_error.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <thread>

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

unsigned permissions(const fs::path& path) { return static_cast<unsigned>(fs::status(path).permissions()); }

struct Umask {
  mode_t before;
  explicit Umask(mode_t mask) : before(umask(mask)) {}
  ~Umask() { umask(before); }
};

TEST(WriteFile, FollowsTheUmask) {
  const Folder folder;
  for (const unsigned mask : {0000u, 0022u, 0027u, 0077u}) {
    const Umask set(mask);
    const auto path = folder / std::to_string(mask);
    write_file(path, "text");
    EXPECT_EQ(permissions(path), 0666u & ~mask);
    write_file(folder / ("private " + std::to_string(mask)), "text", 0600);
    EXPECT_EQ(permissions(folder / ("private " + std::to_string(mask))), 0600u & ~mask);
  }
}

TEST(WriteFile, KeepsAnOldFilesPermissions) {
  const Folder folder;
  for (const unsigned mode : {0600u, 0640u, 0666u, 0755u}) {
    write_file(folder / "x", "old");
    ASSERT_EQ(chmod((folder / "x").c_str(), mode), 0);
    write_file(folder / "x", "new", 0644);
    EXPECT_EQ(permissions(folder / "x"), mode);
    EXPECT_EQ(read_text(folder / "x"), "new");
  }
}

TEST(WriteFile, FollowsASymbolicLink) {
  const Folder folder;
  fs::create_directory(folder / "there");
  write_file(folder / "there/x", "old");
  fs::create_hard_link(folder / "there/x", folder / "same");
  fs::create_symlink("there/x", folder / "near");
  fs::create_symlink("near", folder / "far");
  write_file(folder / "far", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "near"));
  EXPECT_TRUE(fs::is_symlink(folder / "far"));
  EXPECT_EQ(read_text(folder / "there/x"), "new");
  EXPECT_EQ(read_text(folder / "same"), "old");  // replaced, as any other
}

TEST(WriteFile, ALinkToNothingMakesWhatItNames) {
  const Folder folder;
  fs::create_symlink("made/x", folder / "link");
  write_file(folder / "link", "text");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_text(folder / "made/x"), "text");
  fs::create_symlink("loop", folder / "loop");
  expect_error([&] { write_file(folder / "loop", "text"); }, ErrorKind::kIo, "loop: cannot write: Too many levels");
}

// Nodes of the test's own: what is broken here would replace the machine's.
TEST(WriteFile, WritesToADevice) {
  const Folder folder;
  if (mknod((folder / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0 ||
      mknod((folder / "full").c_str(), S_IFCHR | 0666, makedev(1, 7)) != 0) {
    GTEST_SKIP() << "needs the right to make devices";
  }
  fs::create_symlink("null", folder / "link");
  if (const int probe = ::open((folder / "null").c_str(), O_WRONLY); probe >= 0) {
    ::close(probe);
  } else {
    GTEST_SKIP() << "this file system has no devices";
  }
  write_file(folder / "null", "text");
  write_file(folder / "link", "text");
  expect_error([&] { write_file(folder / "full", "text"); }, ErrorKind::kIo,
               "full: cannot write: No space left on device");
  EXPECT_TRUE(fs::is_character_file(folder / "null"));
  EXPECT_TRUE(fs::is_character_file(folder / "full"));
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(names(folder).size(), 3u);
}

TEST(WriteFile, WritesToAPipe) {
  const Folder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  const std::string content(300'000, 'x');  // more than a pipe holds
  Bytes got;
  {
    const std::jthread reader([&] { got = read_file(folder / "pipe"); });
    write_file(folder / "pipe", content);
  }
  EXPECT_EQ(std::string(got.begin(), got.end()), content);
  EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
  expect_error([&] { write_file(folder / "pipe", "text"); }, ErrorKind::kIo,
               "pipe: cannot write: it is a pipe that nobody reads");
}

TEST(WriteFile, WritesToADescriptorOfThisProcess) {
  const Folder folder;
  const int fd = ::open((folder / "x").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::write(fd, "before ", 7), 7);
  for (const char* place : {"/dev/fd/", "/proc/self/fd/"}) write_file(place + std::to_string(fd), "text");
  ::close(fd);
  EXPECT_EQ(read_text(folder / "x"), "before texttext");
}

TEST(WriteFile, RemovesWhatKilledProcessesLeft) {
  const Folder folder;
  const auto make = [&](const std::string& name) { return ::open((folder / name).c_str(), O_RDWR | O_CREAT, 0600); };
  const int mine = make(".pellucid-9-1.tmp");  // of a process that lives
  ASSERT_EQ(::flock(mine, LOCK_EX), 0);
  for (const char* name : {".pellucid-9-2.tmp", ".pellucid-1.txt", "pellucid-9-3.tmp", ".other-9-4.tmp"})
    ::close(make(name));
  fs::create_symlink("none", folder / ".pellucid-9-5.tmp");
  write_file(folder / "x", "text");
  EXPECT_THAT(names(folder), testing::UnorderedElementsAre("x", ".pellucid-9-1.tmp", ".pellucid-1.txt",
                                                           "pellucid-9-3.tmp", ".other-9-4.tmp", ".pellucid-9-5.tmp"));
  ::close(mine);
}

TEST(WriteFile, RefusesAFolder) {
  const Folder folder;
  fs::create_directory(folder / "taken");
  expect_error([&] { write_file(folder / "taken/", "text"); }, ErrorKind::kIo, "cannot write: Is a directory");
  expect_error([&] { write_file(folder / "none/", "text"); }, ErrorKind::kIo, "cannot write: Is a directory");
  EXPECT_THAT(names(folder), testing::ElementsAre("taken"));
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

// Nothing of that size is allocated: the file has holes only, and no machine has so much memory.
TEST(ReadFile, RefusesASparseFileAtOnce) {
  const Folder folder;
  write_file(folder / "x", "");
  fs::resize_file(folder / "x", std::uint64_t{1} << 42);
  expect_error([&] { (void)read_file(folder / "x"); }, ErrorKind::kIo,
               "x: size: got 4398046511104 bytes, expected at most");
  expect_error([&] { (void)read_file(folder / "x", UINT64_MAX); }, ErrorKind::kData, "needs 4.1e+03 GiB of memory");
}

TEST(ReadFile, ReadsToTheEndWhateverTheSizeSays) {
  EXPECT_THAT(read_text("/proc/self/status"), testing::HasSubstr("Umask:"));  // its size is 0
  expect_error([] { (void)read_text("/proc/self/status", 10); }, ErrorKind::kIo,
               "size: got more than 10 bytes, expected at most 10");
  EXPECT_EQ(read_text("/dev/null"), "");
  expect_error([] { (void)read_file("/dev/zero"); }, ErrorKind::kIo, "/dev/zero: size: got more than 1048576 bytes");
  expect_error([] { (void)read_file("/proc/self/mem"); }, ErrorKind::kIo, "/proc/self/mem: cannot read: ");
}

struct Pipe {
  int read_end = -1, write_end = -1;
  Pipe() {
    int ends[2];
    if (::pipe(ends) == 0) read_end = ends[0], write_end = ends[1];
  }
  ~Pipe() {
    ::close(read_end);
    close_writer();
  }
  void close_writer() {
    if (write_end >= 0) ::close(write_end);
    write_end = -1;
  }
  [[nodiscard]] std::string name() const { return "/dev/fd/" + std::to_string(read_end); }
};

// What a shell's <(...) hands over.
TEST(ReadFile, ReadsAPipeToItsEnd) {
  Pipe pipe;
  const std::string content(300'000, 'x');
  std::jthread writer([&] {
    for (std::size_t i = 0; i < content.size(); i += 50'000) {
      ASSERT_EQ(::write(pipe.write_end, content.data() + i, 50'000), 50'000);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    pipe.close_writer();
  });
  EXPECT_EQ(read_text(pipe.name()), content);
}

TEST(ReadFile, AnEmptyPipeHoldsNothing) {
  Pipe pipe;
  pipe.close_writer();
  EXPECT_EQ(read_text(pipe.name()), "");
}

TEST(ReadFile, RefusesMoreThanItsLimitFromAPipe) {
  Pipe pipe;
  ASSERT_EQ(::write(pipe.write_end, "12345", 5), 5);
  expect_error([&] { (void)read_file(pipe.name(), 4); }, ErrorKind::kIo,
               "size: got more than 4 bytes, expected at most 4");
}

TEST(ReadFile, ReadsANamedPipeAndDoesNotWaitForNobody) {
  const Folder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  {
    const std::jthread writer([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));  // later than the reader
      const int fd = ::open((folder / "pipe").c_str(), O_WRONLY);
      std::this_thread::sleep_for(std::chrono::seconds(3));  // longer than nobody is waited for
      EXPECT_EQ(::write(fd, "text", 4), 4);
      ::close(fd);
    });
    EXPECT_EQ(read_text(folder / "pipe"), "text");
  }
  expect_error([&] { (void)read_file(folder / "pipe"); }, ErrorKind::kIo,
               "pipe: cannot read: it is a pipe that nobody writes to");
}

TEST(ReadFile, IsStoppedWhileItWaits) {
  const Pipe pipe;
  const std::jthread stop([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    request_stop();
  });
  expect_error([&] { (void)read_file(pipe.name()); }, ErrorKind::kStopped, "stopped on request");
  request_stop(false);
}

TEST(ReadFile, KeepsToTheMemoryBudget) {
  const Folder folder;
  write_file(folder / "x", std::string(200'000, 'x'));
  set_memory_budget(100'000);
  expect_error([&] { (void)read_file(folder / "x"); }, ErrorKind::kData,
               "x: needs 195 KiB of memory, and 97.7 KiB are allowed");
  set_memory_budget(0);
  EXPECT_EQ(read_file(folder / "x").size(), 200'000u);
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
