#include "pellucid/metrics/assignment.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"
#include "pellucid/metrics/shape.h"

#include <limits>

namespace pellucid::metrics {

std::vector<std::int64_t> assign(const Tensor& costs) {
  if (costs.dim() != 2 || costs.size(0) != costs.size(1) || costs.scalar_type() != torch::kFloat64 ||
      !torch::isfinite(costs).all().item<bool>()) {
    throw core::Error(core::ErrorKind::kInternal, "assignment: got costs {}, expected finite float64 (n,n)",
                      shape_text(costs));
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto n = static_cast<std::size_t>(costs.size(0));
  const Tensor dense = costs.contiguous();
  const auto* cost = dense.data_ptr<double>();
  // Row n stands beside the matrix: column n of `row_of` is the row that is being assigned.
  std::vector<double> row_price(n), column_price(n + 1);
  std::vector<std::size_t> row_of(n + 1, n), before(n);
  for (std::size_t row = 0; row < n; ++row) {
    std::vector<double> distance(n, kInfinity);
    std::vector<bool> done(n + 1, false);
    std::size_t column = n;
    row_of[n] = row;
    while (row_of[column] != n) {  // grows a tree of shortest paths until it reaches a free column
      done[column] = true;
      const std::size_t r = row_of[column];
      std::size_t nearest = n;
      for (std::size_t c = 0; c < n; ++c) {
        if (done[c]) continue;
        const double reduced = cost[r * n + c] - row_price[r] - column_price[c];
        if (reduced < distance[c]) distance[c] = reduced, before[c] = column;
        if (nearest == n || distance[c] < distance[nearest]) nearest = c;
      }
      const double step = distance[nearest];
      for (std::size_t c = 0; c <= n; ++c) {
        if (done[c])
          row_price[row_of[c]] += step, column_price[c] -= step;
        else if (c < n)
          distance[c] -= step;
      }
      column = nearest;
    }
    for (; column != n; column = before[column]) row_of[column] = row_of[before[column]];
  }
  std::vector<std::int64_t> columns(n);
  for (std::size_t c = 0; c < n; ++c) columns[row_of[c]] = static_cast<std::int64_t>(c);
  return columns;
}

std::vector<std::int64_t> match(const Tensor& reconstructions, const Tensor& originals) {
  check_same_shape(reconstructions, originals);
  const auto n = originals.size(0);
  core::require_memory(static_cast<std::uint64_t>(n) * static_cast<std::uint64_t>(n) * sizeof(double),
                       "the errors of each reconstruction from each original");
  const auto flat = [&](const Tensor& images) { return images.detach().to(torch::kFloat64).reshape({n, -1}); };
  const Tensor a = flat(reconstructions), b = flat(originals);
  Tensor errors = torch::empty({n, n}, torch::kFloat64);
  for (std::int64_t i = 0; i < n; ++i) errors[i] = (b - a[i]).square().mean(1);
  return assign(errors);
}

}  // namespace pellucid::metrics
