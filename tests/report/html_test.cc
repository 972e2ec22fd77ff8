#include "pellucid/report/html.h"

#include "pellucid/core/file.h"

#include "fixture.h"
#include <gmock/gmock.h>

namespace pellucid::report {
namespace {

using testing::HasSubstr;

class WriteReport : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "pellucid-report-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST_F(WriteReport, WritesThePageBesideTheResult) {
  std::filesystem::copy(kStudy, folder_, std::filesystem::copy_options::recursive);
  EXPECT_EQ(write_report(folder_), folder_ / "report.html");
  EXPECT_EQ(core::read_text(folder_ / "report.html"), render(study(), kStudy));
}

TEST_F(WriteReport, RefusesAFolderWithoutResult) {
  EXPECT_EQ(data_error([&] { write_report(folder_); }),
            (folder_ / "result.json").string() + ": got no such file, expected the result of a finished run");
}

TEST_F(WriteReport, RefusesADamagedResult) {
  core::write_file(folder_ / "result.json", "{\"schema\": ");
  EXPECT_THAT(data_error([&] { write_report(folder_); }), HasSubstr("result.json: not JSON"));
}

TEST_F(WriteReport, SaysWhatToDoWithADemoOfBefore) {
  core::write_file(folder_ / "result.json", R"({"schema": "pellucid.comparison/1"})");
  EXPECT_EQ(data_error([&] { write_report(folder_); }),
            (folder_ / "result.json").string() +
                ": $.schema: got \"pellucid.comparison/1\", the demo of an older version of Pellucid, expected "
                "\"pellucid.study/2\"; run `pellucid demo` again with another --out");
}

TEST_F(WriteReport, SaysThatThePageCannotBeWritten) {
  std::filesystem::copy(kStudy, folder_, std::filesystem::copy_options::recursive);
  std::filesystem::create_directory(folder_ / "report.html");
  try {
    write_report(folder_);
    FAIL() << "nothing was thrown";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::kIo);
  }
}

}  // namespace
}  // namespace pellucid::report
