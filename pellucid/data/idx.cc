#include "pellucid/data/idx.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"
#include "pellucid/data/byte_stream.h"
#include "pellucid/data/image_file.h"
#include "pellucid/data/shown.h"

#include <fmt/ranges.h>

#include <array>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

constexpr std::int64_t kClasses = 10;  // of MNIST and the sets in its form
constexpr std::uint64_t kMaxValues = std::uint64_t{1} << 30;

// An IDX file of which the header has been read.
struct Idx {
  ByteStream stream;
  std::vector<std::int64_t> shape;
  std::uint64_t count = 1;

  [[nodiscard]] std::uint64_t size() const { return 4 + 4 * shape.size() + count; }
};

Idx open(ByteStream stream) {
  std::array<std::uint8_t, 20> header{};
  std::uint64_t have = 0;
  auto require_header = [&](std::size_t size) {
    have += stream.read(std::span(header).subspan(have, size - have));
    if (have == size) return;
    throw Error(ErrorKind::kData, "{}: byte {}: truncated header, got {} bytes, expected {}", stream.name(), have, have,
                size);
  };
  require_header(4);
  if (header[0] != 0 || header[1] != 0) {
    throw Error(ErrorKind::kData, "{}: byte 0: magic number, got 0x{:02x}{:02x}, expected 0x0000 of IDX", stream.name(),
                header[0], header[1]);
  }
  if (header[2] != 0x08) {
    throw Error(ErrorKind::kData, "{}: byte 2: element type, got 0x{:02x}, expected 0x08 (unsigned byte)",
                stream.name(), header[2]);
  }
  const std::size_t rank = header[3];
  if (rank < 1 || rank > 4) {
    throw Error(ErrorKind::kData, "{}: byte 3: number of dimensions, got {}, expected 1 to 4", stream.name(), rank);
  }
  require_header(4 + 4 * rank);

  Idx idx{.stream = std::move(stream), .shape = {}};
  for (std::size_t at = 4; at < 4 + 4 * rank; at += 4) {
    const std::uint64_t extent =
        std::uint64_t{header[at]} << 24 | header[at + 1] << 16 | header[at + 2] << 8 | header[at + 3];
    const std::uint64_t most = kMaxValues / idx.count;
    if (extent < 1 || extent > most) {
      throw Error(ErrorKind::kData, "{}: byte {}: dimension, got {}, expected 1 to {}", idx.stream.name(), at, extent,
                  most);
    }
    idx.count *= extent;
    idx.shape.push_back(static_cast<std::int64_t>(extent));
  }
  return idx;
}

[[noreturn]] void refuse_size(const Idx& idx, std::uint64_t at, const std::string& got) {
  throw Error(ErrorKind::kData, "{}: byte {}: size, got {} bytes, expected {} ({} after a header of {})",
              idx.stream.name(), at, got, idx.size(), fmt::join(idx.shape, " x "), idx.size() - idx.count);
}

// The values, read into a tensor that is made only where there can be so many.
Tensor values(Idx& idx) {
  const std::uint64_t most = idx.stream.position() + idx.stream.most_left();
  if (!idx.stream.packed() && most != idx.size()) refuse_size(idx, std::min(most, idx.size()), fmt::format("{}", most));
  if (most < idx.size()) refuse_size(idx, 0, fmt::format("at most {}", most));
  core::require_memory(idx.count, fmt::format("{}: {} bytes", idx.stream.name(), fmt::join(idx.shape, " x ")));
  Tensor array = torch::empty(idx.shape, torch::kUInt8);
  const std::uint64_t have = idx.stream.read({array.data_ptr<std::uint8_t>(), idx.count});
  if (have < idx.count) refuse_size(idx, idx.stream.position(), fmt::format("{}", idx.stream.position()));
  std::uint8_t more = 0;
  if (idx.stream.read({&more, 1}) > 0) refuse_size(idx, idx.size(), fmt::format("more than {}", idx.size()));
  return array;
}

// The IDX file at `place`, which must have `rank` dimensions.
Idx open_part(const std::filesystem::path& place, std::size_t rank) {
  const auto path = find_file(place);
  if (path.empty()) throw Error(ErrorKind::kData, "{}[.gz]: no such file", shown(place));
  Idx idx = open(ByteStream(path));
  if (idx.shape.size() == rank) return idx;
  throw Error(ErrorKind::kData, "{}: byte 3: number of dimensions, got {}, expected {}", idx.stream.name(),
              idx.shape.size(), rank);
}

}  // namespace

Tensor parse_idx(std::span<const std::uint8_t> content, const std::string& name) {
  Idx idx = open(ByteStream(content, name));
  return values(idx);
}

Tensor read_idx(const std::filesystem::path& path) {
  Idx idx = open(ByteStream(path));
  return values(idx);
}

Dataset read_idx_pair(const std::filesystem::path& folder, const std::vector<std::string>& files) {
  Idx image_file = open_part(folder / files.at(0), 3);
  Idx label_file = open_part(folder / files.at(1), 1);
  check_image_size(image_file.shape[2], image_file.shape[1], image_file.stream.name());
  if (label_file.shape[0] != image_file.shape[0]) {
    throw Error(ErrorKind::kData, "{}: byte 4: number of labels, got {}, expected {} as there are images",
                label_file.stream.name(), label_file.shape[0], image_file.shape[0]);
  }
  const Tensor labels = values(label_file);
  if (const Tensor bad = (labels >= kClasses).nonzero(); bad.size(0) > 0) {
    const auto at = bad[0][0].item<std::int64_t>();
    throw Error(ErrorKind::kData,
                "{}: byte {}: class of image {}, got {}, expected 0 to {}; the file's classes are {} to {}, those of "
                "another data set",
                label_file.stream.name(), 8 + at, at, labels[at].item<std::int64_t>(), kClasses - 1,
                labels.min().item<std::int64_t>(), labels.max().item<std::int64_t>());
  }
  return {.name = "",
          .source = "",
          .images = values(image_file).unsqueeze(1),
          .labels = labels.to(torch::kInt64),
          .classes = {}};
}

}  // namespace pellucid::data
