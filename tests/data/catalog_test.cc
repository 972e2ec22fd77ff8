#include "pellucid/data/catalog.h"

#include "pellucid/data/image_file.h"
#include "pellucid/data/patterns.h"
#include "pellucid/data/places.h"

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

TEST_F(Catalog, LooksInOnePlace) {
  EXPECT_EQ(data_folder(here / "data"), here / "data");
  EXPECT_EQ(data_folder(""), here / "variable");
  const Variable unset("PELLUCID_DATA", std::nullopt);
  EXPECT_EQ(data_folder(""), here / "home/.cache/datasets");
  const Variable set("XDG_CACHE_HOME", "/c");
  EXPECT_EQ(data_folder(""), "/c/datasets");
}

TEST_F(Catalog, DoesNotFallBackFromAPlaceThatWasGiven) {
  put_mnist(here / "home/.cache/datasets/mnist", 3);
  expect_error([&] { (void)load("mnist", Split::kTest); }, ErrorKind::kData,
               "mnist: test files not found: looked in " + (here / "variable").string());
  put_mnist(here / "variable", 2);  // directly in the folder
  EXPECT_EQ(load("mnist", Split::kTest).labels.item<int>(), 2);
  expect_error([&] { (void)load("mnist", Split::kTest, here / "data"); }, ErrorKind::kData,
               "looked in " + (here / "data").string());
  EXPECT_FALSE(available("mnist", here / "data"));
  put_mnist(here / "data/mnist", 1);
  const Dataset dataset = load("mnist", Split::kTest, here / "data");
  EXPECT_EQ(dataset.name, "mnist");
  EXPECT_EQ(dataset.classes.at(9), "9");
  EXPECT_EQ(dataset.labels.item<int>(), 1);
  EXPECT_EQ(dataset.source, (here / "data/mnist").string()) << "results name the folder that was used";
}

TEST_F(Catalog, KnowsTheFoldersOfTorchvision) {
  put_mnist(here / "data/MNIST/raw", 4);
  EXPECT_EQ(load("mnist", Split::kTrain, here / "data").labels.item<int>(), 4);
  EXPECT_EQ(load("mnist", Split::kTrain, here / "data/MNIST").labels.item<int>(), 4);
  EXPECT_EQ(load("mnist", Split::kTrain, here / "data/MNIST/raw").source, (here / "data/MNIST/raw").string());
}

TEST_F(Catalog, TakesBothSplitsFromOneFolder) {
  put_mnist(here / "data/mnist");
  fs::remove(here / "data/mnist/t10k-labels-idx1-ubyte");
  put_mnist(here / "data", 2);
  for (const Split split : {Split::kTrain, Split::kTest})
    EXPECT_EQ(load("mnist", split, here / "data").source, (here / "data").string());
}

TEST_F(Catalog, NeedsOnlyTheSplitsFiles) {
  put_mnist(here / "data/mnist");
  fs::remove(here / "data/mnist/train-labels-idx1-ubyte");
  EXPECT_EQ(load("mnist", Split::kTest, here / "data").size(), 1);
  expect_error([&] { (void)load("mnist", Split::kTrain, here / "data"); }, ErrorKind::kData,
               fmt::format("mnist: train files not found: {0}/data/mnist lacks train-labels-idx1-ubyte; get it with "
                           "`pellucid data fetch mnist "
                           "--data-dir {0}/data`",
                           here.path().string()));
}

TEST_F(Catalog, SaysWhatLiesThereInstead) {
  const auto refused = [&](const std::string& name, const std::string& message) {
    expect_error([&] { (void)load(name, Split::kTest, here / "data"); }, ErrorKind::kData, message);
  };
  refused("cifar10", "data, and there is no such folder");
  fs::create_directories(here / "data");
  refused("cifar10", "data, and it is empty");
  core::write_file(here / "data/some\nfile", "");
  refused("cifar10", "data, and it holds \"some\\nfile\"; expected");
  core::write_file(here / "data/emnist-letters-train-images-idx3-ubyte.gz", "");
  refused("mnist", "it holds \"emnist-letters-train-images-idx3-ubyte.gz\" (EMNIST, another data set)");
  core::write_file(here / "data/cifar-10-batches-py/data_batch_1", "");
  refused("cifar10", "it holds \"cifar-10-batches-py\" (the Python version of CIFAR-10; the binary one is read)");
}

TEST_F(Catalog, DoesNotTakeAPlaceThatCannotBeLookedAtForAnEmptyOne) {
  fs::create_directories(here / "data");
  fs::create_directory_symlink("mnist", here / "data/mnist");
  expect_error([&] { (void)load("mnist", Split::kTest, here / "data"); }, ErrorKind::kIo,
               "Too many levels of symbolic links");
  const auto all = list(here / "data");
  const auto mnist = std::find_if(all.begin(), all.end(), [](const Found& one) { return one.name == "mnist"; });
  EXPECT_THAT(mnist->problem, testing::HasSubstr("Too many levels"));
  EXPECT_FALSE(available("mnist", here / "data"));
  expect_error([&] { (void)load((here / "data/mnist").string(), Split::kTrain); }, ErrorKind::kIo,
               "Too many levels of symbolic links");
}

