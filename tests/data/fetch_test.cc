#include "pellucid/data/fetch.h"

#include "pellucid/core/stop.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/data/environment.h"
#include "tests/data/samples.h"
#include "tests/data/server.h"
#include <fcntl.h>
#include <sys/file.h>

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;
using core::ErrorKind;
using core::expect_error;
using testing::ElementsAre;

class Fetching : public testing::Test {
 protected:
  void get(const std::string& url, const Patience& patience = {}) const {
    download(url, content, target, {}, patience);
  }
  [[nodiscard]] std::string file_url() const {
    core::write_file(here / "published", text);
    return "file://" + (here / "published").string();
  }
  void put_part(const std::string& begun) const { core::write_file(part, begun); }

  const std::string text = "the content of a file that people publish";
  const Download content{.file = "file", .sha256 = core::sha256(text), .bytes = text.size()};
  core::Folder here;
  fs::path target = here / "sub/target";
  fs::path part = here / "sub/target.part";
};

TEST_F(Fetching, GetsAFile) {
  const Server server(text, true);
  std::vector<core::Progress> reports;
  download(server.url() + "file", content, target, [&](const auto& report) { reports.push_back(report); });
  EXPECT_EQ(core::read_text(target), text);
  EXPECT_FALSE(fs::exists(part));
  ASSERT_FALSE(reports.empty());
  EXPECT_EQ(reports.back().task, "fetch target");
  EXPECT_EQ(reports.back().done, static_cast<std::int64_t>(text.size()));
  EXPECT_EQ(reports.back().total, static_cast<std::int64_t>(text.size()));
}

TEST_F(Fetching, GoesOnWhereItStopped) {
  const Server server(text, true);
  put_part(text.substr(0, 10));
  get(server.url() + "file");
  EXPECT_EQ(core::read_text(target), text);
  EXPECT_THAT(server.asked(), ElementsAre("bytes=10-"));
}

TEST_F(Fetching, GoesOnWithAFileUrl) {
  const std::string url = file_url();
  put_part(text.substr(0, 10));
  get(url);
  EXPECT_EQ(core::read_text(target), text);
}

TEST_F(Fetching, BeginsAnewWhereNothingIsLeft) {
  const Server server(text, true);
  put_part(std::string(text.size(), 'x'));
  get(server.url() + "file");
  EXPECT_EQ(core::read_text(target), text);
}

TEST_F(Fetching, BeginsAnewWhereTheServerCannotResume) {
  const Server server(text, false);
  put_part(text.substr(0, 10));
  get(server.url() + "file");
  EXPECT_EQ(core::read_text(target), text);
  EXPECT_THAT(server.asked(), ElementsAre("bytes=10-", ""));
}

TEST_F(Fetching, BeginsAnewWhereThePartIsTooLong) {
  const std::string url = file_url();
  put_part(text + " and more");
  get(url);
  EXPECT_EQ(core::read_text(target), text);
}

TEST_F(Fetching, RefusesAWrongHash) {
  const std::string url = file_url();
  const std::string expected = core::sha256("another text");
  expect_error(
      [&] {
        download(url, {"file", expected, text.size()}, target, {});
      },
      ErrorKind::kData, fmt::format("{}: SHA-256, got {}, expected {}", url, core::sha256(text), expected));
  EXPECT_FALSE(fs::exists(part));
  EXPECT_FALSE(fs::exists(target));
}

TEST_F(Fetching, BeginsAnewWhereThePartIsOfAnotherFile) {
  for (const bool ranges : {true, false}) {
    const Server server(text, ranges);
    for (const std::string& other : {std::string(10, 'x'), std::string(text.size() - 1, 'x'),
                                     std::string(text.size(), 'x'), std::string(1000, 'x')}) {
      put_part(other);
      get(server.url() + "file");
      EXPECT_EQ(core::read_text(target), text) << other.size();
      EXPECT_FALSE(fs::exists(part));
    }
  }
}

TEST_F(Fetching, FinishesAWholePartWithoutTheServer) {
  put_part(text);
  get("http://127.0.0.1:1/file");
  EXPECT_EQ(core::read_text(target), text);
}

