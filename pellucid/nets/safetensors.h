// The safetensors format, the one in which weights and updates are stored. Files are untrusted input.
#pragma once

#include "pellucid/core/file.h"
#include "pellucid/core/torch.h"

#include <nlohmann/json.hpp>

#include <functional>
#include <map>
#include <string>

namespace pellucid::nets {

/// The content of a safetensors file: named tensors, and text by key.
struct SafeTensors {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata = {};
};

/// What a header says of one tensor.
struct TensorInfo {
  torch::ScalarType type = torch::kFloat32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  ///< where its bytes lie, counted from the end of the header
};

/// A safetensors file of which the header was read and checked; a tensor is read when it is asked for. So what a file
/// holds can be compared with what is expected before memory is spent on it.
///
/// Layout: 8 bytes little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, the data.
/// Types: F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL.
/// Source: https://github.com/huggingface/safetensors, "Format"; holes, overlaps and duplicate names are refused as
/// there. Deviates: a header has at most 16 MiB (there 100 MB), 131,072 names, and 64 dimensions a tensor.
///
/// Files that Pellucid saved hold a checksum in their metadata (`kChecksumKey`): SHA-256 over the header that
/// `write_safetensors` gives this content, followed by the SHA-256 of each tensor's bytes in hexadecimal, in order of
/// their names. It finds damage; it is no signature. Files without it are read unchecked, and so are files that another
/// program wrote anew with the old metadata in them, which a header that is not as long as ours shows.
class SafeTensorsFile {
 public:
  /// @throws Error(kIo) if the file cannot be read.
  /// @throws Error(kModel) if the length, the header, a type, a shape or an offset is not what the format allows,
  ///   saying where, what it got and what it expected.
  explicit SafeTensorsFile(const std::filesystem::path& path);
  /// The same of bytes. @param name what to call the file in messages.
  SafeTensorsFile(core::Bytes bytes, std::string name);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const {
    return metadata_;
  }  ///< but for the checksum
  [[nodiscard]] const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }

  /// An entry of the metadata that is JSON, null where there is none. Sorted: unlike `core::Json`, it takes many keys
  /// fast.
  /// @throws Error(kModel) if it is not JSON, or longer than 1 MiB.
  [[nodiscard]] nlohmann::json json(const std::string& key) const;

  /// One tensor, a copy. @pre there is one of that name.
  /// @throws Error(kData) if it needs more memory than is allowed.
  [[nodiscard]] Tensor read(const std::string& tensor) const;

  /// Holds the content against its checksum, where it has one. Reads all tensors, one at a time.
  /// @throws Error(kModel) if they differ: the file was changed since it was written.
  void verify() const;

  /// Everything, verified. @throws as `read` and `verify`.
  [[nodiscard]] SafeTensors read_all() const;

 private:
  void read_header(std::uint64_t size);

  std::string name_;
  std::function<void(std::uint64_t offset, std::span<std::uint8_t> out)> source_;
  std::uint64_t header_size_ = 0;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, TensorInfo> tensors_;
  std::string checksum_;
};

/// The content of a safetensors file. @throws as `SafeTensorsFile` and its `read_all`.
[[nodiscard]] SafeTensors parse_safetensors(std::span<const std::uint8_t> bytes, const std::string& name);
[[nodiscard]] SafeTensors read_safetensors(const std::filesystem::path& path);

/// The bytes of a safetensors file, tensors in order of their names; equal content gives equal bytes. In text that is
/// not UTF-8, the replacement character stands for what cannot be read.
[[nodiscard]] core::Bytes write_safetensors(const SafeTensors& content);

/// The same with the checksum, into a file.
/// @param mode of a new file, less the umask, as `core::write_file` has it.
/// @throws Error(kIo) if the file cannot be written.
void save_safetensors(const SafeTensors& content, const std::filesystem::path& path, unsigned mode = 0666);

inline constexpr const char* kChecksumKey = "pellucid.checksum";

}  // namespace pellucid::nets
