#include "pellucid/data/image_folder.h"

#include "pellucid/core/memory.h"
#include "pellucid/data/image_file.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/data/samples.h"
#include <sys/stat.h>

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;
using core::ErrorKind;
using core::expect_error;

void put(const fs::path& path, std::uint8_t value, std::int64_t width = 4, std::int64_t channels = 1) {
  core::write_file(path, encode_png(torch::full({channels, 4, width}, value, torch::kUInt8)));
}

void expect_refusal(const fs::path& folder, Split split, ErrorKind kind, const std::string& message) {
  expect_error([&] { (void)read_image_folder(folder, split); }, kind, message);
}

TEST(ReadImageFolder, SortsClassesAndImages) {
  const core::Folder folder;
  put(folder / "dog/b.png", 3);
  put(folder / "dog/a.PNG", 2);
  put(folder / "cat/z.png", 1);
  core::write_file(folder / "dog/notes.txt", "not an image");
  core::write_file(folder / ".hidden/x.png", "not an image");
  core::write_file(folder / "readme", "not a class");
  const Dataset dataset = read_image_folder(folder.path(), Split::kTrain);
  EXPECT_EQ(dataset.classes, (std::vector<std::string>{"cat", "dog"}));
  EXPECT_TRUE(torch::equal(dataset.labels, torch::tensor({0, 1, 1}, torch::kInt64)));
  EXPECT_TRUE(
      torch::equal(dataset.images.select(3, 0).select(2, 0).flatten(), torch::tensor({1, 2, 3}, torch::kUInt8)));
  EXPECT_EQ(dataset.name, folder.path().filename());
  EXPECT_EQ(read_image_folder(folder.path() / "", Split::kTrain).name, dataset.name);
}

TEST(ReadImageFolder, ReadsJpeg) {
  const core::Folder folder;
  core::write_file(folder / "a/x.jpeg", jpeg(smooth_image(3, 8, 8)));
  core::write_file(folder / "a/y.JPG", jpeg(smooth_image(3, 8, 8)));
  EXPECT_EQ(read_image_folder(folder.path(), Split::kTrain).size(), 2);
}

TEST(ReadImageFolder, ReadsTheSplitsFolder) {
  const core::Folder folder;
  put(folder / "train/a/x.png", 1);
  put(folder / "test/a/x.png", 2);
  EXPECT_EQ(read_image_folder(folder.path(), Split::kTrain).images.max().item<int>(), 1);
  EXPECT_EQ(read_image_folder(folder.path(), Split::kTest).images.max().item<int>(), 2);
}

TEST(ReadImageFolder, TakesOtherNamesOfTheSplits) {
  for (const auto& [train, test] :
       {std::pair("train", "val"), {"Train", "Test"}, {"training", "testing"}, {"train", "validation"}}) {
    const core::Folder folder;
    put(folder / train / "a/x.png", 1);
    put(folder / test / "a/x.png", 2);
    EXPECT_EQ(read_image_folder(folder.path(), Split::kTrain).images.max().item<int>(), 1) << train;
    const Dataset dataset = read_image_folder(folder.path(), Split::kTest);
    EXPECT_EQ(dataset.images.max().item<int>(), 2) << test;
    EXPECT_EQ(dataset.source, (folder / test).string());
  }
}

TEST(ReadImageFolder, PrefersTestToVal) {
  const core::Folder folder;
  for (const char* name : {"train", "val", "test"}) put(folder / name / "a/x.png", name[0]);
  EXPECT_EQ(read_image_folder(folder.path(), Split::kTest).images.max().item<int>(), 't');
}

TEST(ReadImageFolder, MayHaveAClassCalledValid) {
  const core::Folder folder;
  put(folder / "invalid/x.png", 1);
  put(folder / "valid/x.png", 2);
  EXPECT_EQ(read_image_folder(folder.path(), Split::kTrain).classes, (std::vector<std::string>{"invalid", "valid"}));
  expect_refusal(folder.path(), Split::kTest, ErrorKind::kData,
                 "no folder test/ in it, and it holds \"invalid\", \"valid\"");
}

