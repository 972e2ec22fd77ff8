// How fast the matching engine and the training are beside plain libtorch, on this machine, all in the same run.
#pragma once

#include "pellucid/core/fields.h"
#include "pellucid/core/run.h"

#include <optional>

namespace pellucid::gradients {

struct BenchmarkOptions {
  std::string nets = "small_cnn,convnet,preact_resnet18,resnet18,wide_resnet34_10";  ///< names from `nets::zoo()`
  std::int64_t batch = 1;                                                            ///< images in the client's batch
  std::string trials = "1,4";  ///< restarts side by side in one engine: numbers from 1 to 64, a row each
  bool tensor = false;         ///< on the CPU: the tensor engine instead, measured as on a CUDA device
  std::int64_t repeats = 7;    ///< of each candidate; the median is reported
};

[[nodiscard]] core::Fields fields(BenchmarkOptions& options);

/// Times one evaluation of the matching loss and its gradient (float32 cosine, evaluation mode, untrained weights):
/// double backward of one batch, and the engine with its trials in float32 and, where the processor has it, in mixed
/// precision.
///
/// The candidates take turns in one process. On one core the time is the thread's own processor time, which neighbours
/// disturb less than the clock's; on all cores it is the clock's, one stream a core, each candidate in turn.
/// Milliseconds are for one image and one iteration. `gflops` is the engine's rate on each core: the matrix products
/// and convolutions that it computes, padding left out, two operations for each multiply-accumulate. `peak_gflops` is
/// the highest rate seen on one core: of oneDNN's matrix product and convolutions alone (`inversion::measure_peak`) and
/// of the engine itself, so that `of_peak` never passes 1.
///
/// On a CUDA device, or with `tensor`: whole iterations of a descent (matching gradient, priors, signed Adam, box) by
/// double backward, one restart, and by the tensor engine in each precision, all restarts; rows then have {"net",
/// "batch", "device", "attack", "method", "restarts", "ms_per_iteration", "ms_least", "ms_most", "n", "iterations",
/// "trial_iterations_per_s", "error_to_float64", "error_to_double_backward"}: the relative error of the first restart's
/// gradient to that of double backward in float64 and in float32.
///
/// @return {"peak_gflops", "rows": [{"net", "batch", "trials", "cores", "double_backward_ms", "engine_ms", "ratio",
///   "mixed_ms", "mixed_ratio", "gflops", "of_peak", "memory_bytes"}]}; mixed entries are null where there is none.
/// @throws Error(kUsage) if a network has no such name, or `trials` are no numbers from 1 to 64.
[[nodiscard]] core::Json benchmark_engine(const BenchmarkOptions& options, const core::Run& run);

struct TrainingBenchmarkOptions {
  std::string nets = "preact_resnet18";  ///< names from `nets::zoo()`
  std::int64_t batch = 64;               ///< images in a step
  std::int64_t repeats = 3;              ///< of each candidate; the median is reported
};

[[nodiscard]] core::Fields fields(TrainingBenchmarkOptions& options);

/// Times whole steps of training (inner attack, gradient, optimiser) on noise, on all cores that the run has: standard,
/// one-step and PGD-10 training.
///
/// The candidates take turns: plain libtorch in float32, eager, channels first, twice, with the attack's gradients
/// taken by `backward()` as the published codes do (it computes the parameters' gradients too), and for the images
/// alone; and ours in float32 and in mixed precision.
///
/// @return {"rows": [{"net", "batch", "cores", "mode", "plain", "plain_images_only", "float32", "mixed", "ratio",
///   "mixed_ratio", "mixed_ratio_images_only"}]}, in images a second; the ratios are to `plain` but for the last, which
///   is to `plain_images_only`.
/// @throws Error(kUsage) if a network has no such name.
[[nodiscard]] core::Json benchmark_training(const TrainingBenchmarkOptions& options, const core::Run& run);

/// What mixed precision changes on this processor: the relative error of the gradient of the cosine distance against
/// float32's and the cosine between the two, for an untrained preact_resnet18. Nothing where the processor has no brain
/// floats.
struct MixedError {
  double relative, cosine;
};
[[nodiscard]] std::optional<MixedError> measure_mixed();

}  // namespace pellucid::gradients
