#include "pellucid/report/svg_chart.h"

#include "pellucid/report/format.h"
#include "pellucid/report/svg_scale.h"

#include <fmt/format.h>

#include <cmath>

namespace pellucid::report {
namespace {

// The drawing's size in its own units (about CSS pixels) and the plot's edges in it.
constexpr double kWidth = 460, kHeight = 300;
constexpr double kLeft = 58, kRight = 438, kTop = 12, kBottom = 252;

bool drawable(const Scale& scale, const Value& value) {
  return value && std::isfinite(*value) && (!scale.logarithmic || *value > 0);
}

std::string y_axis(const Scale& y, const std::string& label) {
  std::string svg;
  for (const Tick& tick : ticks(y)) {
    svg += fmt::format(R"(<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>)", kLeft, kRight, y(tick.value),
                       y(tick.value));
    svg += fmt::format(R"(<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>)", kLeft - 7,
                       y(tick.value) + 4, tick.label);
  }
  const double middle = (kTop + kBottom) / 2;
  return svg + fmt::format(
                   R"svg(
<text class="axis-label" text-anchor="middle" transform="translate(13 {}) rotate(-90)">{}</text>)svg",
                   middle, escape(label));
}

// What runs along x is counted (epochs, iterations): ticks between whole numbers are left out.
std::string x_axis(const Scale& x, const std::string& label) {
  std::string svg =
      fmt::format(R"(<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>)", kLeft, kRight, kBottom, kBottom);
  for (const Tick& tick : ticks(x)) {
    if (std::abs(tick.value - std::round(tick.value)) > 1e-6) continue;
    svg += fmt::format(R"(<line class="axis" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>)", x(tick.value), x(tick.value),
                       kBottom, kBottom + 4);
    svg += fmt::format(R"(<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", x(tick.value),
                       kBottom + 18, count(tick.value));
  }
  return svg + fmt::format(R"(<text class="axis-label" x="{}" y="{}" text-anchor="middle">{}</text>)",
                           (kLeft + kRight) / 2, kHeight - 8, escape(label));
}

std::string figure(const ChartFrame& frame, const std::string& drawing) {
  std::string legend;
  for (const LegendEntry& entry : frame.legend) {
    legend += fmt::format(
        R"(<li class="{}"><svg viewBox="0 0 24 8" aria-hidden="true"><path class="line" d="M1 4H23"/></svg>{}</li>)",
        entry.style, escape(entry.label));
  }
  return fmt::format(R"(<figure class="chart"><h4>{title}</h4><ul class="legend">{legend}</ul>
<svg viewBox="0 0 {width} {height}" role="img" aria-labelledby="{id}-title {id}-desc">
<title id="{id}-title">{title}</title><desc id="{id}-desc">{description}</desc>
{drawing}</svg>
<figcaption>{description}</figcaption></figure>
)",
                     fmt::arg("title", escape(frame.title)), fmt::arg("legend", legend), fmt::arg("width", kWidth),
                     fmt::arg("height", kHeight), fmt::arg("id", frame.id),
                     fmt::arg("description", escape(frame.description)), fmt::arg("drawing", drawing));
}

std::string nothing_to_draw() {
  return fmt::format(R"(<text class="axis-label" x="{}" y="{}" text-anchor="middle">no values</text>)", kWidth / 2,
                     kHeight / 2);
}

// A dot for a single point, else a path; a gap starts a new stroke. Empty if nothing of the line can be shown.
std::string line_mark(const Line& line, const Scale& x, const Scale& y) {
  std::string path;
  std::string dots;
  std::size_t run = 0;  // points since the last gap
  const std::size_t length = std::min(line.x.size(), line.y.size());
  for (std::size_t i = 0; i < length; ++i) {
    if (!drawable(x, line.x[i]) || !drawable(y, line.y[i])) {
      run = 0;
      continue;
    }
    const double px = x(*line.x[i]);
    const double py = y(*line.y[i]);
    path += fmt::format("{}{:.1f} {:.1f}", run == 0 ? "M" : "L", px, py);
    const bool last = i + 1 == length || !drawable(x, line.x[i + 1]) || !drawable(y, line.y[i + 1]);
    if (run == 0 && last) dots += fmt::format(R"(<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3"/>)", px, py);
    ++run;
  }
  if (path.empty()) return "";
  return fmt::format(R"(<g class="{}"><title>{}</title><path class="line" d="{}"/>{}</g>
)",
                     line.style, escape(line.label), path, dots);
}

// The second and later groups have a shape of their own, so that colour is not all that tells them apart.
std::string dot_mark(std::size_t group, double x, double y, double r) {
  if (group % 2 == 0) return fmt::format(R"(<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>)", x, y, r);
  return fmt::format(R"(<path class="dot" d="M{:.1f} {:.1f}l{r:.1f} {r:.1f}l-{r:.1f} {r:.1f}l-{r:.1f} -{r:.1f}z"/>)", x,
                     y - r * 1.2, fmt::arg("r", r * 1.2));
}