TEST(ReadImageFolder, CountsTheTestSplitsLabelsInTheClassesOfTrain) {
  const core::Folder folder;
  for (const char* name : {"train/a", "train/b", "train/c", "test/a", "test/c"}) put(folder / name / "x.png", 1);
  const Dataset lacks = read_image_folder(folder.path(), Split::kTest);
  EXPECT_EQ(lacks.classes, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(torch::equal(lacks.labels, torch::tensor({0, 2}, torch::kInt64)));

  put(folder / "test/aa/x.png", 1);  // of a class that train/ lacks
  const Dataset more = read_image_folder(folder.path(), Split::kTest);
  EXPECT_EQ(more.classes, (std::vector<std::string>{"a", "b", "c", "aa"}));
  EXPECT_TRUE(torch::equal(more.labels, torch::tensor({0, 3, 2}, torch::kInt64)));
  const auto& trained = read_image_folder(folder.path(), Split::kTrain).classes;
  expect_error([&] { (void)relabelled(more, trained); }, ErrorKind::kData, "class \"aa\"");
  EXPECT_TRUE(torch::equal(relabelled(lacks, {"c", "a"}).labels, torch::tensor({1, 0}, torch::kInt64)));
}

TEST(ReadImageFolder, ReadsAClassWhoseImagesLieInOneFolderBelowIt) {
  const core::Folder folder;
  put(folder / "a/images/y.png", 2);
  put(folder / "a/images/x.png", 1);
  core::write_file(folder / "a/boxes.txt", "");
  put(folder / "b/deep/er/x.png", 3);
  const Dataset dataset = read_image_folder(folder.path(), Split::kTrain);
  EXPECT_TRUE(torch::equal(dataset.labels, torch::tensor({0, 0, 1}, torch::kInt64)));
  EXPECT_TRUE(
      torch::equal(dataset.images.select(3, 0).select(2, 0).flatten(), torch::tensor({1, 2, 3}, torch::kUInt8)));
}

TEST(ReadImageFolder,
     RefusesAClassWhoseImagesLieInSeveralFolders) {  // which are classes themselves: one folder too high
  const core::Folder folder;
  put(folder / "seg_train/cat/x.png", 1);
  put(folder / "seg_train/dog/x.png", 1);
  expect_refusal(folder.path(), Split::kTrain, ErrorKind::kData,
                 "seg_train: its images lie in several folders, " + (folder / "seg_train/cat").string());
}

TEST(ReadImageFolder, EndsWhereLinksGoInCircles) {
  const core::Folder folder;
  put(folder / "a/x.png", 1);
  fs::create_directory_symlink(folder.path(), folder / "a/loop");
  EXPECT_EQ(read_image_folder(folder.path(), Split::kTrain).size(), 1);
  fs::create_directories(folder / "b/0/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16");
  expect_refusal(folder.path(), Split::kTrain, ErrorKind::kData, "folders 16 deep, expected one per class");
}

TEST(ReadImageFolder, ReplacesNamesThatAreNotUtf8) {
  const core::Folder folder;
  put(folder / "caf\xe9" / "train/na\xefve/x.png", 1);
  put(folder / "caf\xe9" / "train/line\nbreak/x.png", 1);
  const Dataset dataset = read_image_folder(folder / "caf\xe9", Split::kTrain);
  EXPECT_EQ(dataset.name, "caf\xEF\xBF\xBD");
  EXPECT_EQ(dataset.classes, (std::vector<std::string>{"line\\nbreak", "na\xEF\xBF\xBDve"}));
  EXPECT_EQ(dataset.source, (folder / "caf\xEF\xBF\xBD/train").string());
  put(folder / "caf\xe9" / "train/na\xeeve/x.png", 1);
  expect_refusal(folder / "caf\xe9", Split::kTrain, ErrorKind::kData, "two classes are called \"na\xEF\xBF\xBDve\"");
}

TEST(ReadImageFolder, RefusesImagesOfAnotherFormat) {
  const core::Folder folder;
  put(folder / "a/x.png", 1);
  core::write_file(folder / "a/y.BMP", "");
  expect_refusal(folder.path(), Split::kTrain, ErrorKind::kData,
                 "a/y.BMP: an image that is neither PNG nor JPEG; convert it");
}

TEST(ReadImageFolder, KeepsToTheMemoryBudget) {
  const core::Folder folder;
  for (int i = 0; i < 50; ++i) put(folder / fmt::format("a/{}.png", i), 1);
  core::set_memory_budget(50 * 24);
  EXPECT_EQ(read_image_folder(folder.path(), Split::kTrain).size(), 50);
  core::set_memory_budget(50 * 24 - 1);
  expect_refusal(folder.path(), Split::kTrain, ErrorKind::kData,
                 "50 images or more of 16 bytes: needs 1.17 KiB of memory");
  core::set_memory_budget(0);
}

TEST(ReadImageFolder, RefusesASplitThatIsNotThere) {
  const core::Folder folder;
  put(folder / "a/x.png", 1);
  expect_refusal(folder.path(), Split::kTest, ErrorKind::kData, "no folder test/ in it");
  put(folder / "test/a/x.png", 1);
  expect_refusal(folder.path(), Split::kTrain, ErrorKind::kData, "no folder train/ in it");
}

TEST(ReadImageFolder, RefusesAnImageOfAnotherSize) {
  const core::Folder folder;
  put(folder / "a/x.png", 1);
  put(folder / "b/odd.png", 1, 5);
  expect_refusal(folder.path(), Split::kTrain, ErrorKind::kData,
                 "b/odd.png: got 5 x 4 pixels of 1 channels, expected 4 x 4 pixels of 1 channels");
}

TEST(ReadImageFolder, RefusesAnImageOfOtherChannels) {
  const core::Folder folder;
  put(folder / "a/x.png", 1);
  put(folder / "b/odd.png", 1, 4, 3);
  expect_refusal(folder.path(), Split::kTrain, ErrorKind::kData, "b/odd.png: got 4 x 4 pixels of 3 channels");
}

TEST(ReadImageFolder, RefusesADamagedImage) {
  const core::Folder folder;
  core::write_file(folder / "a/x.png", "no image");
  expect_refusal(folder.path(), Split::kTrain, ErrorKind::kData, "a/x.png: byte 0: neither a PNG nor a JPEG image");
}

TEST(ReadImageFolder, RefusesAClassWithoutImages) {
  const core::Folder folder;
  put(folder / "a/x.png", 1);
  fs::create_directory(folder / "b");
  expect_refusal(folder.path(), Split::kTrain, ErrorKind::kData, "b: no images");
}

TEST(ReadImageFolder, RefusesAFolderWithoutClasses) {
  const core::Folder folder;
  put(folder / "x.png", 1);
  expect_refusal(folder.path(), Split::kTrain, ErrorKind::kData, "no subfolders, expected one per class");
}

TEST(ReadImageFolder, RefusesAPipe) {
  const core::Folder folder;
  fs::create_directory(folder / "a");
  ASSERT_EQ(::mkfifo((folder / "a/x.png").c_str(), 0600), 0);
  expect_refusal(folder.path(), Split::kTrain, ErrorKind::kIo, "a/x.png: cannot read: not a regular file");
}

TEST(ReadImageFolder, RefusesAMissingFolder) {
  expect_refusal("no/such/folder", Split::kTrain, ErrorKind::kIo, "no/such/folder: cannot read the folder");
}

}  // namespace
}  // namespace pellucid::data
