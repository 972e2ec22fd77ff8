#include "pellucid/data/idx.h"

#include "pellucid/core/memory.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/data/samples.h"
#include <rapidcheck/gtest.h>

namespace pellucid::data {
namespace {

using core::ErrorKind;
using core::expect_error;
using core::Folder;

void expect_no_idx(const core::Bytes& content, const std::string& message) {
  expect_error([&] { (void)parse_idx(content, "x"); }, ErrorKind::kData, message);
}

TEST(ParseIdx, ReadsShapeAndValues) {
  const Tensor got = parse_idx(idx({2, 1, 3}, {1, 2, 3, 4, 5, 255}), "x");
  EXPECT_TRUE(torch::equal(got, torch::tensor({1, 2, 3, 4, 5, 255}, torch::kUInt8).view({2, 1, 3})));
}

TEST(ParseIdx, ReadsGzip) {
  EXPECT_TRUE(torch::equal(parse_idx(gzip(idx({3}, {7, 8, 9})), "x"), torch::tensor({7, 8, 9}, torch::kUInt8)));
}

TEST(ParseIdx, RefusesAnotherMagicNumber) {
  core::Bytes content = idx({1}, {0});
  content[1] = 0x50;
  expect_no_idx(content, "x: byte 0: magic number, got 0x0050, expected 0x0000");
}

TEST(ParseIdx, RefusesAnotherElementType) {
  core::Bytes content = idx({1}, {0});
  content[2] = 0x0d;
  expect_no_idx(content, "x: byte 2: element type, got 0x0d, expected 0x08");
}

TEST(ParseIdx, RefusesNoAndTooManyDimensions) {
  expect_no_idx(idx({}, {0}), "x: byte 3: number of dimensions, got 0, expected 1 to 4");
  expect_no_idx(idx({1, 1, 1, 1, 1}, {0}), "x: byte 3: number of dimensions, got 5, expected 1 to 4");
}

TEST(ParseIdx, RefusesAnEmptyDimension) {
  expect_no_idx(idx({2, 0}, {}), "x: byte 8: dimension, got 0, expected 1 to 536870912");
}

TEST(ParseIdx, RefusesDimensionsThatOverflow) {
  expect_no_idx(idx({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {1}), "x: byte 4: dimension, got 4294967295");
  expect_no_idx(idx({1 << 20, 1 << 11}, {1}), "x: byte 8: dimension, got 2048, expected 1 to 1024");
}

TEST(ParseIdx, RefusesATruncatedHeader) {
  const core::Bytes content = idx({1, 1}, {5});
  for (std::size_t size = 0; size < 12; ++size) {
    expect_no_idx({content.begin(), content.begin() + static_cast<std::ptrdiff_t>(size)},
                  fmt::format("x: byte {0}: truncated header, got {0} bytes", size));
  }
}

TEST(ParseIdx, RefusesTooFewAndTooManyBytes) {
  expect_no_idx(idx({2, 3}, {1, 2, 3, 4, 5}),
                "x: byte 17: size, got 17 bytes, expected 18 (2 x 3 after a header of 12)");
  expect_no_idx(idx({2, 3}, {1, 2, 3, 4, 5, 6, 7}), "x: byte 18: size, got 19 bytes, expected 18");
}

TEST(ParseIdx, UnpacksNoMoreThanItsHeaderSays) {
  core::Bytes bomb = idx({2, 3}, core::Bytes(64 << 20));
  bomb = gzip(bomb);
  ASSERT_LT(bomb.size(), 100'000u);
  bomb[bomb.size() / 2] ^= 1;  // damage that is not come to
  expect_no_idx(bomb, "x (unpacked): byte 18: size, got more than 18 bytes, expected 18 (2 x 3 after a header of 12)");
}

TEST(ParseIdx, AllocatesNothingForAClaimThatTheFileCannotHold) {
  const core::Bytes claim = idx({1 << 10, 1 << 10, 1 << 10}, {1, 2, 3});
  expect_no_idx(claim, "x: byte 19: size, got 19 bytes, expected 1073741840");
  expect_no_idx(gzip(claim), "x (unpacked): byte 0: size, got at most ");
}

TEST(ParseIdx, KeepsToTheMemoryBudget) {
  core::set_memory_budget(1000);
  expect_no_idx(idx({2, 600}, core::Bytes(1200)),
                "x: 2 x 600 bytes: needs 1.17 KiB of memory, and 1000 bytes are allowed");
  core::set_memory_budget(0);
}

TEST(ParseIdx, NamesThePackedFile) {
  expect_no_idx(gzip(idx({2}, {1})), "x (unpacked): byte 9: size, got 9 bytes, expected 10");
  core::Bytes damaged = gzip(idx({2}, {1, 2}));
  damaged.resize(damaged.size() - 1);
  expect_no_idx(damaged, "truncated gzip data");
}

RC_GTEST_PROP(ParseIdx, RoundTripsAnyArray, ()) {
  const auto height = *rc::gen::inRange<std::uint32_t>(1, 9);
  const auto width = *rc::gen::inRange<std::uint32_t>(1, 9);
  const auto values = *rc::gen::container<core::Bytes>(height * width, rc::gen::arbitrary<std::uint8_t>());
  const Tensor got = parse_idx(idx({height, width}, values), "x");
  RC_ASSERT(core::Bytes(got.data_ptr<std::uint8_t>(), got.data_ptr<std::uint8_t>() + got.numel()) == values);
}

TEST(ReadIdx, RefusesAMissingFile) {
  expect_error([] { (void)read_idx("no/such/file"); }, ErrorKind::kIo, "no/such/file: cannot open");
}

const std::vector<std::string> kTrain{"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
    kTest{"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

class ReadIdxPair : public testing::Test {
 protected:
  void SetUp() override {
    core::write_file(folder / "t10k-images-idx3-ubyte", idx({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8}));
    core::write_file(folder / "t10k-labels-idx1-ubyte.gz", gzip(idx({2}, {9, 0})));
  }
  void expect_refusal_of_labels(const core::Bytes& labels, const std::string& message) const {
    core::write_file(folder / "t10k-labels-idx1-ubyte", labels);
    expect_error([&] { (void)read_idx_pair(folder.path(), kTest); }, ErrorKind::kData, message);
  }
  Folder folder;
};

TEST_F(ReadIdxPair, JoinsImagesAndLabels) {
  const Dataset dataset = read_idx_pair(folder.path(), kTest);
  EXPECT_EQ(dataset.images.sizes(), (std::vector<std::int64_t>{2, 1, 2, 2}));
  EXPECT_EQ(dataset.images[1][0][0][1].item<int>(), 6);
  EXPECT_TRUE(torch::equal(dataset.labels, torch::tensor({9, 0}, torch::kInt64)));
}

TEST_F(ReadIdxPair, RefusesAMissingFile) {
  expect_error([&] { (void)read_idx_pair(folder.path(), kTrain); }, ErrorKind::kData,
               "train-images-idx3-ubyte[.gz]: no such file");
}

TEST_F(ReadIdxPair, RefusesOtherDimensions) {
  expect_refusal_of_labels(idx({2, 1}, {1, 2}),
                           "t10k-labels-idx1-ubyte: byte 3: number of dimensions, got 2, expected 1");
}

TEST_F(ReadIdxPair, RefusesAnotherNumberOfLabels) {
  expect_refusal_of_labels(idx({3}, {1, 2, 3}), "byte 4: number of labels, got 3, expected 2 as there are images");
}

TEST_F(ReadIdxPair, RefusesALabelOutOfRange) {
  expect_refusal_of_labels(idx({2}, {1, 10}),
                           "t10k-labels-idx1-ubyte: byte 9: class of image 1, got 10, expected 0 to 9");
}

TEST_F(ReadIdxPair, NamesTheClassesOfOtherData) {  // EMNIST's letters count from 1
  expect_refusal_of_labels(
      idx({2}, {26, 1}),
      "class of image 0, got 26, expected 0 to 9; the file's classes are 1 to 26, those of another data set");
}

TEST_F(ReadIdxPair, ComparesTheHeadersBeforeAnythingIsUnpacked) {
  core::Bytes images = gzip(idx({100'000, 28, 28}, core::Bytes(1 << 20)));
  core::write_file(folder / "t10k-images-idx3-ubyte", images);
  expect_error([&] { (void)read_idx_pair(folder.path(), kTest); }, ErrorKind::kData,
               "number of labels, got 2, expected 100000");
}

TEST_F(ReadIdxPair, RefusesAnImageOfTooManyPixels) {
  core::write_file(folder / "t10k-images-idx3-ubyte", idx({2, 1 << 13, 1 << 12}, {1}));
  expect_error([&] { (void)read_idx_pair(folder.path(), kTest); }, ErrorKind::kData,
               "size, got 4096 x 8192 pixels, expected at most 16777216");
}

TEST_F(ReadIdxPair, KnowsTheDottedNames) {
  for (const std::string name : {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"}) {
    std::string dotted = name;
    dotted[name.find("-idx")] = '.';
    std::filesystem::rename(folder / name, folder / dotted);
  }
  EXPECT_EQ(read_idx_pair(folder.path(), kTest).size(), 2);
}

}  // namespace
}  // namespace pellucid::data
