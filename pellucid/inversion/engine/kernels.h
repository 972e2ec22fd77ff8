// The loops of the matching engine: plain arrays in, plain arrays out, one pass each.
//
// Rows are image positions, columns are channels (NHWC). Each loop is compiled for the instruction sets that are worth
// it (AVX-512, AVX2, the baseline) and the machine's is taken at run time; what is summed is summed in blocks of
// float32, and the blocks in float64.
#pragma once

#include <cstdint>

namespace pellucid::inversion::kernels {

/// A brain float: the upper half of a float32.
using BFloat = std::uint16_t;

/// <g, o>, |g|^2 and |g - o|^2 of a gradient g and the observed one o.
struct Sums {
  double inner = 0, square = 0, difference = 0;
};
[[nodiscard]] Sums compare(const float* gradient, const float* observed, std::int64_t count);
[[nodiscard]] double inner(const float* a, const float* b, std::int64_t count);

/// y += x
void add(float* y, const float* x, std::int64_t count);
/// y = a x + b z; x, y and z may be the same array
void combine(float* y, float a, const float* x, float b, const float* z, std::int64_t count);
/// y += a x
void add_scaled(float* y, float a, const float* x, std::int64_t count);
/// y = x, rounded to the nearest brain float, ties to even; x is finite
void round(BFloat* y, const float* x, std::int64_t count);

/// y = x > 0 ? x : slope x, and the same slopes for what flows along: y = r > 0 ? x : slope x, with r the output. x and
/// y may be the same array.
void rectify(float* y, const float* x, float slope, std::int64_t count);
void rectify_like(float* y, const float* x, const float* output, float slope, std::int64_t count);

/// y += row, for each of y's rows
void add_row(float* y, const float* row, std::int64_t rows, std::int64_t columns);
/// y[c] += the sum over rows of x, and of (x - x_centre[c]) (z - z_centre[c])
void sum_rows(double* y, const float* x, std::int64_t rows, std::int64_t columns);
void sum_product_rows(double* y, const float* x, const float* x_centre, const float* z, const float* z_centre,
                      std::int64_t rows, std::int64_t columns);
/// y = scale[c] (x - centre[c]) + shift[c]; x and y may be the same array
void scale_shift(float* y, const float* x, const float* centre, const float* scale, const float* shift,
                 std::int64_t rows, std::int64_t columns);
/// y = a[c] x + b[c] (z - centre[c]) + shift[c]; `add`: y += that
void scale_shift_two(float* y, const float* a, const float* x, const float* b, const float* z, const float* centre,
                     const float* shift, std::int64_t rows, std::int64_t columns, bool add);

}  // namespace pellucid::inversion::kernels
