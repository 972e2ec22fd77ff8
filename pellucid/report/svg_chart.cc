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
constexpr double kRightInner = 402;  // the plot's right edge where an axis stands there
constexpr double kRowLeft = 14, kRowHeight = 46;

// Every mark carries its own fill and stroke, in the colours of report.css on a light page: where the style sheet is
// blocked the drawing is plain but right. Where it is not, it wins over these attributes.
constexpr const char* kSeriesColours[] = {"#0072b2", "#d55e00", "#00805f", "#b0588a", "#6a5acd", "#7a6a00"};
constexpr const char *kText = "#1a1e22", *kMuted = "#5a646d", *kLine = "#dfe2e5", *kSurface = "#ffffff";

bool has(const std::string& style, std::string_view word) { return style.find(word) != std::string::npos; }

// The colour of "series-2 dashed"; of what belongs to no series, muted.
const char* colour_of(const std::string& style) {
  const auto at = style.find("series-");
  return at == std::string::npos
             ? kMuted
             : kSeriesColours[static_cast<std::size_t>(style[at + 7] - '0') % std::size(kSeriesColours)];
}

std::string stroke(const char* colour, double width) {
  return fmt::format(R"( fill="none" stroke="{}" stroke-width="{}")", colour, width);
}
std::string fill(const char* colour) { return fmt::format(R"( fill="{}" stroke="none")", colour); }

// The ink of each class of mark, in a line's style.
std::string line_ink(const std::string& style) {
  return stroke(colour_of(style), has(style, "mean") ? 2.5 : 2) +
         (has(style, "dashed")   ? R"( stroke-dasharray="5 4")"
          : has(style, "dotted") ? R"( stroke-dasharray="1 5" stroke-linecap="round")"
                                 : "");
}
std::string band_ink(const std::string& style) { return fill(colour_of(style)) + R"( opacity="0.13")"; }
std::string dots_ink(const std::string& style) {
  const bool mean = has(style, "mean");
  return stroke(colour_of(style), mean ? 12 : 5) +
         fmt::format(R"( stroke-linecap="round" stroke-opacity="{}")", mean ? 1 : 0.5);
}
std::string dot_ink(const std::string& style) {
  return fmt::format(R"( fill="{}" stroke="{}" stroke-width="1")", colour_of(style), kSurface);
}
std::string text_ink(const char* colour, double size) {
  return fmt::format(R"( fill="{}" font-family="sans-serif" font-size="{}")", colour, size);
}
const std::string kTick = R"(class="tick")" + text_ink(kMuted, 11.5);
const std::string kAxisLabel = R"(class="axis-label")" + text_ink(kText, 12);
const std::string kGrid = R"(class="grid")" + stroke(kLine, 1);
const std::string kAxis = R"(class="axis")" + stroke(kMuted, 1);

bool drawable(const Scale& scale, const Value& value) {
  return value && std::isfinite(*value) && (!scale.logarithmic || *value > 0);
}

// From a point of a line to its place in the drawing.
struct Axes {
  Scale x, y, right = {};
  bool rows = false;

  [[nodiscard]] const Scale& value_scale(const Line& line) const { return line.right ? right : y; }
  [[nodiscard]] bool drawable(const Line& line, std::size_t i) const {
    return report::drawable(x, line.x[i]) && report::drawable(value_scale(line), line.y[i]);
  }
  [[nodiscard]] std::string place(const Line& line, std::size_t i, const Value& value) const {
    const double along = x(*line.x[i]);
    const double up = value_scale(line)(*value);
    return rows ? fmt::format("{:.1f} {:.1f}", up, along) : fmt::format("{:.1f} {:.1f}", along, up);
  }
};

// The left axis with lines across to `edge`, or the right one.
std::string y_axis(const Scale& y, const std::string& label, double edge, bool right = false) {
  std::string svg;
  for (const Tick& tick : ticks(y)) {
    if (!right) {
      svg += fmt::format(R"(<line {} x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>)", kGrid, kLeft, edge, y(tick.value),
                         y(tick.value));
    }
    svg += fmt::format(R"(<text {} x="{}" y="{:.1f}" text-anchor="{}">{}</text>)", kTick, right ? edge + 7 : kLeft - 7,
                       y(tick.value) + 4, right ? "start" : "end", tick.label);
  }
  const double middle = (kTop + kBottom) / 2;
  return svg + fmt::format(
                   R"svg(
<text {} text-anchor="middle" transform="translate({} {}) rotate(-90)">{}</text>)svg",
                   kAxisLabel, right ? kWidth - 5 : 13, middle, escape(label));
}

std::vector<Tick> x_axis_ticks(const LineChart& chart, const Scale& x) {
  if (!chart.x_ticks.empty()) return chart.x_ticks;
  std::vector<Tick> marks = ticks(x);
  if (!chart.counted) return marks;
  std::erase_if(marks, [](const Tick& tick) { return std::abs(tick.value - std::round(tick.value)) > 1e-6; });
  for (Tick& tick : marks) tick.label = count(tick.value);
  return marks;
}

