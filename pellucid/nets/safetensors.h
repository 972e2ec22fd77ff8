// The safetensors format, the one in which weights and updates are stored. Files are untrusted input.
#pragma once

#include "pellucid/core/file.h"
#include "pellucid/core/torch.h"

#include <map>
#include <string>

namespace pellucid::nets {

/// A safetensors file: named tensors, and text by key.
struct SafeTensors {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata = {};
};

/// Reads a safetensors file from its bytes.
///
/// Layout: 8 bytes little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, the data.
/// Types: F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL. The tensors are copies.
/// Source: https://github.com/huggingface/safetensors, "Format"; holes, overlaps and duplicate names are refused as there.
///
/// @param name what to call the file in messages.
/// @throws Error(kModel) if the length, the header, a type, a shape or an offset is not what the format allows, saying
///   where, what it got and what it expected.
[[nodiscard]] SafeTensors parse_safetensors(std::span<const std::uint8_t> bytes, const std::string& name);

/// The same from a file.
/// @throws Error(kIo) if it cannot be read.
[[nodiscard]] SafeTensors read_safetensors(const std::filesystem::path& path);

/// The bytes of a safetensors file, tensors in order of their names; equal content gives equal bytes. In text that is not
/// UTF-8, the replacement character stands for what cannot be read.
[[nodiscard]] core::Bytes write_safetensors(const SafeTensors& content);

}  // namespace pellucid::nets
