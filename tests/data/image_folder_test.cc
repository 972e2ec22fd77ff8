#include "pellucid/data/image_folder.h"

#include "pellucid/data/image_file.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/data/samples.h"

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

TEST(ReadImageFolder, RefusesAMissingFolder) {
  expect_refusal("no/such/folder", Split::kTrain, ErrorKind::kIo, "no/such/folder: cannot read the folder");
}

}  // namespace
}  // namespace pellucid::data
