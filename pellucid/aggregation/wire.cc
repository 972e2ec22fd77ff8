#include "pellucid/aggregation/wire.h"

#include "pellucid/core/error.h"

#include <algorithm>

namespace pellucid::aggregation {

Writer& Writer::number(std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  return *this;
}

Writer& Writer::raw(View bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return *this;
}

Writer& Writer::counted(View bytes) { return number(bytes.size()).raw(bytes); }

std::uint64_t Reader::number(int bytes) {
  std::uint64_t value = 0;
  const View field = raw(static_cast<std::uint64_t>(bytes));
  for (int i = bytes; i-- > 0;) value = value << 8 | field[static_cast<std::size_t>(i)];
  return value;
}

View Reader::raw(std::uint64_t size) {
  if (size > left_.size()) {
    throw core::Error(core::ErrorKind::kIo, "{}: got {} more bytes, expected {}: it is truncated", what_, left_.size(),
                      size);
  }
  const View field = left_.first(size);
  left_ = left_.subspan(size);
  return field;
}

View Reader::counted() { return raw(number()); }

Digest Reader::digest() {
  Digest digest;
  std::ranges::copy(raw(digest.size()), digest.begin());
  return digest;
}

void Reader::end() const {
  if (!left_.empty())
    throw core::Error(core::ErrorKind::kIo, "{}: got {} bytes behind its end, expected none", what_, left_.size());
}

}  // namespace pellucid::aggregation
