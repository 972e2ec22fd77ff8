#include "pellucid/data/catalog.h"

#include "pellucid/data/image_file.h"
#include "pellucid/data/sources.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/data/environment.h"
#include "tests/data/samples.h"

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;
using core::ErrorKind;
using core::expect_error;
using testing::ElementsAre;

void put_mnist(const fs::path& folder, std::uint8_t label = 1) {
  for (const std::string split : {"train", "t10k"}) {
    core::write_file(folder / (split + "-images-idx3-ubyte"), idx({1, 1, 1}, {7}));
    core::write_file(folder / (split + "-labels-idx1-ubyte"), idx({1}, {label}));
  }
}

// The usual places are all in a folder of the test's own.
class Catalog : public testing::Test {
 protected:
  [[nodiscard]] Found found(const std::string& name) const {
    for (const Found& one : list(here / "data")) {
      if (one.name == name) return one;
    }
    ADD_FAILURE() << name;
    return {};
  }
  core::Folder here;
  Variable data{"PELLUCID_DATA", (here / "variable").string()};
  Variable cache{"XDG_CACHE_HOME", std::nullopt};
  Variable home{"HOME", (here / "home").string()};
};

TEST_F(Catalog, SearchesInOrder) {
  EXPECT_THAT(search_folders(here / "data"),
              ElementsAre(here / "data", here / "variable", here / "home/.cache/datasets"));
  const Variable set("XDG_CACHE_HOME", "/c");
  EXPECT_THAT(search_folders(""), ElementsAre(here / "variable", "/c/datasets"));
}

TEST_F(Catalog, LoadsFromTheFirstPlaceThatHasIt) {
  put_mnist(here / "home/.cache/datasets/mnist", 3);
  EXPECT_EQ(load("mnist", Split::kTest).labels.item<int>(), 3);
  put_mnist(here / "variable", 2);  // directly in the folder
  EXPECT_EQ(load("mnist", Split::kTest).labels.item<int>(), 2);
  put_mnist(here / "data/mnist", 1);
  EXPECT_EQ(load("mnist", Split::kTest, here / "data").labels.item<int>(), 1);
}

TEST_F(Catalog, NeedsOnlyTheSplitsFiles) {
  put_mnist(here / "data/mnist");
  fs::remove(here / "data/mnist/train-labels-idx1-ubyte");
  EXPECT_EQ(load("mnist", Split::kTest, here / "data").size(), 1);
  expect_error([&] { (void)load("mnist", Split::kTrain, here / "data"); }, ErrorKind::kData, "mnist: train files");
}

TEST_F(Catalog, LoadsCifar10) {
  core::write_file(here / "data/cifar-10-batches-bin/test_batch.bin", cifar10({4}));
  EXPECT_EQ(load("cifar10", Split::kTest, here / "data").labels.item<int>(), 4);
}

TEST_F(Catalog, LoadsTheBuiltInDigits) {
  const Dataset digits = load("digits", Split::kTest);
  EXPECT_EQ(digits.size(), 2000);
  EXPECT_EQ(digits.source, "generated, seed 0");
}

TEST_F(Catalog, LoadsAnImageFolder) {
  core::write_file(here / "pictures/a/x.png", encode_png(smooth_image(1, 4, 4)));
  EXPECT_EQ(load(here / "pictures", Split::kTrain).name, "pictures");
}

TEST_F(Catalog, SaysWhereItSearchedAndWhatHelps) {
  expect_error([&] { (void)load("mnist", Split::kTest, here / "data"); }, ErrorKind::kData,
               fmt::format("mnist: test files not found: searched {0}/data, {0}/variable, {0}/home/.cache/datasets, "
                           "expected mnist/t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte; get it with "
                           "`pellucid data fetch mnist`",
                           here.path().string()));
}

TEST_F(Catalog, RefusesADamagedFile) {
  put_mnist(here / "data");
  core::write_file(here / "data/t10k-labels-idx1-ubyte", idx({1}, {200}));
  expect_error([&] { (void)load("mnist", Split::kTest, here / "data"); }, ErrorKind::kData, "label, got 200");
}

TEST_F(Catalog, RefusesAPathThatIsNotThere) {
  expect_error([] { (void)load("./no/such", Split::kTest); }, ErrorKind::kData, "./no/such: no such folder");
}

TEST_F(Catalog, NamesTheNearestOfAnUnknownName) {
  expect_error([] { (void)load("minst", Split::kTest); }, ErrorKind::kUsage,
               "data set: got minst, expected mnist, cifar10, digits, or the path of a folder of images (did you mean "
               "mnist?)");
}

TEST_F(Catalog, ListsWhatIsHereAndWhatIsMissing) {
  put_mnist(here / "variable/mnist");
  core::write_file(here / "data/cifar-10-batches-bin/test_batch.bin", cifar10({4}));

  EXPECT_EQ(found("mnist").where, (here / "variable/mnist").string());
  EXPECT_TRUE(found("mnist").missing.empty());
  EXPECT_EQ(found("mnist").fix, "");
  EXPECT_EQ(found("cifar10").where, (here / "data/cifar-10-batches-bin").string());
  EXPECT_THAT(found("cifar10").missing, ElementsAre("data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                                    "data_batch_4.bin", "data_batch_5.bin"));
  EXPECT_EQ(found("cifar10").fix, "pellucid data fetch cifar10");
  EXPECT_EQ(found("digits").where, "built in");
}

TEST_F(Catalog, KnowsWhatIsAvailable) {
  put_mnist(here / "data/mnist");
  EXPECT_TRUE(available("mnist", here / "data"));
  EXPECT_FALSE(available("mnist"));
  EXPECT_FALSE(available("cifar10", here / "data"));
  EXPECT_TRUE(available("digits"));
  EXPECT_FALSE(available("minst"));
}

}  // namespace
}  // namespace pellucid::data
