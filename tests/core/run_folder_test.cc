// A run folder belongs to one verb, and where it must to one process.
#include "pellucid/core/run_folder.h"

#include "pellucid/core/file.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"

namespace pellucid::core {
namespace {

TEST(RunFolder, IsMadeAndSaysWhoseItIs) {
  const Folder folder;
  const RunFolder run(folder / "a/b", "train", Workers::kOne);
  run.write_config({{"epochs", 3}});
  EXPECT_EQ(read_text(folder / "a/b/config.json"), "{\n  \"verb\": \"train\",\n  \"epochs\": 3\n}\n");
}

TEST(RunFolder, RefusesAnotherVerbsRunAndLeavesItAsItWas) {
  const Folder folder;
  RunFolder(folder / "run", "train", Workers::kOne).write_config({{"epochs", 3}});
  const auto before = read_text(folder / "run/config.json");
  expect_error([&] { RunFolder(folder / "run", "invert", Workers::kOne); }, ErrorKind::kUsage,
               "a run of `pellucid train`");
  EXPECT_EQ(read_text(folder / "run/config.json"), before);
  EXPECT_NO_THROW(RunFolder(folder / "run", "train", Workers::kOne));
}

TEST(RunFolder, IsOneProcessesWhereItMustBe) {  // flock: two descriptors of one process are apart, too
  const Folder folder;
  {
    const RunFolder first(folder / "run", "train", Workers::kOne);
    expect_error([&] { RunFolder(folder / "run", "train", Workers::kOne); }, ErrorKind::kUsage,
                 "another process works in this folder");
    expect_error([&] { RunFolder(folder / "run", "train", Workers::kSeveral); }, ErrorKind::kUsage, "another process");
  }
  const RunFolder first(folder / "run", "train", Workers::kSeveral);
  EXPECT_NO_THROW(RunFolder(folder / "run", "train", Workers::kSeveral));
  expect_error([&] { RunFolder(folder / "run", "train", Workers::kOne); }, ErrorKind::kUsage, "another process");
}

TEST(RunFolder, RefusesAFolderThatCannotBeMade) {
  const Folder folder;
  write_file(folder / "file", std::string_view("x"));
  expect_error([&] { RunFolder(folder / "file/run", "train", Workers::kOne); }, ErrorKind::kIo,
               "cannot make the folder");
}

}  // namespace
}  // namespace pellucid::core
