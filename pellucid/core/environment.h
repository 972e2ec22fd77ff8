// Where a result was made: what one needs to know to make it again.
#pragma once

#include "pellucid/core/fields.h"

namespace pellucid::core {

/// The program's version: "0.1.0 (a1b2c3d)".
[[nodiscard]] std::string version();

/// Whether this processor multiplies in bfloat16 (AVX-512 BF16). Without, libtorch emulates it, many times slower than
/// float32.
[[nodiscard]] bool has_bfloat16();

/// Version, compiler, build type, libraries, processor, cores, threads used and date, as every result file carries
/// them.
[[nodiscard]] Json environment(int threads);

}  // namespace pellucid::core
