#include "pellucid/data/gzip.h"

#include "pellucid/core/error.h"

#include <zlib.h>

#include <algorithm>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

// A zlib stream that frees itself.
struct Inflater {
  z_stream stream{};

  Inflater() {
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) throw Error(ErrorKind::kInternal, "zlib cannot start");
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream); }
};

}  // namespace

bool is_gzip(std::span<const std::uint8_t> content) {
  return content.size() >= 2 && content[0] == 0x1f && content[1] == 0x8b;
}

core::Bytes gunzip(std::span<const std::uint8_t> content, const std::string& name, std::uint64_t limit) {
  if (content.size() > kMaxUnpacked) {
    throw Error(ErrorKind::kData, "{}: size: got {} bytes, expected at most {}", name, content.size(), kMaxUnpacked);
  }
  Inflater inflater;
  z_stream& stream = inflater.stream;
  stream.next_in = const_cast<Bytef*>(content.data());
  stream.avail_in = static_cast<uInt>(content.size());

  core::Bytes unpacked;
  for (int status = Z_OK; status != Z_STREAM_END;) {
    const std::size_t have = unpacked.size();
    if (have > limit) throw Error(ErrorKind::kData, "{}: unpacked size: got more than {} bytes", name, limit);
    unpacked.resize(std::min<std::uint64_t>(std::max<std::uint64_t>(2 * have, 1 << 16), limit + 1));
    stream.next_out = unpacked.data() + have;
    stream.avail_out = static_cast<uInt>(unpacked.size() - have);
    status = inflate(&stream, Z_NO_FLUSH);
    const bool starved = stream.avail_in == 0 && stream.avail_out > 0;
    unpacked.resize(unpacked.size() - stream.avail_out);
    if (status == Z_BUF_ERROR || (status == Z_OK && starved)) {
      throw Error(ErrorKind::kData, "{}: byte {}: truncated gzip data", name, content.size());
    }
    if (status != Z_OK && status != Z_STREAM_END) {
      throw Error(ErrorKind::kData, "{}: byte {}: damaged gzip data: {}", name, stream.total_in,
                  stream.msg ? stream.msg : "no reason given");
    }
  }
  if (unpacked.size() > limit) throw Error(ErrorKind::kData, "{}: unpacked size: got more than {} bytes", name, limit);
  if (stream.avail_in > 0) {
    throw Error(ErrorKind::kData, "{}: byte {}: gzip data ends here, got {} bytes more, expected none", name,
                stream.total_in, stream.avail_in);
  }
  return unpacked;
}

std::filesystem::path find_packed_or_not(const std::filesystem::path& path) {
  for (const char* ending : {"", ".gz"}) {
    std::filesystem::path candidate = path;
    candidate += ending;
    std::error_code unreadable;
    if (std::filesystem::is_regular_file(candidate, unreadable)) return candidate;
  }
  return {};
}

}  // namespace pellucid::data