TEST_F(Fetching, TakesNoMoreThanTheFileHolds) {
  const Server server(text, true, Fault::kEndless);
  for (const std::string& begun : {std::string(), text.substr(0, 10)}) {
    if (!begun.empty()) put_part(begun);
    expect_error([&] { get(server.url() + "file"); }, ErrorKind::kData,
                 fmt::format("file: got more than the {} bytes that the file holds; it was deleted", text.size()));
    EXPECT_FALSE(fs::exists(part));
  }
}

TEST_F(Fetching, GivesUpATransferThatHardlyMoves) {
  const Server server(text, true, Fault::kSlow);
  expect_error([&] { get(server.url() + "file", {.bytes = 1000, .seconds = 1}); }, ErrorKind::kIo,
               "file: fewer than 1000 bytes a second for 1 seconds; try again (it goes on where it stopped)");
  EXPECT_EQ(core::read_text(part), text.substr(0, 2));
}

TEST_F(Fetching, KeepsAPartThatEndedEarly) {
  const Server server(text, true, Fault::kEndsEarly);
  expect_error([&] { get(server.url() + "file"); }, ErrorKind::kIo,
               fmt::format("file: ended after {} of {} bytes; try again", text.size() / 2, text.size()));
  EXPECT_EQ(core::read_text(part), text.substr(0, text.size() / 2));
  const Server sound(text, true);
  get(sound.url() + "file");
  EXPECT_EQ(core::read_text(target), text);
}

TEST_F(Fetching, EndsWhereRedirectionsDoNot) {
  const Server server(text, true, Fault::kRedirects);
  expect_error([&] { get(server.url() + "file"); }, ErrorKind::kIo, "file: Maximum (10) redirects followed; try again");
}

TEST_F(Fetching, LeavesAPartAloneThatAnotherProcessFetches) {
  put_part("x");
  const int other = ::open(part.c_str(), O_WRONLY);
  ASSERT_EQ(::flock(other, LOCK_EX), 0);
  expect_error([&] { get(file_url()); }, ErrorKind::kIo, "sub/target.part: another process is fetching it");
  ::close(other);
  get(file_url());
  EXPECT_EQ(core::read_text(target), text);
}

TEST_F(Fetching, NamesTheUrlThatFailed) {
  const Server server(text, true);
  const std::string url = server.url() + "other";
  expect_error([&] { get(url); }, ErrorKind::kIo, url + ": The requested URL returned error: 404; try again");
  expect_error([&] { get("file:///no/such/file"); }, ErrorKind::kIo, "file:///no/such/file: ");
}

TEST_F(Fetching, RefusesAFolderThatCannotBeWritten) {
  core::write_file(here / "sub", "a file where the folder should be");
  expect_error([&] { get("file:///x"); }, ErrorKind::kIo, "sub/target.part: cannot write: ");
}

TEST_F(Fetching, StopsWhenAsked) {
  const Server server(text, true);
  put_part(text.substr(0, 10));
  core::request_stop();
  expect_error([&] { get(server.url() + "file"); }, ErrorKind::kStopped, "");
  core::request_stop(false);
  EXPECT_TRUE(fs::exists(part));
  EXPECT_FALSE(fs::exists(target));
  get(server.url() + "file");
  EXPECT_EQ(core::read_text(target), text);
}

// A source like CIFAR-10's, of two small files.
class FetchArchive : public testing::Test {
 protected:
  void publish(const std::vector<core::Bytes>& entries) {
    const core::Bytes archive = gzip(tar(entries));
    core::write_file(here / "web/two.tar.gz", archive);
    source.downloads = {{"two.tar.gz", core::sha256(archive), archive.size()}};
  }
  core::Folder here;
  Source source{.name = "two",
                .summary = "",
                .classes = {},
                .folders = {"two-files"},
                .train_files = {"a.bin"},
                .test_files = {"b.bin"},
                .base_url = "file://" + (here / "web").string() + "/",
                .downloads = {},
                .read = nullptr};
};

