#include "pellucid/privacy/loss_distribution.h"

#include "pellucid/core/error.h"
#include "pellucid/privacy/renyi.h"
#include "pellucid/privacy/solve.h"
#include "pellucid/stats/distribution.h"

#include <kissfft/kissfft.hh>

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <optional>

namespace pellucid::privacy {
namespace {

using core::Error;
using core::ErrorKind;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kUlp = std::numeric_limits<double>::epsilon();
constexpr std::int64_t kMostPoints = 1 << 22;
constexpr double kSmall = 0.1;      // an epsilon below which accuracy is absolute
constexpr double kNear = 1e-12;     // how exactly epsilon is solved for
constexpr double kOutside = 1e-15;  // what may lie outside the window of a tilted distribution, on each side

// A probability, between two numbers.
struct Range {
  double low, high;
};

// P(Z > z), with the rounding of z, which is magnified in the tail.
Range normal_tail(double z) {
  if (std::isinf(z)) return z > 0 ? Range{0, 0} : Range{1, 1};
  const double p = stats::normal_cdf(-z), error = 16 * kUlp * (1 + std::pow(std::max(0.0, z), 2));
  return {p * (1 - error), std::min(1.0, p * (1 + error))};
}

Range mix(double q, Range a, Range b) { return {(1 - q) * a.low + q * b.low, (1 - q) * a.high + q * b.high}; }

// One step as a pair (P, Q) of distributions on the line, laid so that the loss log P/Q rises with x.
struct Pair {
  double q, s;
  bool removes;  // P is the mixture and Q the normal; else the other way round, mirrored

