#include "pellucid/data/cifar.h"

#include "pellucid/core/error.h"
#include "pellucid/data/byte_stream.h"
#include "pellucid/data/shown.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

constexpr std::int64_t kPixels = 3 * 32 * 32;
constexpr std::int64_t kRecord = 1 + kPixels;
constexpr int kCifarClasses = 10;

Dataset parse(ByteStream stream) {
  const std::string& name = stream.name();
  if (!stream.packed() && stream.most_left() > static_cast<std::uint64_t>(kMaxCifarRecords * kRecord)) {
    throw Error(ErrorKind::kData, "{}: size, got {} bytes, expected at most {}, which are {} records of {}", name,
                stream.most_left(), kMaxCifarRecords * kRecord, kMaxCifarRecords, kRecord);
  }
  const auto room = static_cast<std::int64_t>(std::min<std::uint64_t>(stream.most_left() / kRecord, kMaxCifarRecords));
  Dataset dataset{.name = "",
                  .source = "",
                  .images = torch::empty({room, 3, 32, 32}, torch::kUInt8),
                  .labels = torch::empty({room}, torch::kInt64),
                  .classes = {}};
  auto* images = dataset.images.data_ptr<std::uint8_t>();
  auto* labels = dataset.labels.data_ptr<std::int64_t>();
  std::array<std::uint8_t, kRecord> record{};
  std::int64_t count = 0;
  while (const auto have = static_cast<std::int64_t>(stream.read(record))) {
    if (have < kRecord) {
      throw Error(ErrorKind::kData, "{}: byte {}: truncated record, got {} bytes, expected {}", name, count * kRecord,
                  have, kRecord);
    }
    if (count == room)
      throw Error(ErrorKind::kData, "{}: got more than {} records of {} bytes", name, kMaxCifarRecords, kRecord);
    if (record[0] >= kCifarClasses) {
      throw Error(ErrorKind::kData, "{}: byte {}: class of image {}, got {}, expected 0 to {}", name, count * kRecord,
                  count, record[0], kCifarClasses - 1);
    }
    labels[count] = record[0];
    std::memcpy(images + count * kPixels, record.data() + 1, kPixels);
    ++count;
  }
  if (count == 0)
    throw Error(ErrorKind::kData, "{}: byte 0: truncated record, got 0 bytes, expected {}", name, kRecord);
  if (count < room) {
    dataset.images = dataset.images.slice(0, 0, count).clone();
    dataset.labels = dataset.labels.slice(0, 0, count).clone();
  }
  return dataset;
}

}  // namespace

Dataset parse_cifar10(std::span<const std::uint8_t> content, const std::string& name) {
  return parse(ByteStream(content, name));
}

Dataset read_cifar10(const std::filesystem::path& folder, const std::vector<std::string>& files) {
  Dataset dataset;
  std::vector<Tensor> images;
  std::vector<Tensor> labels;
  for (const std::string& file : files) {
    const auto path = find_file(folder / file);
    if (path.empty()) throw Error(ErrorKind::kData, "{}: no such file", shown(folder / file));
    dataset = parse(ByteStream(path));
    images.push_back(dataset.images);
    labels.push_back(dataset.labels);
  }
  dataset.images = torch::cat(images);
  dataset.labels = torch::cat(labels);
  return dataset;
}

}  // namespace pellucid::data