std::string x_axis(const Scale& x, const std::vector<Tick>& marks, const std::string& label, double bottom) {
  std::string svg = fmt::format(R"(<line {} x1="{}" x2="{}" y1="{}" y2="{}"/>)", kAxis, x.from, x.to, bottom, bottom);
  for (const Tick& tick : marks) {
    svg += fmt::format(R"(<line {} x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>)", kAxis, x(tick.value), x(tick.value),
                       bottom, bottom + 4);
    svg += fmt::format(R"(<text {} x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", kTick, x(tick.value),
                       bottom + 18, escape(tick.label));
  }
  return svg + fmt::format(R"(<text {} x="{}" y="{}" text-anchor="middle">{}</text>)", kAxisLabel, (x.from + x.to) / 2,
                           bottom + 40, escape(label));
}

// Rows have their names above them, so that long ones find room.
std::string row_names(const Scale& x, const std::vector<Tick>& rows) {
  std::string svg;
  for (const Tick& row : rows) {
    svg += fmt::format(R"(<text {} x="{}" y="{:.1f}">{}</text>)", kAxisLabel, kRowLeft, x(row.value) - 13,
                       escape(row.label));
  }
  return svg;
}

std::string figure(const ChartFrame& frame, const std::string& drawing, double height = kHeight) {
  std::string legend;
  for (const LegendEntry& entry : frame.legend) {
    legend += fmt::format(R"(<li class="{}"><svg viewBox="0 0 24 8" width="24" height="8" aria-hidden="true">)"
                          R"(<path class="line"{} d="M1 4H23"/></svg>{}</li>)",
                          entry.style, line_ink(entry.style), escape(entry.label));
  }
  return fmt::format(R"(<figure class="chart"><h4>{title}</h4><ul class="legend">{legend}</ul>
<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-labelledby="{id}-title {id}-desc">
<title id="{id}-title">{title}</title><desc id="{id}-desc">{description}</desc>
{drawing}</svg>
<figcaption>{description}</figcaption></figure>
)",
                     fmt::arg("title", escape(frame.title)), fmt::arg("legend", legend), fmt::arg("width", kWidth),
                     fmt::arg("height", height), fmt::arg("id", frame.id),
                     fmt::arg("description", escape(frame.description)), fmt::arg("drawing", drawing));
}

std::string nothing_to_draw() {
  return fmt::format(R"(<text {} x="{}" y="{}" text-anchor="middle">no values</text>)", kAxisLabel, kWidth / 2,
                     kHeight / 2);
}

// The interval about each run of points, there and back again.
std::string band_mark(const Line& line, const Axes& axes) {
  std::string path, there, back;
  for (std::size_t i = 0; i <= line.low.size(); ++i) {
    if (i == line.low.size() || !axes.drawable(line, i) || !line.low[i] || !line.high[i]) {
      if (!there.empty()) path += "M" + there.substr(1) + back + "Z";
      there = back = "";
      continue;
    }
    there += "L" + axes.place(line, i, line.high[i]);
    back.insert(0, "L" + axes.place(line, i, line.low[i]));
  }
  return path.empty() ? "" : fmt::format(R"(<path class="band"{} d="{}"/>)", band_ink(line.style), path);
}

// What is shown of each point when one points at it, or near it: a clear circle with a title.
std::string tooltips(const Line& line, const Axes& axes) {
  std::string circles;
  for (std::size_t i = 0; i < line.notes.size(); ++i) {
    if (line.notes[i].empty() || !axes.drawable(line, i)) continue;
    const std::string place = axes.place(line, i, line.y[i]);
    const auto space = place.find(' ');
    circles += fmt::format(
        R"(<circle class="tip" fill="none" pointer-events="all" cx="{}" cy="{}" r="6"><title>{}</title></circle>)",
        place.substr(0, space), place.substr(space + 1), escape(line.notes[i]));
  }
  return circles;
}

// A dot for a single point, else a path; a gap starts a new stroke. Empty if nothing of the line can be shown.
std::string line_mark(const Line& line, const Axes& axes) {
  std::string path;
  std::string dots;
  std::size_t run = 0;  // points since the last gap
  const std::size_t length = std::min(line.x.size(), line.y.size());
  for (std::size_t i = 0; i < length; ++i) {
    if (!axes.drawable(line, i)) {
      run = 0;
      continue;
    }
    const std::string place = axes.place(line, i, line.y[i]);
    path += (run == 0 ? "M" : "L") + place;
    const bool last = i + 1 == length || !axes.drawable(line, i + 1);
    if (run == 0 && last) {
      const auto space = place.find(' ');
      dots += fmt::format(R"(<circle class="dot"{} cx="{}" cy="{}" r="3"/>)", dot_ink(line.style),
                          place.substr(0, space), place.substr(space + 1));
    }
    ++run;
  }
  if (path.empty()) return "";
  return fmt::format(R"(<g class="{}"><title>{}</title>{}<path class="line"{} d="{}"/>{}{}</g>
)",
                     line.style, escape(line.label), band_mark(line, axes), line_ink(line.style), path, dots,
                     tooltips(line, axes));
}

