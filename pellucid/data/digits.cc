#include "pellucid/data/digits.h"

#include "pellucid/core/error.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/random.h"
#include "pellucid/data/digit_styles.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace pellucid::data {
namespace {

using core::Error;
using core::ErrorKind;

constexpr int kSide = 28;
constexpr double kBox = 20;        // the side, in pixels, of the square that the digit is fitted into
constexpr int kStepsPerPoint = 8;  // straight pieces between two points of a stroke
constexpr double kEdge = 1.2;      // width in pixels of the soft edge of a line
constexpr double kTau = 2 * std::numbers::pi;

using Path = std::vector<Point>;                   // a polygon
using Canvas = std::array<double, kSide * kSide>;  // ink from 0 to 1

double squared(double x) { return x * x; }

// How one person, on one occasion, holds and moves the pen.
struct Hand {
  double tremor = 0;          // standard deviation of each point of a stroke
  double slant = 0;           // x shift per height, positive to the right at the top
  double rotation = 0;        // radians
  double proportion = 1;      // width over the usual width
  double elasticity = 0;      // standard deviation of the elastic displacements
  double radius = 0;          // of the pen, pixels
  double pressure_swing = 0;  // relative change of radius and ink along a stroke
  double pressure_phase = 0;
  double pressure_period = 1;  // in the digit's heights
  double fill = 1;             // size over the usual size
  Point offset;                // from the centre, pixels
};

Hand draw_hand(core::Stream& stream) {
  Hand hand;
  hand.tremor = stream.uniform(.005, .022);
  hand.slant = .14 + .18 * stream.normal();
  hand.rotation = .10 * stream.normal();
  hand.proportion = std::exp(.16 * stream.normal());
  hand.elasticity = stream.uniform(.018, .106);
  hand.radius = std::clamp(1.32 + .32 * stream.normal(), .70, 2.10);
  hand.pressure_swing = stream.uniform(0, .22);
  hand.pressure_phase = stream.uniform(0, kTau);
  hand.pressure_period = stream.uniform(.5, 2);
  hand.fill = stream.uniform(.92, 1.04);
  hand.offset = {.5 * stream.normal(), .5 * stream.normal()};
  return hand;
}

// Displacements of the plane: independent normal noise at the points of a grid, smoothed with a Gaussian.
constexpr int kGrid = 6;
constexpr double kSpacing = .26;  // of the grid, and the Gaussian's standard deviation
using Noise = std::array<Point, kGrid * kGrid>;

Noise draw_noise(core::Stream& stream) {
  Noise noise;
  for (Point& displacement : noise) displacement = {stream.normal(), stream.normal()};
  return noise;
}

// `p` moved by the smoothed noise, whose standard deviation is `size`.
Point displaced(Point p, const Noise& noise, double size) {
  std::array<double, kGrid> across;
  std::array<double, kGrid> down;
  for (int i = 0; i < kGrid; ++i) {
    const double at = .5 + kSpacing * (i - (kGrid - 1) / 2.);
    across[i] = std::exp(-.5 * squared((p.x - at) / kSpacing));
    down[i] = std::exp(-.5 * squared((p.y - at) / kSpacing));
  }
  for (int row = 0; row < kGrid; ++row) {
    for (int column = 0; column < kGrid; ++column) {
      const double weight = size * std::numbers::inv_sqrtpi * down[row] * across[column];
      p.x += weight * noise[row * kGrid + column].x;
      p.y += weight * noise[row * kGrid + column].y;
    }
  }
  return p;
}

bool same(Point a, Point b) { return a.x == b.x && a.y == b.y; }

// The points of a stroke as an unsteady hand meets them.
Stroke shaken(const Stroke& points, double tremor, core::Stream& stream) {
  Stroke met;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const bool corner = i > 0 && same(points[i], points[i - 1]);
    met.push_back(corner ? met.back()
                         : Point{points[i].x + tremor * stream.normal(), points[i].y + tremor * stream.normal()});
  }
  return met;
}

// The uniform Catmull-Rom curve from b to c, t from 0 to 1.
Point curve(Point a, Point b, Point c, Point d, double t) {
  auto along = [t](double p, double q, double r, double s) {
    return q + .5 * t * (r - p + t * (2 * p - 5 * q + 4 * r - s + t * (3 * (q - r) + s - p)));
  };
  return {along(a.x, b.x, c.x, d.x), along(a.y, b.y, c.y, d.y)};
}

// The pen's path through a stroke's points, as a fine polygon. At a corner the curve ends and begins anew.
Path path_through(const Stroke& points) {
  Path path{points[0]};
  for (std::size_t i = 0; i + 1 < points.size(); ++i) {
    const Point b = points[i];
    const Point c = points[i + 1];
    if (same(b, c)) continue;
    const Point a = i > 0 ? points[i - 1] : b;
    const Point d = i + 2 < points.size() ? points[i + 2] : c;
    for (int step = 1; step <= kStepsPerPoint; ++step) {
      path.push_back(curve(a, b, c, d, static_cast<double>(step) / kStepsPerPoint));
    }
  }
  return path;
}

