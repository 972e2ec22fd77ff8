// Messages as bytes: numbers in little-endian order, and what others sent read back with every length checked.
#pragma once

#include "pellucid/aggregation/crypto.h"

#include <string>

namespace pellucid::aggregation {

/// Puts fields behind one another.
class Writer {
 public:
  Writer& number(std::uint64_t value, int bytes = 8);
  Writer& raw(View bytes);                                        ///< of a length that the reader knows
  Writer& counted(View bytes);                                    ///< behind its length
  [[nodiscard]] core::Bytes take() { return std::move(bytes_); }  ///< once

 private:
  core::Bytes bytes_;
};

/// Takes them apart again. What it hands out points into the bytes.
class Reader {
 public:
  /// @param what names the bytes in messages: "the message of anna".
  Reader(View bytes, std::string what) : left_(bytes), what_(std::move(what)) {}

  /// @throws Error(kIo), as all of these, if fewer bytes are left than that takes: a truncated message.
  [[nodiscard]] std::uint64_t number(int bytes = 8);
  [[nodiscard]] View raw(std::uint64_t size);
  [[nodiscard]] View counted();
  [[nodiscard]] Digest digest();

  [[nodiscard]] bool empty() const { return left_.empty(); }
  /// @throws Error(kIo) if something is left.
  void end() const;

 private:
  View left_;
  std::string what_;
};

}  // namespace pellucid::aggregation