TEST_F(Catalog, LoadsCifar10) {
  const fs::path folder = here / "data/cifar-10-batches-bin";
  core::write_file(folder / "test_batch.bin", cifar10({3}));
  for (std::uint8_t i = 1; i <= 5; ++i) core::write_file(folder / fmt::format("data_batch_{}.bin", i), cifar10({i, 0}));
  const Dataset test = load("cifar10", Split::kTest, here / "data");
  EXPECT_EQ(test.name, "cifar10");
  EXPECT_EQ(test.classes.at(static_cast<std::size_t>(test.labels.item<int>())), "cat");
  EXPECT_TRUE(torch::equal(load("cifar10", Split::kTrain, here / "data").labels,
                           torch::tensor({1, 0, 2, 0, 3, 0, 4, 0, 5, 0}, torch::kInt64)));
}

TEST_F(Catalog, LoadsFashionMnistAndDoesNotTakeItForMnist) {
  for (const std::string name : {"fashion_mnist", "fashion-mnist", "FashionMNIST/raw"}) {
    put_mnist(here / "data" / name, 7);
    const Dataset dataset = load("fashion_mnist", Split::kTest, here / "data");
    EXPECT_EQ(dataset.source, (here / "data" / name).string());
    EXPECT_EQ(dataset.name, "fashion_mnist");
    EXPECT_EQ(dataset.classes.at(static_cast<std::size_t>(dataset.labels.item<int>())), "sneaker");
    EXPECT_FALSE(available("mnist", here / "data"));
    fs::remove_all(here / "data");
  }
  put_mnist(here / "data");
  EXPECT_FALSE(available("fashion_mnist", here / "data")) << "these files have MNIST's names";
}

TEST_F(Catalog, LoadsTheBuiltInPatterns) {
  EXPECT_EQ(load("patterns", Split::kTest).size(), kTestPatterns);
  EXPECT_EQ(load("patterns", Split::kTrain).size(), kTrainPatterns);
}

TEST_F(Catalog, LoadsAnImageFolder) {
  core::write_file(here / "pictures/a/x.png", encode_png(smooth_image(1, 4, 4)));
  EXPECT_EQ(load(here / "pictures", Split::kTrain).name, "pictures");
}

TEST_F(Catalog, LooksForANameBelowTheFolderGiven) {
  core::write_file(here / "data/pictures/a/x.png", encode_png(smooth_image(1, 4, 4)));
  EXPECT_EQ(load("pictures", Split::kTrain, here / "data").source, (here / "data/pictures").string());
  expect_error([&] { (void)load("pictures", Split::kTrain, here / "other"); }, ErrorKind::kUsage,
               "data set: got \"pictures\"");
}

TEST_F(Catalog, SaysWhereItLookedAndWhatHelps) {
  expect_error(
      [&] { (void)load("mnist", Split::kTest, here / "data"); }, ErrorKind::kData,
      fmt::format("mnist: test files not found: looked in {0}/data, and there is no such folder; expected "
                  "mnist/t10k-images-idx3-ubyte and "
                  "t10k-labels-idx1-ubyte (or .gz); get it with `pellucid data fetch mnist --data-dir {0}/data`",
                  here.path().string()));
  expect_error([&] { (void)load("mnist", Split::kTest); }, ErrorKind::kData, "get it with `pellucid data fetch mnist`");
}

TEST_F(Catalog, RefusesADamagedFile) {
  put_mnist(here / "data");
  core::write_file(here / "data/t10k-labels-idx1-ubyte", idx({1}, {200}));
  expect_error([&] { (void)load("mnist", Split::kTest, here / "data"); }, ErrorKind::kData,
               "class of image 0, got 200");
}

TEST_F(Catalog, RefusesAPathThatIsNotThere) {
  expect_error([] { (void)load("./no/such", Split::kTest); }, ErrorKind::kData, "./no/such: no such folder");
}

TEST_F(Catalog, RefusesAFileInPlaceOfAFolder) {
  core::write_file(here / "archive.zip", "");
  expect_error([&] { (void)load((here / "archive.zip").string(), Split::kTest); }, ErrorKind::kData,
               "archive.zip: not a folder, expected one of images");
}

TEST_F(Catalog, NamesTheNearestOfAnUnknownName) {
  expect_error([] { (void)load("minst", Split::kTest); }, ErrorKind::kUsage,
               "data set: got \"minst\", expected mnist, fashion_mnist, cifar10, patterns, or the path of a folder of "
               "images (did you mean "
               "mnist?)");
}

TEST_F(Catalog, ListsWhatIsHereAndWhatIsMissing) {
  put_mnist(here / "data/mnist");
  core::write_file(here / "data/cifar-10-batches-bin/test_batch.bin", cifar10({4}));

  EXPECT_EQ(found("mnist").where, (here / "data/mnist").string());
  EXPECT_TRUE(found("mnist").missing.empty());
  EXPECT_EQ(found("mnist").fix, "");
  EXPECT_EQ(found("cifar10").where, (here / "data/cifar-10-batches-bin").string());
  EXPECT_THAT(found("cifar10").missing, ElementsAre("data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                                    "data_batch_4.bin", "data_batch_5.bin"));
  EXPECT_EQ(found("cifar10").fix, "pellucid data fetch cifar10 --data-dir " + (here / "data").string());
  EXPECT_EQ(found("patterns").where, "built in");
}

TEST_F(Catalog, KnowsWhatIsAvailable) {
  put_mnist(here / "data/mnist");
  EXPECT_TRUE(available("mnist", here / "data"));
  EXPECT_FALSE(available("mnist"));
  EXPECT_FALSE(available("cifar10", here / "data"));
  EXPECT_TRUE(available("patterns"));
  EXPECT_FALSE(available("minst"));
}

}  // namespace
}  // namespace pellucid::data
