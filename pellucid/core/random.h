// Counter-based random numbers: a number is a function of (seed, purpose, index) and never of the order of the work.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace pellucid::core {

/// A stream of random numbers that depends on nothing but its three arguments.
///
/// `seed` is the run's, `purpose` names what the numbers are for ("pgd start"), `index` tells the items of one
/// purpose apart (an image's number, a step). Two streams that differ in any of the three are independent for all
/// practical purposes, so a result does not depend on batch size, thread count or which item came first.
///
/// Source: Philox4x32-10, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (the Random123 library).
/// Not for cryptography and not for differential privacy.
class Stream {
 public:
  Stream(std::uint64_t seed, std::string_view purpose, std::uint64_t index = 0);

  /// 32 random bits.
  std::uint32_t bits();
  /// Uniform in [0, 1), a multiple of 2^-53.
  double uniform();
  /// Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Standard normal (Box-Muller).
  double normal();
  /// Uniform in {0, ..., n-1}, without bias. `n` is at least 1.
  std::uint64_t below(std::uint64_t n);

 private:
  void refill();

  std::uint32_t key_[2];
  std::uint64_t index_;
  std::uint64_t block_ = 0;
  std::uint32_t buffer_[4];
  int left_ = 0;
  double spare_normal_ = 0;
  bool has_spare_ = false;
};

/// A uniformly random order of 0, ..., n-1 (Fisher-Yates).
[[nodiscard]] std::vector<std::int64_t> permutation(Stream stream, std::int64_t n);

}  // namespace pellucid::core
