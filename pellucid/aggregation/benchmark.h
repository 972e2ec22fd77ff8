// How long the two schemes take and how much they send: clients and server in one process, without a network.
#pragma once

#include "pellucid/core/fields.h"
#include "pellucid/core/run.h"

namespace pellucid::aggregation {

struct BenchmarkOptions {
  std::int64_t values = 312'202;  ///< of a client's vector; SmallCNN has as many parameters
  std::int64_t clients = 16;
  std::int64_t repeats = 5;
};

[[nodiscard]] core::Fields fields(BenchmarkOptions& options);

/// {"rows": a row for each scheme: "scheme", "client_s" (processor time of one client's round on one core, all steps),
/// "protect_s" (of the step in which its vector is masked or encrypted), "update_bytes" (what it sends in that step for
/// its vector), "sent_bytes" and "received_bytes" (of one client's round), "server_s", "largest_error" (of the mean, to
/// float64) and "step" (of the fixed point)}; medians of `repeats` rounds with random vectors in [-1, 1].
/// @throws Error(kUsage) for more clients than the encrypted sum takes.
/// @throws Error(kStopped) if a stop is asked for.
[[nodiscard]] core::Json benchmark(const BenchmarkOptions& options, const core::Run& run);

}  // namespace pellucid::aggregation
