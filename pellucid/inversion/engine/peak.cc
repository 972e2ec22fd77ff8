#include "pellucid/inversion/engine/peak.h"

#include "pellucid/inversion/engine/onednn.h"

#include <algorithm>
#include <functional>

namespace pellucid::inversion {
namespace {

using dnnl::memory;

constexpr int kRuns = 10;

double best_rate(double operations, double (*seconds)(), const std::function<void()>& work) {
  work();  // warms up
  double best = 0;
  for (int i = 0; i < kRuns; ++i) {
    const double begin = seconds();
    work();
    best = std::max(best, operations / (seconds() - begin));
  }
  return best;
}

double product_rate(double (*seconds)()) {
  constexpr std::int64_t kSize = 768;
  const std::vector<float> a(kSize * kSize, 1), b(kSize * kSize, 1);
  std::vector<float> c(kSize * kSize);
  return best_rate(2.0 * kSize * kSize * kSize, seconds,
                   [&] { multiply(false, false, kSize, kSize, kSize, 1, a.data(), b.data(), 0, c.data()); });
}

// A 3 x 3 convolution of four square images, without padding, laid out as the engine has it.
double convolution_rate(std::int64_t channels, std::int64_t size, double (*seconds)()) {
  constexpr std::int64_t kImages = 4, kKernel = 3;
  Onednn dnn;
  const memory::dims one = {1, 1}, none = {0, 0};
  const memory::desc in({kImages, channels, size + 2, size + 2}, memory::data_type::f32, memory::format_tag::nhwc);
  const memory::desc out({kImages, channels, size, size}, memory::data_type::f32, memory::format_tag::nhwc);
  const memory::desc weight({channels, channels, kKernel, kKernel}, memory::data_type::f32, memory::format_tag::any);
  const auto description =
      described<dnnl::convolution_forward>(dnn.engine(), Onednn::attributes(), dnnl::prop_kind::forward_training,
                                           dnnl::algorithm::convolution_direct, in, weight, out, one, none, none);
  const auto zeros = [](const memory::desc& d) { return std::vector<float>(d.get_size() / sizeof(float)); };
  std::vector<float> x = zeros(in), w = zeros(description.weights_desc()), y = zeros(out), scratch;
  const Call call = dnn.call<dnnl::convolution_forward>(
      description, {{DNNL_ARG_SRC, dnn.view(in, x.data())},
                    {DNNL_ARG_WEIGHTS, dnn.view(description.weights_desc(), w.data())},
                    {DNNL_ARG_DST, dnn.view(out, y.data())}});
  dnn.bind_scratchpad([&](std::size_t bytes) {
    scratch.resize(bytes / sizeof(float) + 1);
    return scratch.data();
  });
  const auto operations = 2.0 * kImages * static_cast<double>(size * size * channels * channels * kKernel * kKernel);
  return best_rate(operations, seconds, [&] { dnn.run(call); });
}

}  // namespace

double measure_peak(double (*seconds)()) {
  double best = product_rate(seconds);
  for (const auto& [channels, size] : {std::pair(64, 32), std::pair(128, 16), std::pair(256, 8)})
    best = std::max(best, convolution_rate(channels, size, seconds));
  return best;
}

}  // namespace pellucid::inversion
