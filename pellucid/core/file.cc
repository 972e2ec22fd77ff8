#include "pellucid/core/file.h"

#include "pellucid/core/error.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace pellucid::core {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const char* what, const fs::path& path) {
  throw Error(ErrorKind::kIo, "{}: cannot {}: {}", path.string(), what, std::strerror(errno));
}

// A file descriptor that closes itself.
struct Descriptor {
  int fd;
  explicit Descriptor(int fd_in) : fd(fd_in) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

std::span<const std::uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

Bytes read_file(const fs::path& path, std::uint64_t limit) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) fail("open", path);
  struct stat status;
  if (::fstat(file.fd, &status) != 0) fail("read", path);
  if (S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    fail("read", path);
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > limit) throw Error(ErrorKind::kIo, "{}: size: got {} bytes, expected at most {}", path.string(), size, limit);

  Bytes content(size);
  std::size_t have = 0;
  while (have < content.size()) {
    const auto n = ::read(file.fd, content.data() + have, content.size() - have);
    if (n < 0 && errno != EINTR) fail("read", path);
    if (n == 0) break;
    if (n > 0) have += static_cast<std::size_t>(n);
  }
  content.resize(have);
  return content;
}

std::string read_text(const fs::path& path) {
  const Bytes content = read_file(path);
  return {content.begin(), content.end()};
}

void write_file(const fs::path& path, std::span<const std::uint8_t> content) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error(ErrorKind::kIo, "{}: cannot make the folder: {}", folder.string(), error.message());

  std::string temporary = path.string() + ".XXXXXX";
  const Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (file.fd < 0) fail("write", path);
  auto give_up = [&] {
    const int reason = errno;
    ::unlink(temporary.c_str());
    errno = reason;
    fail("write", path);
  };
  for (std::size_t done = 0; done < content.size();) {
    const auto n = ::write(file.fd, content.data() + done, content.size() - done);
    if (n < 0 && errno != EINTR) give_up();
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  if (::fchmod(file.fd, 0644) != 0 || ::fsync(file.fd) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0) give_up();
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd >= 0) ::fsync(directory.fd);
}

void write_file(const fs::path& path, std::string_view content) { write_file(path, as_bytes(content)); }

std::string sha256(std::span<const std::uint8_t> content) {
  std::uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(content.data(), content.size(), digest, &size, EVP_sha256(), nullptr) != 1) {
    throw Error(ErrorKind::kInternal, "SHA-256 is not available in this OpenSSL");
  }
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

std::string base64(std::span<const std::uint8_t> content) {
  std::string text((content.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), content.data(), static_cast<int>(content.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::string sha256(std::string_view content) { return sha256(as_bytes(content)); }

}  // namespace pellucid::core
