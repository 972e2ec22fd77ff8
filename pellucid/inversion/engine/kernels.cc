#include "pellucid/inversion/engine/kernels.h"

#include <algorithm>
#include <bit>

// One function, several instruction sets. A sanitizer's run time is not up yet when the loader would choose among them.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define PELLUCID_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PELLUCID_CLONES
#endif

namespace pellucid::inversion::kernels {
namespace {

constexpr std::int64_t kBlock = 2048;  // values summed in float32 before they go to float64
constexpr std::int64_t kRows = 64;     // rows so summed
constexpr std::int64_t kColumns = 64;

}  // namespace

PELLUCID_CLONES Sums compare(const float* gradient, const float* observed, std::int64_t count) {
  Sums sums;
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t end = std::min(count, begin + kBlock);
    float inner = 0, square = 0, difference = 0;
#pragma omp simd reduction(+ : inner, square, difference)
    for (std::int64_t i = begin; i < end; ++i) {
      const float g = gradient[i], o = observed[i];
      inner += g * o;
      square += g * g;
      difference += (g - o) * (g - o);
    }
    sums.inner += inner;
    sums.square += square;
    sums.difference += difference;
  }
  return sums;
}

PELLUCID_CLONES double inner(const float* a, const float* b, std::int64_t count) {
  double sum = 0;
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t end = std::min(count, begin + kBlock);
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (std::int64_t i = begin; i < end; ++i) part += a[i] * b[i];
    sum += part;
  }
  return sum;
}

PELLUCID_CLONES void add(float* y, const float* x, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] += x[i];
}

PELLUCID_CLONES void combine(float* y, float a, const float* x, float b, const float* z, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = a * x[i] + b * z[i];
}

PELLUCID_CLONES void add_scaled(float* y, float a, const float* x, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] += a * x[i];
}

PELLUCID_CLONES void round(BFloat* y, const float* x, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(x[i]);
    y[i] = static_cast<BFloat>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
}

PELLUCID_CLONES void rectify(float* y, const float* x, float slope, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] > 0 ? x[i] : slope * x[i];
}

PELLUCID_CLONES void rectify_like(float* y, const float* x, const float* output, float slope, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = output[i] > 0 ? x[i] : slope * x[i];
}

PELLUCID_CLONES void add_row(float* y, const float* row, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r, y += columns) {
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c) y[c] += row[c];
  }
}

PELLUCID_CLONES void sum_rows(double* y, const float* x, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t left = 0; left < columns; left += kColumns) {
    const std::int64_t width = std::min(kColumns, columns - left);
    for (std::int64_t top = 0; top < rows; top += kRows) {
      float sums[kColumns] = {};
      for (std::int64_t r = top; r < std::min(rows, top + kRows); ++r) {
        const float* row = x + r * columns + left;
#pragma omp simd
        for (std::int64_t c = 0; c < width; ++c) sums[c] += row[c];
      }
      for (std::int64_t c = 0; c < width; ++c) y[left + c] += sums[c];
    }
  }
}

PELLUCID_CLONES void sum_product_rows(double* y, const float* x, const float* x_centre, const float* z,
                                      const float* z_centre, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t left = 0; left < columns; left += kColumns) {
    const std::int64_t width = std::min(kColumns, columns - left);
    const float *p = x_centre + left, *q = z_centre + left;
    for (std::int64_t top = 0; top < rows; top += kRows) {
      float sums[kColumns] = {};
      for (std::int64_t r = top; r < std::min(rows, top + kRows); ++r) {
        const float *a = x + r * columns + left, *b = z + r * columns + left;
#pragma omp simd
        for (std::int64_t c = 0; c < width; ++c) sums[c] += (a[c] - p[c]) * (b[c] - q[c]);
      }
      for (std::int64_t c = 0; c < width; ++c) y[left + c] += sums[c];
    }
  }
}

PELLUCID_CLONES void scale_shift(float* y, const float* x, const float* centre, const float* scale, const float* shift,
                                 std::int64_t rows, std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r, x += columns, y += columns) {
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c) y[c] = scale[c] * (x[c] - centre[c]) + shift[c];
  }
}

PELLUCID_CLONES void scale_shift_two(float* y, const float* a, const float* x, const float* b, const float* z,
                                     const float* centre, const float* shift, std::int64_t rows, std::int64_t columns,
                                     bool add) {
  for (std::int64_t r = 0; r < rows; ++r, x += columns, y += columns, z += columns) {
    if (add) {
#pragma omp simd
      for (std::int64_t c = 0; c < columns; ++c) y[c] += a[c] * x[c] + b[c] * (z[c] - centre[c]) + shift[c];
    } else {
#pragma omp simd
      for (std::int64_t c = 0; c < columns; ++c) y[c] = a[c] * x[c] + b[c] * (z[c] - centre[c]) + shift[c];
    }
  }
}

}  // namespace pellucid::inversion::kernels
