#include "pellucid/core/tensor.h"

#include <cmath>

namespace pellucid::core {
namespace {

template <typename Draw>
Tensor filled(at::IntArrayRef shape, Draw draw) {
  Tensor tensor = torch::empty(shape, torch::kFloat32);
  float* values = tensor.data_ptr<float>();
  for (std::int64_t i = 0, n = tensor.numel(); i < n; ++i) values[i] = static_cast<float>(draw());
  return tensor;
}

}  // namespace

Tensor uniform(Stream stream, at::IntArrayRef shape, double low, double high) {
  // What rounds up to the bound as a float32 is the number below it.
  const auto bound = static_cast<float>(high), last = std::nextafter(bound, static_cast<float>(low));
  return filled(shape, [&] {
    const auto drawn = static_cast<float>(stream.uniform(low, high));
    return drawn < bound ? drawn : last;
  });
}

Tensor normal(Stream stream, at::IntArrayRef shape) {
  return filled(shape, [&] { return stream.normal(); });
}

std::tuple<Tensor, Tensor, Tensor> svd(const Tensor& matrix, bool full) {
  try {
    return torch::linalg_svd(matrix, full);
  } catch (const c10::Error&) {
    auto [left, values, right] = torch::linalg_svd(matrix.flip(0), full);
    return {left.flip(0), values, right};
  }
}

Tensor singular_values(const Tensor& matrix) {
  try {
    return torch::linalg_svdvals(matrix);
  } catch (const c10::Error&) {
    return torch::linalg_svdvals(matrix.flip(0));
  }
}

std::vector<double> to_doubles(const Tensor& tensor) {
  const Tensor flat = tensor.detach().to(torch::kCPU, torch::kFloat64).contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

}  // namespace pellucid::core