  // log(1 - q + q e^l).
  [[nodiscard]] double mixed(double l) const {
    if (q == 1) return l;
    if (l > 700) return l + std::log(q) + std::log1p((1 - q) / q * std::exp(-l));
    const double u = q * std::expm1(l);
    return u > -0.5 ? std::log1p(u) : std::log((1 - q) + q * std::exp(l));
  }
  // The l at which that is v; -infinity if it is more everywhere.
  [[nodiscard]] double unmixed(double v) const {
    if (q == 1) return v;
    if (v > 50) return v - std::log(q) + std::log1p(-(1 - q) * std::exp(-v));
    const double e = std::expm1(v) / q;
    return e > -0.5 ? std::log1p(e) : std::log(std::max(0.0, std::exp(v) - (1 - q)) / q);
  }
  [[nodiscard]] double loss(double x) const {
    return removes ? mixed((2 * x - 1) / (2 * s * s)) : -mixed((-2 * x - 1) / (2 * s * s));
  }
  // The x at which the loss is y; infinite if it is nowhere.
  [[nodiscard]] double point(double y) const {
    return removes ? s * s * unmixed(y) + 0.5 : -(s * s * unmixed(-y) + 0.5);
  }
  // The probabilities of more than x.
  [[nodiscard]] Range p(double x) const {
    return removes ? mix(q, normal_tail(x / s), normal_tail((x - 1) / s)) : normal_tail(x / s);
  }
  [[nodiscard]] Range q_of(double x) const {
    return removes ? normal_tail(x / s) : mix(q, normal_tail(x / s), normal_tail((x + 1) / s));
  }
};

// What lies within `z` standard deviations: of P, less than e^(-z^2 / 2) is lower or higher.
struct Span {
  double low, high;
};
Span span_of(const Pair& pair, double z) { return {-pair.s * z, pair.s * z + (pair.removes ? 1 : 0)}; }

// A distribution of losses on the grid: mass[i] at (first + i) * interval.
struct Losses {
  std::int64_t first = 0;
  std::vector<double> mass;
  double infinite = 0;  // the mass at infinity
};

// The losses of which `tails[i]` is the probability of (first + i) * interval or more.
Losses from_tails(std::int64_t first, const std::vector<double>& tails, double infinite) {
  Losses losses{first, std::vector<double>(tails.size()), infinite};
  double above = infinite;
  for (std::size_t i = tails.size(); i-- > 0;) {
    const double tail = std::max(above, tails[i]);
    losses.mass[i] = tail - above;
    above = tail;
  }
  return losses;
}

// The losses moved to the grid so that they dominate: every tail is at least the true one.
Losses from_above(const Pair& pair, double h, double z) {
  const auto [low, high] = span_of(pair, z);
  const auto bottom = static_cast<std::int64_t>(std::floor(pair.loss(low) / h));
  const auto top = static_cast<std::int64_t>(std::ceil(pair.loss(high) / h));
  std::vector<double> tails = {1};
  double x = pair.point(static_cast<double>(bottom) * h);
  Range p = pair.p(x), q = pair.q_of(x);
  for (std::int64_t i = bottom + 1; i <= top; ++i) {
    x = pair.point(static_cast<double>(i) * h);
    const Range next_p = pair.p(x), next_q = pair.q_of(x);
    // Of the bucket before i, the part that goes up to i.
    const double mass = std::max(0.0, p.high - next_p.low), other = std::max(0.0, q.low - next_q.high);
    const double scale = std::exp(static_cast<double>(i - 1) * h);
    const double moved = other > 0 && std::isfinite(scale) ? (mass - other * scale) / -std::expm1(-h) : mass;
    tails.push_back(next_p.high + std::clamp(moved, 0.0, mass));
    p = next_p, q = next_q;
  }
  return from_tails(bottom, tails, p.high);
}

// The losses of bins of outcomes, each the loss of a point of the grid or a little more: every tail is at most the true
// one of the bins.
Losses from_below(const Pair& pair, double h, double z) {
  const auto [low, high] = span_of(pair, z);
  const auto index = [&](double x) { return static_cast<std::int64_t>(std::floor(pair.loss(x) / h)); };
  double x = low;
  Range p = pair.p(x), q = pair.q_of(x);
  const std::int64_t first = index(x);
  std::vector<double> tails = {p.low};
  for (std::int64_t i = first + 1;;) {
    tails.resize(static_cast<std::size_t>(i - first + 1), p.low);
    // P - e^(i h) Q of the bin from x to `end`, negative until the bin's loss is that of the point.
    const double scale = std::exp(static_cast<double>(i) * h);
    const auto lacks = [&](double end) {
      const Range a = pair.p(end), b = pair.q_of(end);
      return -(p.low - a.high - scale * (q.high - b.low));
    };
    double end = std::max(x, pair.point(static_cast<double>(i) * h));
    if (!(end < high) || !std::isfinite(scale) || lacks(high) > 0) break;
    for (std::int64_t k = 1; end < high && lacks(end) > 0; k *= 2)
      end = std::min(high, std::max(x, pair.point(static_cast<double>(i + k) * h)));
    end = first_below(lacks, std::max(x, pair.point(static_cast<double>(i) * h)), end, 1e-13);
    x = end;
    p = pair.p(x), q = pair.q_of(x);
    i = std::max(i, index(x)) + 1;
  }
  tails.back() = 0;  // the last bin was not finished: it belongs to the one before
  return from_tails(first, tails, 0);
}

// A power-of-two Fourier transform.
using Complex = std::complex<double>;
std::vector<Complex> transform(const std::vector<Complex>& in, bool inverse) {
  std::vector<Complex> out(in.size());
  kissfft<double>(in.size(), inverse).transform(in.data(), out.data());
  return out;
}
// Of the 2-norm, the most that it may be off: log2(n) stages, twiddle factors within 4e-15 (kissfft computes each from
// an angle that is a product), Higham's gamma_4.
double transform_error(std::int64_t points) { return 5e-15 * std::log2(static_cast<double>(points)); }

double norm(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}

// log of the sum of mass[i] e^(theta loss): the losses' cumulant function.
double log_moment(const Losses& losses, double h, double theta) {
  double highest = -kInf, sum = 0;
  const auto term = [&](std::size_t i) {
    return std::log(losses.mass[i]) + theta * h * static_cast<double>(losses.first + static_cast<std::int64_t>(i));
  };
  for (std::size_t i = 0; i < losses.mass.size(); ++i) highest = std::max(highest, term(i));
  for (std::size_t i = 0; i < losses.mass.size(); ++i) sum += std::exp(term(i) - highest);
  return highest + std::log(sum);
}

// The sum of all steps' losses, tilted, on a window of the grid, ready to give delta at any epsilon.
struct Sum {
  double h = 0, theta = 0;
  std::int64_t first = 0;             // the window's first point
  double log_scale = 0;               // log E[e^(theta sum)]
  std::vector<double> above = {};     // above[k]: E of e^(-(theta + 1) (loss - l_k)) over losses from l_k on, tilted
  std::vector<double> curve = {};     // curve[k]: delta at l_k, but for the factor e^(log_scale - theta l_k)
  double infinite = 0;                // P(a loss is infinite), at most
  double relative = 0, absolute = 0;  // the errors of `delta`: of its own size, and of the factor
  double shift = 0;                   // what the grid's losses may be off, summed up

