#include "pellucid/aggregation/noise.h"

#include "pellucid/aggregation/crypto.h"
#include "pellucid/aggregation/ntt.h"

#include <array>
#include <cmath>

namespace pellucid::aggregation {
namespace {

constexpr std::size_t kBounds = 2 * kNoiseBound;

// 2^63 times the probability of at most -19, at most -18, .., at most 18.
std::array<std::uint64_t, kBounds> cumulative() {
  const auto weight = [](int k) { return std::exp(-static_cast<long double>(k * k) / (2 * 3.2L * 3.2L)); };
  long double total = 0, sum = 0;
  for (int k = -kNoiseBound; k <= kNoiseBound; ++k) total += weight(k);
  std::array<std::uint64_t, kBounds> table{};
  for (std::size_t i = 0; i < kBounds; ++i) {
    sum += weight(static_cast<int>(i) - kNoiseBound);
    table[i] = static_cast<std::uint64_t>(std::round(sum / total * 0x1p63L));
  }
  return table;
}

std::vector<std::uint64_t> random_words(std::size_t n) {
  std::vector<std::uint64_t> words(n);
  fill_random(words);
  return words;
}

}  // namespace

std::vector<std::int8_t> ternary(std::size_t n) {
  std::vector<std::int8_t> drawn;
  drawn.reserve(n);
  for (const auto word : random_words(n))
    drawn.push_back(static_cast<std::int8_t>(static_cast<int>(Wide{word} * 3 >> 64) - 1));
  return drawn;
}

std::vector<std::int8_t> gaussian(std::size_t n) {
  static const auto table = cumulative();
  std::vector<std::int8_t> drawn;
  drawn.reserve(n);
  for (const auto word : random_words(n)) {
    const std::uint64_t place = word >> 1;
    std::uint64_t k = 0;
    for (const auto bound : table) k += (bound - 1 - place) >> 63;  // 1 where place >= bound
    drawn.push_back(static_cast<std::int8_t>(static_cast<int>(k) - kNoiseBound));
  }
  return drawn;
}

std::vector<Signed> smudging(std::size_t n) {
  const auto words = random_words(4 * n);
  std::vector<Signed> drawn(n);
  for (std::size_t i = 0; i < 4 * n; ++i) drawn[i / 4] += static_cast<std::int64_t>(words[i]);
  return drawn;
}

}  // namespace pellucid::aggregation
