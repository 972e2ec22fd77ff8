// What all of this layer draws and hashes with: libsodium's hash, random bytes and key stream.
#pragma once

#include "pellucid/core/file.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

namespace pellucid::aggregation {

using View = std::span<const std::uint8_t>;
using Digest = std::array<std::uint8_t, 32>;

/// The bytes of a text.
[[nodiscard]] View view(std::string_view text);

/// BLAKE2b of 256 bits over a purpose and some parts, each behind its length: no two lists of parts run together.
[[nodiscard]] Digest hash(std::string_view purpose, std::initializer_list<View> parts);

/// 32 bytes of the system's cryptographic source.
[[nodiscard]] Digest random_key();

/// The ChaCha20 key stream of a key: the same bytes for the same key, and nothing to tell them from random ones without
/// it. A key is for one stream only. At most 2^38 bytes.
void expand(const Digest& key, std::span<std::uint8_t> out);
void expand(const Digest& key, std::span<std::uint64_t> out);

/// Fills with random bytes: the key stream of a fresh `random_key`.
void fill_random(std::span<std::uint8_t> out);
void fill_random(std::span<std::uint64_t> out);

/// Overwrites a secret that is no longer needed.
void forget(std::span<std::uint8_t> secret);

/// Lower-case hexadecimal.
[[nodiscard]] std::string hex(View bytes);

}  // namespace pellucid::aggregation