  [[nodiscard]] double factor(double epsilon) const { return std::exp(log_scale - theta * epsilon); }
  [[nodiscard]] double value(double epsilon) const {
    const auto at = static_cast<std::int64_t>(std::ceil(epsilon / h)) - first;
    if (at >= static_cast<std::int64_t>(curve.size())) return 0;
    const auto k = static_cast<std::size_t>(std::max<std::int64_t>(0, at));
    const double l = h * static_cast<double>(first + static_cast<std::int64_t>(k));
    return factor(l) * (curve[k] - std::expm1(std::min(0.0, epsilon - l)) * above[k]);
  }
  [[nodiscard]] double upper(double epsilon) const {
    epsilon -= shift;
    return std::min(1.0, value(epsilon) * (1 + relative) + factor(epsilon) * absolute + infinite);
  }
  [[nodiscard]] double lower(double epsilon) const {
    epsilon += shift;
    return std::max(0.0, value(epsilon) * (1 - relative) - factor(epsilon) * absolute);
  }
};

struct Part {
  Losses losses;
  double steps;
};

// @returns none if that takes more points than allowed.
std::optional<Sum> sum_up(const std::vector<Part>& parts, double h, double theta) {
  Sum sum{.h = h, .theta = theta};
  std::vector<Losses> tilted;
  double variance = 0, largest = 0;
  for (const auto& [losses, steps] : parts) {
    const double log_m = log_moment(losses, h, theta);
    Losses t{losses.first, std::vector<double>(losses.mass.size()), 0};
    double rounding = 0, m1 = 0, m2 = 0;
    for (std::size_t i = 0; i < t.mass.size(); ++i) {
      const double l = h * static_cast<double>(t.first + static_cast<std::int64_t>(i));
      const double log_mass = std::log(losses.mass[i]);
      t.mass[i] = std::exp(log_mass + theta * l - log_m);
      if (t.mass[i] < 1e-25) continue;
      rounding = std::max(rounding, kUlp * (std::abs(log_mass) + std::abs(theta * l) + std::abs(log_m) + 8));
      largest = std::max(largest, std::abs(l));
      m1 += t.mass[i] * l;
      m2 += t.mass[i] * l * l;
    }
    sum.log_scale += steps * log_m;
    sum.infinite += steps * losses.infinite;
    sum.relative += steps * rounding;
    variance += steps * std::max(0.0, m2 - m1 * m1);
    tilted.push_back(std::move(t));
  }

  // Chernoff: P(sum >= b) <= E[e^(eta sum)] e^(-eta b), for a few eta: those of rare large losses and of common ones.
  const double deviation = std::max(std::sqrt(variance), h);
  double low = -kInf, high = kInf;
  for (double eta = 0.5 / std::max(largest, deviation); eta < 20 / deviation; eta *= 3) {
    double up = -std::log(kOutside), down = up;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      up += parts[i].steps * log_moment(tilted[i], h, eta);
      down += parts[i].steps * log_moment(tilted[i], h, -eta);
    }
    high = std::min(high, up / eta);
    low = std::max(low, -down / eta);
  }
  if (!(high - low < h * static_cast<double>(kMostPoints - 4))) return std::nullopt;
  sum.first = static_cast<std::int64_t>(std::floor(low / h)) - 1;
  std::int64_t points = 4;
  while (static_cast<double>(points) < (high - low) / h + 4) points *= 2;
  const auto n = static_cast<std::size_t>(points);
  const auto wrapped = [&](std::int64_t i) { return static_cast<std::size_t>(((i % points) + points) % points); };

  const double fft_error = transform_error(points);
  double off = 0, all_steps = 0;  // of the tilted sum, in the 2-norm
  std::vector<Complex> spectrum(n, 1);
  for (std::size_t j = 0; j < parts.size(); ++j) {
    std::vector<Complex> one(n);
    for (std::size_t i = 0; i < tilted[j].mass.size(); ++i)
      one[wrapped(tilted[j].first + static_cast<std::int64_t>(i))] += tilted[j].mass[i];
    double squares = 0;
    for (const auto& x : one) squares += std::norm(x);
    off += parts[j].steps * fft_error * std::sqrt(squares);
    all_steps += parts[j].steps;
    const auto f = transform(one, false);
    for (std::size_t k = 0; k < n; ++k) {
      const double size = std::min(1.0, std::abs(f[k]));
      spectrum[k] *= size == 0 ? Complex(0)
                               : std::polar(std::pow(size, parts[j].steps),
                                            std::remainder(parts[j].steps * std::arg(f[k]), 2 * std::numbers::pi));
    }
  }
  const auto back = transform(spectrum, true);
  std::vector<double> density(n);
  for (std::size_t k = 0; k < n; ++k)
    density[k] =
        std::max(0.0, back[wrapped(sum.first + static_cast<std::int64_t>(k))].real() / static_cast<double>(points));
  off += norm(density) * (fft_error + all_steps * 8 * kUlp);

