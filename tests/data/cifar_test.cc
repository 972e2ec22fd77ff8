#include "pellucid/data/cifar.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/data/samples.h"

namespace pellucid::data {
namespace {

using core::ErrorKind;
using core::expect_error;

TEST(ParseCifar10, ReadsLabelsAndPlanes) {
  const Dataset dataset = parse_cifar10(cifar10({3, 9}), "x");
  EXPECT_TRUE(torch::equal(dataset.labels, torch::tensor({3, 9}, torch::kInt64)));
  EXPECT_EQ(dataset.images.sizes(), (std::vector<std::int64_t>{2, 3, 32, 32}));
  EXPECT_EQ(dataset.images[1][2][5][7].item<int>(), (2 * 1024 + 5 * 32 + 7) % 251);
}

TEST(ParseCifar10, ReadsGzip) { EXPECT_EQ(parse_cifar10(gzip(cifar10({1, 2, 3})), "x").size(), 3); }

TEST(ParseCifar10, RefusesAnEmptyFile) {
  expect_error([] { (void)parse_cifar10({}, "x"); }, ErrorKind::kData,
               "x: byte 0: truncated record, got 0 bytes, expected 3073");
}

TEST(ParseCifar10, RefusesATruncatedRecord) {
  core::Bytes content = cifar10({1, 2});
  content.pop_back();
  expect_error([&] { (void)parse_cifar10(content, "x"); }, ErrorKind::kData,
               "x: byte 3073: truncated record, got 3072 bytes, expected 3073");
}

TEST(ParseCifar10, RefusesALabelOutOfRange) {
  expect_error(
      [] {
        (void)parse_cifar10(cifar10({9, 10}), "x");
      },
      ErrorKind::kData, "x: byte 3073: class of image 1, got 10, expected 0 to 9");
}

TEST(ParseCifar10, RefusesDamagedGzip) {
  core::Bytes packed = gzip(cifar10({1}));
  packed.resize(packed.size() - 3);
  expect_error([&] { (void)parse_cifar10(packed, "x"); }, ErrorKind::kData, "truncated gzip data");
}

TEST(ParseCifar10, RefusesMoreThanABatchHolds) {
  const core::Bytes many(static_cast<std::size_t>(kMaxCifarRecords + 1) * 3073);
  expect_error([&] { (void)parse_cifar10(many, "x"); }, ErrorKind::kData,
               "x: size, got 30733073 bytes, expected at most 30730000");
  expect_error([&] { (void)parse_cifar10(gzip(many), "x"); }, ErrorKind::kData,
               "x (unpacked): got more than 10000 records of 3073 bytes");
  const core::Bytes full(static_cast<std::size_t>(kMaxCifarRecords) * 3073);
  EXPECT_EQ(parse_cifar10(full, "x").size(), kMaxCifarRecords);
  EXPECT_EQ(parse_cifar10(gzip(full), "x").size(), kMaxCifarRecords);
}

TEST(ReadCifar10, JoinsFiles) {
  const core::Folder folder;
  core::write_file(folder / "one", cifar10({1, 0}));
  core::write_file(folder / "two.gz", gzip(cifar10({2})));
  const Dataset dataset = read_cifar10(folder.path(), {"two", "one"});
  EXPECT_TRUE(torch::equal(dataset.labels, torch::tensor({2, 1, 0}, torch::kInt64)));
  EXPECT_EQ(dataset.images.size(0), 3);
}

TEST(ReadCifar10, RefusesAMissingBatch) {
  const core::Folder folder;
  core::write_file(folder / "data_batch_1.bin", cifar10({1}));
  expect_error(
      [&] {
        (void)read_cifar10(folder.path(), {"data_batch_1.bin", "data_batch_2.bin"});
      },
      ErrorKind::kData, "data_batch_2.bin: no such file");
}

}  // namespace
}  // namespace pellucid::data
