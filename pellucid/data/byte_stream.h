// The bytes of a file or of memory in order, unpacked where they are gzip data: a reader takes what its format says and
// no more, so that a file of any size costs no more than that.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace pellucid::data {

/// A regular file, open for reading.
class InputFile {
 public:
  /// @throws Error(kIo) if it cannot be opened or is not a regular file.
  explicit InputFile(const std::filesystem::path& path);
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  /// The bytes that it holds.
  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// Fills `out`, or as much of it as bytes are left; returns how many.
  /// @throws Error(kIo) if it cannot be read.
  std::size_t read(std::span<std::uint8_t> out);

 private:
  std::filesystem::path path_;
  int descriptor_;
  std::uint64_t size_;
};

/// Bytes to be read once, from the first to the last. Gzip data (RFC 1952) are recognised by their first bytes; they
/// may have several members and be padded with zeros.
class ByteStream {
 public:
  /// Of memory, which must outlive it.
  /// @param name what to call the content in messages.
  ByteStream(std::span<const std::uint8_t> content, std::string name);

  /// Of a file.
  /// @throws Error(kIo) as `InputFile`.
  explicit ByteStream(const std::filesystem::path& path);

  ByteStream(ByteStream&&) noexcept;
  ~ByteStream();

  /// Fills `out`, or as much of it as bytes are left; returns how many.
  /// @throws Error(kIo) if the file cannot be read.
  /// @throws Error(kData) if gzip data are damaged (zlib's checksum and length included), truncated, or followed by
  ///     something else.
  std::size_t read(std::span<std::uint8_t> out);

  /// The most bytes that can still come: of plain data exactly those, of gzip data 1,032 times those that are packed,
  /// which is the most that deflate can do.
  [[nodiscard]] std::uint64_t most_left() const;

  /// The bytes read so far.
  [[nodiscard]] std::uint64_t position() const;

  [[nodiscard]] bool packed() const;

  /// The content's name for messages, with "(unpacked)" where `position` counts unpacked bytes.
  [[nodiscard]] const std::string& name() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// `path`, or another name under which that file is published: packed (.gz), or of MNIST with a dot
/// (train-images.idx3-ubyte). An empty path if there is none of them.
/// @throws Error(kIo) if that cannot be found out: a folder that may not be entered is not one that lacks a file.
[[nodiscard]] std::filesystem::path find_file(const std::filesystem::path& path);

}  // namespace pellucid::data