  // The weights e^(-theta d) (1 - e^-d) <= e^(-theta d) of the points at distance d.
  const double weights = std::sqrt(std::min(static_cast<double>(points), -1 / std::expm1(-2 * theta * h)));
  sum.absolute = 2 * off * weights + 2 * kOutside;
  sum.relative = 2 * (sum.relative + kUlp * (4 * static_cast<double>(points) + std::abs(sum.log_scale)));
  sum.above.assign(n + 1, 0);
  sum.curve.assign(n + 1, 0);
  const double decay = std::exp(-theta * h), step = std::exp(-h);
  for (std::size_t k = n; k-- > 0;) {
    sum.curve[k] = decay * (sum.curve[k + 1] - std::expm1(-h) * sum.above[k + 1]);
    sum.above[k] = density[k] + decay * step * sum.above[k + 1];
  }
  return sum;
}

// The directions that count, from both sides.
struct Curves {
  std::vector<Sum> above, below;
  std::int64_t points = 0;

  [[nodiscard]] double upper(double epsilon) const {
    double delta = 0;
    for (const auto& sum : above) delta = std::max(delta, sum.upper(epsilon));
    return delta;
  }
  [[nodiscard]] double lower(double epsilon) const {
    double delta = 0;
    for (const auto& sum : below) delta = std::max(delta, sum.lower(epsilon));
    return delta;
  }
  // As a part of delta, the larger of those of the direction that counts.
  [[nodiscard]] double rounding(double epsilon) const {
    double most = 0, part = 0;
    for (const auto& sum : above) {
      const double value = sum.value(epsilon);
      if (!(value > most)) continue;
      most = value;
      part = sum.relative + sum.factor(epsilon) * sum.absolute / value;
    }
    return part;
  }
};

std::optional<Curves> curves(const Phases& phases, double h, double theta, double z, Direction direction) {
  Curves result;
  for (const bool removes : {true, false}) {
    if (direction == (removes ? Direction::kAdd : Direction::kRemove)) continue;
    std::vector<Part> above, below;
    double shift = 0;
    for (const auto& phase : phases) {
      const Pair pair{phase.rate, phase.noise, removes};
      const auto [low, high] = span_of(pair, z);
      if (!(pair.loss(high) - pair.loss(low) < h * static_cast<double>(kMostPoints))) return std::nullopt;
      const auto steps = static_cast<double>(phase.steps);
      above.push_back({from_above(pair, h, z), steps});
      below.push_back({from_below(pair, h, z), steps});
      const double s2 = phase.noise * phase.noise;
      shift += steps * 16 * kUlp * (1 + 1 / s2 + std::max(std::abs(low), std::abs(high)) / s2);
    }
    for (auto* parts : {&above, &below}) {
      auto sum = sum_up(*parts, h, theta);
      if (!sum) return std::nullopt;
      sum->shift = shift;
      result.points = std::max(result.points, static_cast<std::int64_t>(sum->curve.size()) - 1);
      (parts == &above ? result.above : result.below).push_back(std::move(*sum));
    }
  }
  return result;
}

// Makes the grid finer until the bounds that `query` reads off the curves are near enough: within `accuracy` of the
// upper one, or of `small` if that is larger. Given the upper bound so far, `tilt` is theta, and `steepness` is by what
// part delta changes where the bound changes by 1.
template <typename Tilt, typename Steepness, typename Query>
Certified narrow_down(const Phases& phases, double h, double scale, double accuracy, double small, double start,
                      Direction direction, Tilt tilt, Steepness steepness, Query query) {
  const double outside = std::clamp(scale * 1e-12 / total_steps(phases), 1e-290, 1e-20);
  const double z = std::sqrt(-2 * std::log(outside));
  Certified result{.lower = 0, .upper = start};
  for (bool may_coarsen = true;;) {
    const auto found = curves(phases, h, tilt(result.upper), z, direction);
    if (!found) {
      if (!may_coarsen) return result;
      h *= 2;
      continue;
    }
    may_coarsen = false;
    const Certified now = query(*found);
    result = {std::max(result.lower, now.lower), std::min(result.upper, now.upper), h, found->points, now.rounding};
    const double width = result.upper - result.lower, wanted = accuracy * std::max(small, result.upper);
    const bool by_rounding = now.rounding > steepness(result.upper) * wanted;  // which a finer grid does not lessen
    if (width <= wanted || by_rounding || found->points * 2 > kMostPoints) return result;
    h *= std::clamp(0.9 * std::sqrt(wanted / width), 0.2, 0.7);  // the width is of second order
  }
}

Phases sampled(const Phases& phases) {
  Phases left;
  for (const auto& phase : phases) {
    if (phase.rate > 0) left.push_back(phase);
  }
  return left;
}

void check_accuracy(double accuracy) {
  if (!(accuracy >= 1e-6 && accuracy <= 1))
    throw Error(ErrorKind::kUsage, "accuracy: got {}, expected a number from 1e-6 to 1", accuracy);
}

}  // namespace

