#include "pellucid/core/random.h"

#include <Random123/philox.h>

#include <cmath>
#include <numbers>
#include <numeric>

namespace pellucid::core {
namespace {

// Spreads a 64-bit value over all bits (the finaliser of SplitMix64).
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3ULL;
  return hash;
}

}  // namespace

Stream::Stream(std::uint64_t seed, std::string_view purpose, std::uint64_t index) : index_(index) {
  const std::uint64_t key = mix(mix(seed + 0x9e3779b97f4a7c15ULL) ^ fnv1a(purpose));
  key_[0] = static_cast<std::uint32_t>(key);
  key_[1] = static_cast<std::uint32_t>(key >> 32);
}

void Stream::refill() {
  const r123::Philox4x32::ctr_type counter = {
      {static_cast<std::uint32_t>(block_), static_cast<std::uint32_t>(block_ >> 32), static_cast<std::uint32_t>(index_),
       static_cast<std::uint32_t>(index_ >> 32)}};
  const r123::Philox4x32::key_type key = {{key_[0], key_[1]}};
  const auto block = r123::Philox4x32()(counter, key);
  for (int i = 0; i < 4; ++i) buffer_[i] = block[i];
  left_ = 4;
  ++block_;
}

std::uint32_t Stream::bits() {
  if (left_ == 0) refill();
  return buffer_[4 - left_--];
}

double Stream::uniform() {
  const std::uint64_t high = bits() >> 5, low = bits() >> 6;
  return static_cast<double>((high << 26) | low) * 0x1p-53;
}

double Stream::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_normal_;
  }
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  const double angle = 2 * std::numbers::pi * uniform();
  spare_normal_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

std::uint64_t Stream::below(std::uint64_t n) {
  const std::uint64_t limit = UINT64_MAX - UINT64_MAX % n;  // a multiple of n: what lies above is drawn again
  std::uint64_t x;
  do {
    const std::uint64_t high = bits(), low = bits();
    x = (high << 32) | low;
  } while (x >= limit);
  return x % n;
}

std::vector<std::int64_t> permutation(Stream stream, std::int64_t n) {
  std::vector<std::int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = n - 1; i > 0; --i) std::swap(order[i], order[stream.below(i + 1)]);
  return order;
}

}  // namespace pellucid::core
