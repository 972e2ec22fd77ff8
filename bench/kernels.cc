// Google Benchmark of the engine's own loops: bytes or operations a second, beside what the machine can do.
//   build/bench/bench_kernels
#include "pellucid/inversion/engine/kernels.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace pellucid::inversion::kernels {
namespace {

constexpr std::int64_t kRows = 26 * 26 * 4, kColumns = 32;  // SmallCNN's first convolution, four trials

struct Arrays {
  std::vector<float> x = std::vector<float>(kRows * kColumns, 0.5f), y = x, z = x,
                     row = std::vector<float>(kColumns, 0.25f);
  std::vector<double> sums = std::vector<double>(kColumns);
  std::vector<BFloat> low = std::vector<BFloat>(kRows * kColumns);
};

// Runs a loop over the arrays; `streams` of them move through memory.
template <typename Loop>
void run(benchmark::State& state, int streams, Loop loop) {
  Arrays a;
  for (auto _ : state) {
    loop(a);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * streams * kRows * kColumns * static_cast<std::int64_t>(sizeof(float)));
}

void rectify_like(benchmark::State& s) {
  run(s, 3, [](Arrays& a) { rectify_like(a.y.data(), a.x.data(), a.z.data(), 0, kRows * kColumns); });
}
void scale_shift_two(benchmark::State& s) {
  run(s, 3, [](Arrays& a) {
    scale_shift_two(a.y.data(), a.row.data(), a.x.data(), a.row.data(), a.z.data(), a.row.data(), a.row.data(), kRows,
                    kColumns, false);
  });
}
void compare(benchmark::State& s) {
  run(s, 2, [](Arrays& a) { benchmark::DoNotOptimize(compare(a.x.data(), a.z.data(), kRows * kColumns)); });
}
void sum_rows(benchmark::State& s) {
  run(s, 1, [](Arrays& a) { sum_rows(a.sums.data(), a.x.data(), kRows, kColumns); });
}
void round(benchmark::State& s) {
  run(s, 2, [](Arrays& a) { round(a.low.data(), a.x.data(), kRows * kColumns); });
}

BENCHMARK(rectify_like);
BENCHMARK(scale_shift_two);
BENCHMARK(compare);
BENCHMARK(sum_rows);
BENCHMARK(round);

}  // namespace
}  // namespace pellucid::inversion::kernels

BENCHMARK_MAIN();
