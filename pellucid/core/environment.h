// Where a result was made: what one needs to know to make it again.
#pragma once

#include "pellucid/core/fields.h"

namespace pellucid::core {

/// The program's version: "0.1.0 (a1b2c3d)".
[[nodiscard]] std::string version();

/// Version, compiler, build type, libraries, processor, cores, threads used and date, as every result file carries them.
[[nodiscard]] Json environment(int threads);

}  // namespace pellucid::core