TEST_F(FetchArchive, UnpacksTheFilesExpectedAndNoOthers) {
  publish({tar_entry("two-files/a.bin", "alpha"), tar_entry("../evil", "evil"), tar_entry("two-files/b.bin", "beta"),
           tar_entry("two-files/readme", "text")});
  EXPECT_EQ(fetch(source, here / "data", {}), here / "data/two-files");
  EXPECT_EQ(core::read_text(here / "data/two-files/a.bin"), "alpha");
  EXPECT_EQ(core::read_text(here / "data/two-files/b.bin"), "beta");
  EXPECT_FALSE(fs::exists(here / "data/two-files/readme"));
  EXPECT_FALSE(fs::exists(here / "evil"));
  EXPECT_FALSE(fs::exists(here / "data/evil"));
  EXPECT_FALSE(fs::exists(here / "data/two.tar.gz"));
}

TEST_F(FetchArchive, LeavesWhatIsThereAlone) {
  publish({tar_entry("two-files/a.bin", "alpha"), tar_entry("two-files/b.bin", "beta")});
  core::write_file(here / "data/two-files/a.bin", "mine");
  fetch(source, here / "data", {});
  EXPECT_EQ(core::read_text(here / "data/two-files/a.bin"), "mine");
  EXPECT_EQ(core::read_text(here / "data/two-files/b.bin"), "beta");
  source.base_url = "file:///no/such/";
  EXPECT_NO_THROW(fetch(source, here / "data", {}));
}

TEST_F(FetchArchive, RefusesAnArchiveThatLacksAFile) {
  publish({tar_entry("two-files/a.bin", "alpha")});
  expect_error([&] { fetch(source, here / "data", {}); }, ErrorKind::kData,
               "two.tar.gz: no file two-files/b.bin in it");
}

TEST(Fetch, GetsSeveralFiles) {
  const core::Folder here;
  core::write_file(here / "web/a.gz", "alpha");
  core::write_file(here / "web/b.gz", "beta");
  const Source source{.name = "two",
                      .summary = "",
                      .classes = {},
                      .folders = {"two"},
                      .train_files = {"a"},
                      .test_files = {"b"},
                      .base_url = "file://" + (here / "web").string() + "/",
                      .downloads = {{"a.gz", core::sha256("alpha"), 5}, {"b.gz", core::sha256("beta"), 4}},
                      .read = nullptr};
  fetch(source, here / "data", {});
  EXPECT_EQ(core::read_text(here / "data/two/a.gz"), "alpha");
  EXPECT_EQ(core::read_text(here / "data/two/b.gz"), "beta");
}

TEST(Fetch, RefusesAMirrorWithOtherContent) {
  const core::Folder here;
  core::write_file(here / "web/train-images-idx3-ubyte.gz", core::Bytes(9'912'422));
  const std::string mirror = "file://" + (here / "web").string();
  expect_error([&] { fetch("mnist", here / "data", {}, mirror); }, ErrorKind::kData,
               "expected 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609");
  EXPECT_TRUE(fs::is_empty(here / "data/mnist"));
  core::write_file(here / "web/train-images-idx3-ubyte.gz", "a page of the network's login");
  expect_error([&] { fetch("mnist", here / "data", {}, mirror); }, ErrorKind::kIo, "ended after 29 of 9912422 bytes");
}

TEST(Fetch, RefusesAnUnknownName) {
  expect_error([] { fetch("cifar", "/x", {}); }, ErrorKind::kUsage,
               "fetch: got \"cifar\", expected mnist, fashion_mnist or cifar10 (did you mean cifar10?)");
}

TEST(Fetch, RefusesToGuessAFolder) {
  const Variable data("PELLUCID_DATA", std::nullopt);
  const Variable cache("XDG_CACHE_HOME", std::nullopt);
  const Variable home("HOME", std::nullopt);
  expect_error([] { fetch("mnist", "", {}); }, ErrorKind::kUsage, "fetch mnist: no folder to put it in");
}

}  // namespace
}  // namespace pellucid::data