// The strokes as this hand makes them, still in units of the digit's height.
std::vector<Path> write(const Glyph& glyph, const Hand& hand, core::Stream& stream) {
  const Noise noise = draw_noise(stream);
  const double cosine = std::cos(hand.rotation);
  const double sine = std::sin(hand.rotation);
  std::vector<Path> paths;
  for (const Stroke& stroke : glyph) {
    paths.push_back(path_through(shaken(stroke, hand.tremor, stream)));
    for (Point& point : paths.back()) {
      const Point p = displaced(point, noise, hand.elasticity);
      const double x = hand.proportion * (p.x + hand.slant * (.5 - p.y));
      point = {cosine * x - sine * p.y, sine * x + cosine * p.y};
    }
  }
  return paths;
}

// Fits the paths into the box and puts their centre of mass into the image's centre.
void place(std::vector<Path>& paths, const Hand& hand) {
  Point low{1e9, 1e9};
  Point high{-1e9, -1e9};
  Point moment;
  double length = 0;
  for (const auto& path : paths) {
    for (std::size_t i = 0; i < path.size(); ++i) {
      low = {std::min(low.x, path[i].x), std::min(low.y, path[i].y)};
      high = {std::max(high.x, path[i].x), std::max(high.y, path[i].y)};
      if (i == 0) continue;
      const double piece = std::hypot(path[i].x - path[i - 1].x, path[i].y - path[i - 1].y);
      moment.x += piece * (path[i].x + path[i - 1].x) / 2;
      moment.y += piece * (path[i].y + path[i - 1].y) / 2;
      length += piece;
    }
  }
  const double scale = (kBox * hand.fill - 2 * hand.radius) / std::max({high.x - low.x, high.y - low.y, .1});
  for (auto& path : paths) {
    for (Point& p : path) {
      p = {scale * (p.x - moment.x / length) + kSide / 2. + hand.offset.x,
           scale * (p.y - moment.y / length) + kSide / 2. + hand.offset.y};
    }
  }
}

// Lays the line from a to b, of the given half-width, onto the canvas; where lines overlap the stronger ink counts.
void draw_line(Point a, Point b, double radius, double ink, Canvas& canvas) {
  const double reach = radius + kEdge / 2;
  auto pixel = [](double coordinate) { return std::clamp(static_cast<int>(std::floor(coordinate)), 0, kSide - 1); };
  const double dx = b.x - a.x;
  const double dy = b.y - a.y;
  const double inverse = 1 / std::max(dx * dx + dy * dy, 1e-12);
  for (int row = pixel(std::min(a.y, b.y) - reach); row <= pixel(std::max(a.y, b.y) + reach); ++row) {
    for (int column = pixel(std::min(a.x, b.x) - reach); column <= pixel(std::max(a.x, b.x) + reach); ++column) {
      const double x = column + .5 - a.x;
      const double y = row + .5 - a.y;
      const double t = std::clamp((x * dx + y * dy) * inverse, 0., 1.);
      const double distance = std::sqrt(squared(x - t * dx) + squared(y - t * dy));
      const double cover = std::clamp((reach - distance) / kEdge, 0., 1.);
      double& value = canvas[row * kSide + column];
      value = std::max(value, ink * cover * cover * (3 - 2 * cover));
    }
  }
}

Canvas draw_digit(int digit, core::Stream stream) {
  const auto& ways = glyphs(digit);
  const Glyph& glyph = ways[stream.below(ways.size())];
  const Hand hand = draw_hand(stream);
  auto paths = write(glyph, hand, stream);
  place(paths, hand);
  Canvas canvas{};
  double travelled = 0;  // in the digit's heights
  for (const auto& path : paths) {
    for (std::size_t i = 1; i < path.size(); ++i) {
      travelled += std::hypot(path[i].x - path[i - 1].x, path[i].y - path[i - 1].y) / kBox;
      const double pressure = std::sin(kTau * travelled / hand.pressure_period + hand.pressure_phase);
      draw_line(path[i - 1], path[i], hand.radius * (1 + hand.pressure_swing * pressure),
                1 - hand.pressure_swing * (1 - pressure) / 2, canvas);
    }
  }
  return canvas;
}

int label_of(std::uint64_t seed, const std::string& split, std::int64_t i) {
  const auto order =
      core::permutation(core::Stream(seed, "digit labels, " + split, static_cast<std::uint64_t>(i / 10)), 10);
  return static_cast<int>(order[i % 10]);
}

}  // namespace

Dataset generated_digits(Split split, std::int64_t count, std::uint64_t seed) {
  if (count < 1) throw Error(ErrorKind::kUsage, "digits: number of images, got {}, expected 1 or more", count);
  Dataset dataset{.name = "digits",
                  .source = fmt::format("generated, seed {}", seed),
                  .images = torch::empty({count, 1, kSide, kSide}, torch::kUInt8),
                  .labels = torch::empty({count}, torch::kInt64),
                  .classes = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}};
  auto* images = dataset.images.data_ptr<std::uint8_t>();
  auto* labels = dataset.labels.data_ptr<std::int64_t>();
  const std::string name = to_string(split);
  core::parallel_for(count, core::available_cores(), [&](std::int64_t i) {
    labels[i] = label_of(seed, name, i);
    const core::Stream stream(seed, "digit, " + name, static_cast<std::uint64_t>(i));
    const Canvas canvas = draw_digit(static_cast<int>(labels[i]), stream);
    std::transform(canvas.begin(), canvas.end(), images + i * kSide * kSide,
                   [](double ink) { return static_cast<std::uint8_t>(std::lround(255 * ink)); });
  });
  return dataset;
}

}  // namespace pellucid::data
