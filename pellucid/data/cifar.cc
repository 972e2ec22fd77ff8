#include "pellucid/data/cifar.h"

#include "pellucid/core/error.h"
#include "pellucid/data/gzip.h"

#include <cstring>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

constexpr std::int64_t kPixels = 3 * 32 * 32;
constexpr std::int64_t kRecord = 1 + kPixels;

}  // namespace

Dataset parse_cifar10(std::span<const std::uint8_t> content, const std::string& name) {
  if (is_gzip(content)) return parse_cifar10(gunzip(content, name), name + " (unpacked)");
  const auto size = static_cast<std::int64_t>(content.size());
  const std::int64_t count = size / kRecord;
  if (count == 0 || size % kRecord != 0) {
    throw Error(ErrorKind::kData, "{}: byte {}: truncated record, got {} bytes, expected {}", name, count * kRecord,
                size % kRecord, kRecord);
  }
  Dataset dataset{
      .name = "cifar10",
      .source = name,
      .images = torch::empty({count, 3, 32, 32}, torch::kUInt8),
      .labels = torch::empty({count}, torch::kInt64),
      .classes = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}};
  auto* images = dataset.images.data_ptr<std::uint8_t>();
  auto* labels = dataset.labels.data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint8_t* record = content.data() + i * kRecord;
    if (record[0] >= dataset.classes.size()) {
      throw Error(ErrorKind::kData, "{}: byte {}: label, got {}, expected 0 to {}", name, i * kRecord, record[0],
                  dataset.classes.size() - 1);
    }
    labels[i] = record[0];
    std::memcpy(images + i * kPixels, record + 1, kPixels);
  }
  return dataset;
}

Dataset read_cifar10(const std::filesystem::path& folder, Split split) {
  std::vector<std::string> files{"test_batch.bin"};
  if (split == Split::kTrain) {
    files = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"};
  }
  Dataset dataset;
  std::vector<Tensor> images;
  std::vector<Tensor> labels;
  for (const std::string& file : files) {
    const auto path = find_packed_or_not(folder / file);
    if (path.empty()) throw Error(ErrorKind::kData, "{}: no such file", (folder / file).string());
    dataset = parse_cifar10(core::read_file(path), path.string());
    images.push_back(dataset.images);
    labels.push_back(dataset.labels);
  }
  dataset.source = folder.string();
  dataset.images = torch::cat(images);
  dataset.labels = torch::cat(labels);
  return dataset;
}

}  // namespace pellucid::data
