#include "pellucid/stats/paired.h"

#include "pellucid/core/error.h"
#include "pellucid/stats/distribution.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace pellucid::stats {
namespace {

constexpr std::int64_t kMostExact = 30;

// The signed ranks of the differences that are not zero.
struct SignedRanks {
  std::int64_t n = 0;
  double positive = 0;  // W+: the sum of the ranks of positive differences
  double negative = 0;  // W-
  double ties = 0;      // sum of t^3 - t over groups of t equal absolute differences
};

SignedRanks signed_ranks(std::vector<double> differences) {
  std::erase(differences, 0.0);
  std::sort(differences.begin(), differences.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
  SignedRanks ranks{.n = static_cast<std::int64_t>(differences.size())};
  for (std::size_t begin = 0, end = 0; begin < differences.size(); begin = end) {
    while (end < differences.size() && std::abs(differences[end]) == std::abs(differences[begin])) ++end;
    const double rank = static_cast<double>(begin + 1 + end) / 2;  // ties share the mean of their ranks
    for (auto i = begin; i < end; ++i) (differences[i] > 0 ? ranks.positive : ranks.negative) += rank;
    const double t = static_cast<double>(end - begin);
    ranks.ties += t * t * t - t;
  }
  return ranks;
}

// Of the 2^n ways to give signs to the ranks 1, ..., n: ways[w] have W+ = w. Exact in doubles up to n = 53.
std::vector<double> sign_assignments(std::int64_t n) {
  std::vector<double> ways(static_cast<std::size_t>(n * (n + 1) / 2 + 1), 0.0);
  ways[0] = 1;
  for (std::size_t rank = 1; rank <= static_cast<std::size_t>(n); ++rank) {
    for (std::size_t w = ways.size() - 1; w >= rank; --w) ways[w] += ways[w - rank];
  }
  return ways;
}

double exact_p(const SignedRanks& ranks) {
  const auto ways = sign_assignments(ranks.n);
  const auto least = static_cast<std::size_t>(std::min(ranks.positive, ranks.negative));
  double as_extreme = 0;
  for (std::size_t w = 0; w <= least; ++w) as_extreme += ways[w];
  return std::min(1.0, 2 * as_extreme / std::exp2(static_cast<double>(ranks.n)));
}

double approximate_p(const SignedRanks& ranks) {
  const double n = static_cast<double>(ranks.n);
  const double variance = n * (n + 1) * (2 * n + 1) / 24 - ranks.ties / 48;
  const double away = std::max(0.0, std::abs(ranks.positive - ranks.negative) / 2 - 0.5);  // continuity correction
  return 2 * normal_cdf(-away / std::sqrt(variance));
}

}  // namespace

PairedComparison compare_paired(std::span<const double> a, std::span<const double> b, const BootstrapOptions& options) {
  if (a.size() != b.size()) {
    throw core::Error(core::ErrorKind::kInternal, "paired samples: got {} and {} values, expected as many", a.size(),
                      b.size());
  }
  std::vector<double> differences(a.size());
  std::transform(a.begin(), a.end(), b.begin(), differences.begin(), std::minus<>());

  PairedComparison comparison{.n = static_cast<std::int64_t>(a.size()),
                              .mean_difference = mean_interval(differences, options),
                              .median_difference = median(differences),
                              .test = "none: all differences are zero"};
  const SignedRanks ranks = signed_ranks(differences);
  if (ranks.n == 0) return comparison;
  const bool exact = comparison.n <= kMostExact && ranks.n == comparison.n && ranks.ties == 0;
  comparison.p_value = exact ? exact_p(ranks) : approximate_p(ranks);
  comparison.test = exact ? "Wilcoxon signed-rank, exact" : "Wilcoxon signed-rank, normal approximation";
  comparison.rank_biserial = (ranks.positive - ranks.negative) / (ranks.positive + ranks.negative);
  return comparison;
}

}  // namespace pellucid::stats
