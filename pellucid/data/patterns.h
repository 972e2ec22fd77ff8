// The built-in data set: a bar in one of ten directions, drawn by the program, so that everything runs without a
// download.
#pragma once

#include "pellucid/data/dataset.h"

namespace pellucid::data {

inline constexpr std::int64_t kTrainPatterns = 4'000, kTestPatterns = 1'000;

/// One bar in each image, white on black, in the form of MNIST: uint8 (N, 1, 28, 28), of ten classes, class k turned by
/// 18 k degrees. Place, a further small turn and noise are random in (split, i) of image i; its class is i % 10.
/// small_cnn learns them in an epoch.
[[nodiscard]] Dataset patterns(Split split);

}  // namespace pellucid::data