std::string mean_mark(const DotChart& chart, std::size_t group, double x, const Scale& y) {
  const Interval& mean = chart.groups[group].mean;
  if (!mean.value) return "";
  std::string svg = fmt::format(R"(<g class="{} mean"><title>{}: mean {} {} {}</title>)", chart.groups[group].style,
                                escape(chart.groups[group].label), metric(mean.value, chart.unit), escape(chart.unit),
                                bounds(mean, [&](Value end) { return metric(end, chart.unit); }));
  if (mean.low && mean.high) {
    svg += fmt::format(R"(<line class="line" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>)", x, y(*mean.low),
                       y(*mean.high));
  }
  return svg + dot_mark(group, x, y(*mean.value), 5.5) + "</g>\n";
}

}  // namespace

std::string line_chart(const LineChart& chart) {
  std::vector<Value> xs, ys;
  for (const Line& line : chart.lines) {
    xs.insert(xs.end(), line.x.begin(), line.x.end());
    ys.insert(ys.end(), line.y.begin(), line.y.end());
  }
  const Scale x = fit_scale(xs, false, kLeft, kRight);
  const Scale y = fit_scale(ys, chart.logarithmic, kBottom, kTop);
  std::string marks;
  for (const Line& line : chart.lines) marks += line_mark(line, x, y);
  if (marks.empty()) return figure(chart.frame, nothing_to_draw());
  return figure(chart.frame, y_axis(y, chart.frame.y_label) + x_axis(x, chart.frame.x_label) + "\n" + marks);
}

std::string dot_chart(const DotChart& chart) {
  std::vector<Value> values;
  for (const auto& group : chart.groups)
    values.insert(values.end(), {group.mean.value, group.mean.low, group.mean.high});
  for (const auto& subject : chart.subjects) values.insert(values.end(), subject.values.begin(), subject.values.end());
  const Scale y = fit_scale(values, false, kBottom, kTop);
  const double pitch = (kRight - kLeft) / static_cast<double>(chart.groups.size());
  auto column = [&](std::size_t group) { return kLeft + pitch * (static_cast<double>(group) + 0.5); };

  std::string joins, dots;
  for (const auto& subject : chart.subjects) {
    Line join{.label = subject.label, .style = "join", .x = {}, .y = subject.values};
    for (std::size_t g = 0; g < subject.values.size(); ++g) {
      join.x.push_back(column(g));
      if (!drawable(y, subject.values[g])) continue;
      dots += fmt::format(R"(<g class="{}"><title>{}, {}: {} {}</title>{}</g>
)",
                          chart.groups[g].style, escape(subject.label), escape(chart.groups[g].label),
                          metric(subject.values[g], chart.unit), escape(chart.unit),
                          dot_mark(g, column(g), y(*subject.values[g]), 3.6));
    }
    if (subject.values.size() > 1) joins += line_mark(join, {.low = 0, .high = 1, .from = 0, .to = 1}, y);
  }
  if (dots.empty()) return figure(chart.frame, nothing_to_draw());

  std::string names;
  for (std::size_t g = 0; g < chart.groups.size(); ++g) {
    names += fmt::format(R"(<text class="axis-label" x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", column(g),
                         kBottom + 22, escape(chart.groups[g].label));
    // The means stand outside the columns, where no line joins the dots.
    const double away = g + 1 == chart.groups.size() && g > 0 ? 34 : -34;
    dots += mean_mark(chart, g, column(g) + away, y);
  }
  const std::string axis =
      fmt::format(R"(<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>)", kLeft, kRight, kBottom, kBottom);
  return figure(chart.frame, y_axis(y, chart.frame.y_label) + axis + names + "\n" + joins + dots);
}

std::string interval_chart(const Interval& estimate, const std::string& title) {
  const Scale x = fit_scale({0.0, estimate.low, estimate.value, estimate.high}, false, 28, 372);
  std::string svg = fmt::format(
      R"(<svg class="interval" viewBox="0 0 400 52" role="img" aria-label="{}">
<line class="axis" x1="28" x2="372" y1="32" y2="32"/>)",
      escape(title));
  for (const Tick& tick : ticks(x)) {
    svg += fmt::format(R"(<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="36"/>)",
                       tick.value == 0 ? "zero" : "axis", x(tick.value), x(tick.value), tick.value == 0 ? 2 : 32);
    svg += fmt::format(R"(<text class="tick" x="{:.1f}" y="49" text-anchor="middle">{}</text>)", x(tick.value),
                       tick.label);
  }
  return svg +
         fmt::format(
             R"(<path class="bar" d="M{:.1f} 16H{:.1f}"/><circle class="point" cx="{:.1f}" cy="16" r="6"/></svg>)",
             x(*estimate.low), x(*estimate.high), x(*estimate.value));
}

}  // namespace pellucid::report
