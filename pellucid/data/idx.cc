#include "pellucid/data/idx.h"

#include "pellucid/core/error.h"
#include "pellucid/data/gzip.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

constexpr std::int64_t kClasses = 10;

// The IDX file `stem` in `folder`, which must have `rank` dimensions.
Tensor read_part(const std::filesystem::path& folder, const std::string& stem, std::int64_t rank) {
  const auto path = find_packed_or_not(folder / stem);
  if (path.empty()) throw Error(ErrorKind::kData, "{}[.gz]: no such file", (folder / stem).string());
  const Tensor array = read_idx(path);
  if (array.dim() == rank) return array;
  throw Error(ErrorKind::kData, "{}: byte 3: number of dimensions, got {}, expected {}", path.string(), array.dim(),
              rank);
}

}  // namespace

Tensor parse_idx(std::span<const std::uint8_t> content, const std::string& name) {
  if (is_gzip(content)) return parse_idx(gunzip(content, name), name + " (unpacked)");
  auto require_size = [&](std::size_t at_least) {
    if (content.size() >= at_least) return;
    throw Error(ErrorKind::kData, "{}: byte {}: truncated header, got {} bytes, expected {}", name, content.size(),
                content.size(), at_least);
  };
  require_size(4);
  if (content[0] != 0 || content[1] != 0) {
    throw Error(ErrorKind::kData, "{}: byte 0: magic number, got 0x{:02x}{:02x}, expected 0x0000 of IDX", name,
                content[0], content[1]);
  }
  if (content[2] != 0x08) {
    throw Error(ErrorKind::kData, "{}: byte 2: element type, got 0x{:02x}, expected 0x08 (unsigned byte)", name,
                content[2]);
  }
  const std::size_t rank = content[3];
  if (rank < 1 || rank > 4) {
    throw Error(ErrorKind::kData, "{}: byte 3: number of dimensions, got {}, expected 1 to 4", name, rank);
  }
  const std::size_t header = 4 + 4 * rank;
  require_size(header);

  std::vector<std::int64_t> shape;
  std::uint64_t count = 1;
  for (std::size_t at = 4; at < header; at += 4) {
    const std::uint64_t extent =
        std::uint64_t{content[at]} << 24 | content[at + 1] << 16 | content[at + 2] << 8 | content[at + 3];
    const std::uint64_t most = kMaxUnpacked / count;
    if (extent < 1 || extent > most) {
      throw Error(ErrorKind::kData, "{}: byte {}: dimension, got {}, expected 1 to {}", name, at, extent, most);
    }
    count *= extent;
    shape.push_back(static_cast<std::int64_t>(extent));
  }
  if (content.size() != header + count) {
    throw Error(ErrorKind::kData, "{}: byte {}: size, got {} bytes, expected {} ({} after a header of {})", name,
                std::min(content.size(), header + count), content.size(), header + count, fmt::join(shape, " x "),
                header);
  }
  Tensor array = torch::empty(shape, torch::kUInt8);
  std::memcpy(array.data_ptr<std::uint8_t>(), content.data() + header, count);
  return array;
}

Tensor read_idx(const std::filesystem::path& path) { return parse_idx(core::read_file(path), path.string()); }

Dataset read_mnist(const std::filesystem::path& folder, Split split) {
  const std::string stem = split == Split::kTrain ? "train" : "t10k";
  const Tensor images = read_part(folder, stem + "-images-idx3-ubyte", 3);
  const Tensor labels = read_part(folder, stem + "-labels-idx1-ubyte", 1);
  const std::string labels_name = (folder / (stem + "-labels-idx1-ubyte")).string();
  if (labels.size(0) != images.size(0)) {
    throw Error(ErrorKind::kData, "{}: byte 4: number of labels, got {}, expected {} as there are images", labels_name,
                labels.size(0), images.size(0));
  }
  if (const Tensor bad = (labels >= kClasses).nonzero(); bad.size(0) > 0) {
    const auto at = bad[0][0].item<std::int64_t>();
    throw Error(ErrorKind::kData, "{}: byte {}: label, got {}, expected 0 to {}", labels_name, 8 + at,
                labels[at].item<std::int64_t>(), kClasses - 1);
  }
  return {.name = "mnist",
          .source = folder.string(),
          .images = images.unsqueeze(1),
          .labels = labels.to(torch::kInt64),
          .classes = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}};
}

}  // namespace pellucid::data
