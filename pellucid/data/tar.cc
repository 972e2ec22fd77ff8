#include "pellucid/data/tar.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"

#include <archive.h>
#include <archive_entry.h>

#include <utility>

namespace pellucid::data {

using core::Error;
using core::ErrorKind;

TarReader::TarReader(std::span<const std::uint8_t> archive, std::string name)
    : name_(std::move(name)), archive_(archive_read_new(), archive_read_free) {
  if (!archive_) throw Error(ErrorKind::kInternal, "libarchive cannot start");
  archive_read_support_filter_gzip(archive_.get());
  archive_read_support_format_tar(archive_.get());
  require(archive_read_open_memory(archive_.get(), archive.data(), archive.size()) == ARCHIVE_OK);
}

// Throws libarchive's reason if what it was asked for went wrong.
void TarReader::require(bool sound) const {
  if (sound) return;
  const char* reason = archive_error_string(archive_.get());
  throw Error(ErrorKind::kData, "{}: byte {} (unpacked): no tar archive, or a damaged one: {}", name_,
              archive_filter_bytes(archive_.get(), 0), reason ? reason : "no reason given");
}

std::optional<std::string> TarReader::next() {
  for (;;) {
    const int status = archive_read_next_header(archive_.get(), &entry_);
    if (status == ARCHIVE_EOF) return std::nullopt;
    require(status == ARCHIVE_OK || status == ARCHIVE_WARN);
    const auto size = static_cast<std::uint64_t>(archive_entry_size(entry_));
    const auto at = static_cast<std::uint64_t>(archive_filter_bytes(archive_.get(), 0));
    if (size > kMaxArchive || at + size > kMaxArchive) {
      throw Error(ErrorKind::kData, "{}: byte {} (unpacked): size, got {} bytes, expected at most {} in all", name_, at,
                  size, kMaxArchive);
    }
    const char* name = archive_entry_pathname(entry_);
    if (name && archive_entry_filetype(entry_) == AE_IFREG && !archive_entry_hardlink(entry_)) return name;
  }
}

core::Bytes TarReader::content() {
  const auto size = static_cast<std::size_t>(archive_entry_size(entry_));
  core::require_memory(size, fmt::format("{}: a file of {} bytes in it", name_, size));
  core::Bytes content;  // grows with what is there, not by what the header says
  const void* block = nullptr;
  std::size_t count = 0;
  la_int64_t offset = 0;
  int status;
  while ((status = archive_read_data_block(archive_.get(), &block, &count, &offset)) == ARCHIVE_OK) {
    if (static_cast<std::size_t>(offset) != content.size()) break;
    const auto* bytes = static_cast<const std::uint8_t*>(block);
    content.insert(content.end(), bytes, bytes + count);
  }
  require(status == ARCHIVE_OK || status == ARCHIVE_EOF);
  if (content.size() != size) {
    throw Error(ErrorKind::kData, "{}: a file of {} bytes with holes, got {} bytes, expected all of them", name_, size,
                content.size());
  }
  return content;
}

}  // namespace pellucid::data
