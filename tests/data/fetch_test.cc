#include "pellucid/data/fetch.h"

#include "pellucid/core/stop.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/data/environment.h"
#include "tests/data/samples.h"
#include "tests/data/server.h"

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;
using core::ErrorKind;
using core::expect_error;
using testing::ElementsAre;
using testing::HasSubstr;

class Download : public testing::Test {
 protected:
  void get(const std::string& url) const { download(url, core::sha256(text), target, {}); }
  [[nodiscard]] std::string file_url() const {
    core::write_file(here / "published", text);
    return "file://" + (here / "published").string();
  }
  void put_part(const std::string& content) const { core::write_file(part, content); }

  const std::string text = "the content of a file that people publish";
  core::Folder here;
  fs::path target = here / "sub/target";
  fs::path part = here / "sub/target.part";
};

TEST_F(Download, GetsAFile) {
  const Server server(text, true);
  std::vector<core::Progress> reports;
  download(server.url() + "file", core::sha256(text), target, [&](const auto& report) { reports.push_back(report); });
  EXPECT_EQ(core::read_text(target), text);
  EXPECT_FALSE(fs::exists(part));
  ASSERT_FALSE(reports.empty());
  EXPECT_EQ(reports.back().task, "fetch target");
  EXPECT_EQ(reports.back().done, static_cast<std::int64_t>(text.size()));
  EXPECT_EQ(reports.back().total, static_cast<std::int64_t>(text.size()));
}

TEST_F(Download, GoesOnWhereItStopped) {
  const Server server(text, true);
  put_part(text.substr(0, 10));
  get(server.url() + "file");
  EXPECT_EQ(core::read_text(target), text);
  EXPECT_THAT(server.requests(), ElementsAre(HasSubstr("Range: bytes=10-")));
}

TEST_F(Download, GoesOnWithAFileUrl) {
  const std::string url = file_url();
  put_part(text.substr(0, 10));
  get(url);
  EXPECT_EQ(core::read_text(target), text);
}

TEST_F(Download, BeginsAnewWhereNothingIsLeft) {
  const Server server(text, true);
  put_part(std::string(text.size(), 'x'));
  get(server.url() + "file");
  EXPECT_EQ(core::read_text(target), text);
}

TEST_F(Download, BeginsAnewWhereTheServerCannotResume) {
  const Server server(text, false);
  put_part(text.substr(0, 10));
  get(server.url() + "file");
  EXPECT_EQ(core::read_text(target), text);
}

TEST_F(Download, BeginsAnewWhereThePartIsTooLong) {
  const std::string url = file_url();
  put_part(text + " and more");
  get(url);
  EXPECT_EQ(core::read_text(target), text);
}

TEST_F(Download, RefusesAWrongHash) {
  const std::string url = file_url();
  const std::string expected = core::sha256("another text");
  expect_error([&] { download(url, expected, target, {}); }, ErrorKind::kData,
               fmt::format("{}: SHA-256, got {}, expected {}", url, core::sha256(text), expected));
  EXPECT_FALSE(fs::exists(part));
  EXPECT_FALSE(fs::exists(target));
}

TEST_F(Download, NamesTheUrlThatFailed) {
  const Server server(text, true);
  const std::string url = server.url() + "other";
  expect_error([&] { get(url); }, ErrorKind::kIo, url + ": The requested URL returned error: 404; try again");
  expect_error([&] { get("file:///no/such/file"); }, ErrorKind::kIo, "file:///no/such/file: ");
}

TEST_F(Download, RefusesAFolderThatCannotBeWritten) {
  core::write_file(here / "sub", "a file where the folder should be");
  expect_error([&] { get("file:///x"); }, ErrorKind::kIo, "sub/target.part: cannot write: ");
}

TEST_F(Download, StopsWhenAsked) {
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
    source.downloads = {{"two.tar.gz", core::sha256(archive)}};
  }
  core::Folder here;
  Source source{.name = "two",
                .summary = "",
                .folder = "two-files",
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
                      .folder = "two",
                      .train_files = {"a"},
                      .test_files = {"b"},
                      .base_url = "file://" + (here / "web").string() + "/",
                      .downloads = {{"a.gz", core::sha256("alpha")}, {"b.gz", core::sha256("beta")}},
                      .read = nullptr};
  fetch(source, here / "data", {});
  EXPECT_EQ(core::read_text(here / "data/two/a.gz"), "alpha");
  EXPECT_EQ(core::read_text(here / "data/two/b.gz"), "beta");
}

TEST(Fetch, RefusesAMirrorWithOtherContent) {
  const core::Folder here;
  core::write_file(here / "web/train-images-idx3-ubyte.gz", "something else");
  const std::string mirror = "file://" + (here / "web").string();
  expect_error([&] { fetch("mnist", here / "data", {}, mirror); }, ErrorKind::kData,
               "expected 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609");
  EXPECT_TRUE(fs::is_empty(here / "data/mnist"));
}

TEST(Fetch, RefusesAnUnknownName) {
  expect_error([] { fetch("cifar", "/x", {}); }, ErrorKind::kUsage,
               "fetch: got cifar, expected mnist or cifar10 (did you mean cifar10?)");
}

TEST(Fetch, RefusesToGuessAFolder) {
  const Variable data("PELLUCID_DATA", std::nullopt);
  const Variable cache("XDG_CACHE_HOME", std::nullopt);
  const Variable home("HOME", std::nullopt);
  expect_error([] { fetch("mnist", "", {}); }, ErrorKind::kUsage, "fetch mnist: no folder to put it in");
}

}  // namespace
}  // namespace pellucid::data