Certified tight_epsilon(const Phases& phases, double delta, double accuracy) {
  check_delta(delta);
  check_accuracy(accuracy);
  const RenyiBound renyi = renyi_epsilon(phases, delta);
  const Phases rest = sampled(phases);
  if (renyi.value == 0 || rest.empty()) return {};
  const double theta = renyi.order - 1;
  // Each step adds a variance of h^2 / 6 from above and takes h^2 / 12 from below.
  const double h = std::sqrt(8 * accuracy * std::max(kSmall, renyi.value) / (total_steps(rest) * (theta + 1)));
  const auto tilt = [&](double upper) { return renyi_delta(rest, std::min(upper, renyi.value)).order - 1; };
  return narrow_down(rest, h, delta, accuracy, kSmall, kInf, Direction::kWorse, tilt, tilt, [&](const Curves& found) {
    // How far delta is above what was asked for, from either side.
    const auto over = [=](double value) { return std::log(std::max(value, 1e-300)) - std::log(delta); };
    const auto upper = [&](double epsilon) { return over(found.upper(epsilon)); };
    const auto lower = [&](double epsilon) { return over(found.lower(epsilon)); };
    Certified bounds{.lower = 0, .upper = renyi.value};
    while (upper(bounds.upper) > 0) {  // on a grid too coarse
      if (bounds.upper > 100 * renyi.value) return Certified{.lower = 0, .upper = kInf};
      bounds.upper *= 2;
    }
    bounds.upper = first_below(upper, 0, bounds.upper, kNear);
    bounds.rounding = found.rounding(bounds.upper);
    // Any epsilon with a delta above it is too small. Far from theta's the bound says nothing, so look near by.
    double near = bounds.upper;
    for (double gap = 1e-4 * near; near > 0 && lower(near) <= 0; gap *= 2) near -= gap;
    if (near > 0) bounds.lower = first_below(lower, near, bounds.upper, kNear) - 2 * kNear * std::max(1.0, near);
    return bounds;
  });
}

Certified tight_delta(const Phases& phases, double epsilon, double accuracy, Direction direction, double small) {
  check_accuracy(accuracy);
  const RenyiBound renyi = renyi_delta(phases, epsilon);
  const Phases rest = sampled(phases);
  if (rest.empty()) return {};
  if (renyi.value <= accuracy * small) return {.lower = 0, .upper = renyi.value};
  const double theta = renyi.order - 1, relative = accuracy * std::max(1.0, small / renyi.value);
  const double h = std::sqrt(8 * relative / (total_steps(rest) * theta * (theta + 1)));
  const auto tilt = [&](double) { return theta; };
  const auto steepness = [](double upper) { return 1 / upper; };
  return narrow_down(rest, h, renyi.value, accuracy, small, 1, direction, tilt, steepness, [&](const Curves& found) {
    Certified bounds;
    bounds.upper = found.upper(epsilon);
    bounds.lower = found.lower(epsilon);
    bounds.rounding = found.rounding(epsilon);
    return bounds;
  });
}

Guarantee tight_guarantee(const Phases& phases, double delta, double accuracy) {
  const Certified epsilon = tight_epsilon(phases, delta, accuracy);
  return {.epsilon = epsilon.upper,
          .lowest = epsilon.lower,
          .delta = delta,
          .adjacency = Adjacency::kAddOrRemove,
          .phases = phases,
          .accountant = "privacy loss distributions, bounded from both sides",
          .warning = epsilon.upper - epsilon.lower > accuracy * std::max(kSmall, epsilon.upper)
                         ? "the bounds are further apart than was asked for"
                         : ""};
}

}  // namespace pellucid::privacy
