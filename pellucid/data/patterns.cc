#include "pellucid/data/patterns.h"

#include "pellucid/core/parallel.h"
#include "pellucid/core/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pellucid::data {

Dataset patterns(Split split) {
  constexpr int kSide = 28, kNoise = 6;                     // noise: grey values to either side
  constexpr double kHalf = 2, kReach = 10, kCentre = 13.5;  // of a bar, pixels: half its width and its length
  const std::int64_t count = split == Split::kTrain ? kTrainPatterns : kTestPatterns;
  Dataset dataset{.name = "patterns",
                  .source = "generated",
                  .images = torch::empty({count, 1, kSide, kSide}, torch::kUInt8),
                  .labels = torch::arange(count) % 10,
                  .classes = {"0°", "18°", "36°", "54°", "72°", "90°", "108°", "126°", "144°", "162°"}};
  core::parallel_for(count, core::available_cores(), [&](std::int64_t i) {
    core::Stream stream(0, "pattern, " + to_string(split), static_cast<std::uint64_t>(i));
    const double angle = std::numbers::pi * (static_cast<double>(i % 10) / 10 + stream.uniform(-.02, .02));
    const double across = std::cos(angle), along = std::sin(angle);
    const double left = kCentre + stream.uniform(-3, 3), top = kCentre + stream.uniform(-3, 3);
    std::uint8_t* pixel = dataset.images.data_ptr<std::uint8_t>() + i * kSide * kSide;
    for (int p = 0; p < kSide * kSide; ++p) {
      const int column = p % kSide, row = p / kSide;
      const double x = column - left, y = row - top;
      const double inside =
          std::min(kHalf - std::abs(x * across + y * along), kReach - std::abs(y * across - x * along));
      const int noise = static_cast<int>(stream.bits() % (2 * kNoise + 1)) - kNoise;
      const int ink = static_cast<int>(255 * std::clamp(inside + .5, 0., 1.));
      pixel[p] = static_cast<std::uint8_t>(std::clamp(ink + noise, 0, 255));
    }
  });
  return dataset;
}

}  // namespace pellucid::data