// Thousands of dots are one path of strokes without length, which have round or square ends.
std::string dots_mark(const Line& line, const Axes& axes) {
  std::string dots, bars;
  for (std::size_t i = 0; i < line.y.size(); ++i) {
    if (!axes.drawable(line, i)) continue;
    dots += fmt::format("M{}h0", axes.place(line, i, line.y[i]));
    if (i < line.low.size() && line.low[i] && line.high[i]) {
      bars += fmt::format("M{}L{}", axes.place(line, i, line.low[i]), axes.place(line, i, line.high[i]));
    }
  }
  if (dots.empty()) return "";
  if (!bars.empty()) bars = fmt::format(R"(<path class="line"{} d="{}"/>)", line_ink(line.style), bars);
  return fmt::format(R"(<g class="{}"><title>{}</title>{}<path class="dots"{} d="{}"/>{}</g>
)",
                     line.style, escape(line.label), bars, dots_ink(line.style), dots, tooltips(line, axes));
}

}  // namespace

std::string line_chart(const LineChart& chart) {
  std::vector<Value> xs, ys, rights;
  for (const Line& line : chart.lines) {
    xs.insert(xs.end(), line.x.begin(), line.x.end());
    auto& values = line.right ? rights : ys;
    for (const auto* list : {&line.y, &line.low, &line.high}) values.insert(values.end(), list->begin(), list->end());
  }
  Axes axes{.x = fit_scale(xs, false, kLeft, chart.right_label.empty() ? kRight : kRightInner),
            .y = fit_scale(ys, chart.logarithmic, kBottom, kTop),
            .right = fit_scale(rights, false, kBottom, kTop),
            .rows = chart.rows};
  double bottom = kBottom;
  if (!chart.x_ticks.empty()) {  // half a step of room on both sides
    const double first = chart.x_ticks.front().value, last = chart.x_ticks.back().value;
    const double step = first == last ? 1 : (last - first) / static_cast<double>(chart.x_ticks.size() - 1);
    const double room = chart.rows ? 0.5 : 0.35;
    axes.x.low = first - room * step;
    axes.x.high = last + room * step;
  }
  if (chart.rows) {
    bottom = kTop + kRowHeight * static_cast<double>(chart.x_ticks.size());
    axes.x.from = kTop + 6;
    axes.x.to = bottom + 6;
    axes.y.from = kRowLeft;
    axes.y.to = kRight;
  }
  std::string marks;
  for (const Line& line : chart.lines) marks += line.joined ? line_mark(line, axes) : dots_mark(line, axes);
  if (marks.empty()) return figure(chart.frame, nothing_to_draw());
  const std::vector<Tick> x_ticks = x_axis_ticks(chart, axes.x);
  const std::string drawing =
      chart.rows ? x_axis(axes.y, ticks(axes.y), chart.frame.y_label, bottom + 6) + row_names(axes.x, x_ticks)
                 : y_axis(axes.y, chart.frame.y_label, axes.x.to) +
                       (chart.right_label.empty() ? "" : y_axis(axes.right, chart.right_label, axes.x.to, true)) +
                       x_axis(axes.x, x_ticks, chart.frame.x_label, kBottom);
  return figure(chart.frame, drawing + "\n" + marks, bottom + kHeight - kBottom + (chart.rows ? 6 : 0));
}

std::string interval_chart(const Interval& estimate, const std::string& title) {
  const Scale x = fit_scale({0.0, estimate.low, estimate.value, estimate.high}, false, 28, 372);
  const std::string axis = R"(class="axis")" + stroke(kLine, 1),
                    zero = R"(class="zero" stroke-dasharray="3 3")" + stroke(kMuted, 1);
  std::string svg = fmt::format(
      R"(<svg class="interval" viewBox="0 0 400 52" width="400" height="52" role="img" aria-label="{}">
<line {} x1="28" x2="372" y1="32" y2="32"/>)",
      escape(title), axis);
  for (const Tick& tick : ticks(x)) {
    svg += fmt::format(R"(<line {} x1="{:.1f}" x2="{:.1f}" y1="{}" y2="36"/>)", tick.value == 0 ? zero : axis,
                       x(tick.value), x(tick.value), tick.value == 0 ? 2 : 32);
    svg +=
        fmt::format(R"(<text {} x="{:.1f}" y="49" text-anchor="middle">{}</text>)", kTick, x(tick.value), tick.label);
  }
  return svg + fmt::format(
                   R"(<path class="bar"{} stroke-linecap="round" d="M{:.1f} 16H{:.1f}"/>)"
                   R"(<circle class="point" fill="{}" stroke="{}" stroke-width="2" cx="{:.1f}" cy="16" r="6"/></svg>)",
                   stroke(kText, 4), x(*estimate.low), x(*estimate.high), kText, kSurface, x(*estimate.value));
}

}  // namespace pellucid::report
