#include "pellucid/data/byte_stream.h"

#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/data/shown.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;

constexpr std::size_t kBuffer = std::size_t{1} << 16;
constexpr std::size_t kMostPadding = std::size_t{1} << 16;
constexpr std::uint64_t kMostRatio = 1032;                      // a match of 258 bytes takes two bits
constexpr std::uint64_t kMostPending = std::uint64_t{1} << 16;  // what zlib holds back, its window included

}  // namespace

InputFile::InputFile(const fs::path& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), size_(0) {
  if (descriptor_ < 0) throw io_error(path, "open", errno);
  struct stat status;
  const int reason = ::fstat(descriptor_, &status) != 0 ? errno : S_ISDIR(status.st_mode) ? EISDIR : 0;
  if (reason == 0 && S_ISREG(status.st_mode)) {
    size_ = static_cast<std::uint64_t>(status.st_size);
    return;
  }
  ::close(descriptor_);
  if (reason != 0) throw io_error(path, "read", reason);
  throw Error(ErrorKind::kIo, "{}: cannot read: not a regular file", shown(path));
}

InputFile::~InputFile() { ::close(descriptor_); }

std::size_t InputFile::read(std::span<std::uint8_t> out) {
  std::size_t have = 0;
  while (have < out.size()) {
    const auto n = ::read(descriptor_, out.data() + have, out.size() - have);
    if (n < 0 && errno != EINTR) throw io_error(path_, "read", errno);
    if (n == 0) break;
    if (n > 0) have += static_cast<std::size_t>(n);
  }
  return have;
}

struct ByteStream::State {
  std::string raw_name;
  std::unique_ptr<InputFile> file;      // or null, for memory
  core::Bytes buffer;                   // of the file
  std::span<const std::uint8_t> input;  // raw bytes at hand
  std::uint64_t raw_left = 0;           // raw bytes to come, `input` included
  std::uint64_t raw_read = 0;
  std::uint64_t given = 0;
  bool packed = false;
  std::string name;
  z_stream inflater{};
  bool between_members = true;

  explicit State(std::string name_in) : raw_name(std::move(name_in)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (packed) inflateEnd(&inflater);
  }

  void begin() {
    refill();
    name = raw_name;
    if (input.size() < 2 || input[0] != 0x1f || input[1] != 0x8b) return;
    if (inflateInit2(&inflater, 16 + MAX_WBITS) != Z_OK) throw Error(ErrorKind::kInternal, "zlib cannot start");
    packed = true;
    name += " (unpacked)";
  }

  // Makes sure that `input` is empty only at the end.
  void refill() {
    if (!input.empty() || !file) return;
    buffer.resize(kBuffer);
    input = std::span(buffer).first(file->read(buffer));
    if (input.empty()) raw_left = 0;  // the file became shorter
  }

  void take(std::size_t count) {
    input = input.subspan(count);
    raw_read += count;
    raw_left -= std::min<std::uint64_t>(raw_left, count);
  }

  std::size_t copy(std::span<std::uint8_t> out) {
    std::size_t have = 0;
    while (have < out.size()) {
      refill();
      if (input.empty()) break;
      const std::size_t count = std::min(input.size(), out.size() - have);
      std::memcpy(out.data() + have, input.data(), count);
      take(count);
      have += count;
    }
    return have;
  }

  // Goes on to the next member; false if there is none.
  bool next_member() {
    for (std::size_t zeros = 0;; ++zeros) {
      refill();
      if (input.empty()) return false;
      if (input[0] == 0x1f && zeros == 0) return true;
      if (input[0] != 0 || zeros == kMostPadding) {
        throw Error(ErrorKind::kData, "{}: byte {}: gzip data end here, got {} bytes more, expected none", raw_name,
                    raw_read - zeros, raw_left + zeros);
      }
      take(1);
    }
  }

  std::size_t unpack(std::span<std::uint8_t> out) {
    std::size_t have = 0;
    while (have < out.size()) {
      if (between_members && !next_member()) break;
      between_members = false;
      refill();
      if (input.empty()) throw Error(ErrorKind::kData, "{}: byte {}: truncated gzip data", raw_name, raw_read);
      inflater.next_in = const_cast<Bytef*>(input.data());
      inflater.avail_in = static_cast<uInt>(std::min<std::size_t>(input.size(), std::numeric_limits<uInt>::max()));
      inflater.next_out = out.data() + have;
      inflater.avail_out =
          static_cast<uInt>(std::min<std::size_t>(out.size() - have, std::numeric_limits<uInt>::max()));
      const int status = inflate(&inflater, Z_NO_FLUSH);
      have = static_cast<std::size_t>(inflater.next_out - out.data());
      take(static_cast<std::size_t>(inflater.next_in - input.data()));
      if (status == Z_STREAM_END) {
        between_members = true;
        inflateReset(&inflater);
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        throw Error(ErrorKind::kData, "{}: byte {}: damaged gzip data: {}", raw_name, raw_read,
                    inflater.msg ? inflater.msg : "no reason given");
      }
    }
    return have;
  }
};

ByteStream::ByteStream(std::span<const std::uint8_t> content, std::string name)
    : state_(std::make_unique<State>(std::move(name))) {
  state_->input = content;
  state_->raw_left = content.size();
  state_->begin();
}

ByteStream::ByteStream(const fs::path& path) : state_(std::make_unique<State>(shown(path))) {
  state_->file = std::make_unique<InputFile>(path);
  state_->raw_left = state_->file->size();
  state_->begin();
}

ByteStream::ByteStream(ByteStream&&) noexcept = default;
ByteStream::~ByteStream() = default;

std::size_t ByteStream::read(std::span<std::uint8_t> out) {
  const std::size_t count = state_->packed ? state_->unpack(out) : state_->copy(out);
  state_->given += count;
  return count;
}

std::uint64_t ByteStream::most_left() const {
  return state_->packed ? state_->raw_left * kMostRatio + kMostPending : state_->raw_left;
}

std::uint64_t ByteStream::position() const { return state_->given; }
bool ByteStream::packed() const { return state_->packed; }
const std::string& ByteStream::name() const { return state_->name; }

fs::path find_file(const fs::path& path) {
  std::string dotted = path.filename().string();
  if (const auto at = dotted.find("-idx"); at != std::string::npos) dotted[at] = '.';
  for (const fs::path& spelling : {path, path.parent_path() / dotted}) {
    for (const char* ending : {"", ".gz"}) {
      fs::path candidate = spelling;
      candidate += ending;
      std::error_code error;
      const fs::file_status status = fs::status(candidate, error);
      if (fs::is_regular_file(status)) return candidate;
      if (status.type() == fs::file_type::none)
        throw Error(ErrorKind::kIo, "{}: {}", shown(candidate), error.message());
    }
  }
  return {};
}

}  // namespace pellucid::data
