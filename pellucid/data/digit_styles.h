// The shapes of the built-in digits: the ways in which people write each of them.
#pragma once

#include <vector>

namespace pellucid::data {

/// A point on the paper: x to the right, y down. A digit stands about 1 high and 0.7 wide.
struct Point {
  double x = 0;
  double y = 0;
};

/// A movement of the pen: a smooth curve through its points; a point given twice is a corner.
using Stroke = std::vector<Point>;

/// One way of writing a digit.
using Glyph = std::vector<Stroke>;

/// The ways of writing `digit` (0 to 9), each about as frequent as the others.
[[nodiscard]] const std::vector<Glyph>& glyphs(int digit);

}  // namespace pellucid::data
