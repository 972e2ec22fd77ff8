// Charts as inline SVG: axes, ticks, labels, legend, and a title and description for screen readers.
#pragma once

#include "pellucid/report/svg_scale.h"

#include <string>
#include <vector>

namespace pellucid::report {

/// A kind of line or dot, as the legend names it.
struct LegendEntry {
  std::string label;
  std::string style;  ///< CSS classes: "series-0", "series-1 dashed"
};

/// One line of a chart: y against x, broken where either is missing (or cannot be shown on a logarithmic axis).
struct Line {
  std::string label;  ///< the tooltip of what is between the points
  std::string style;  ///< CSS classes, as in the legend
  std::vector<Value> x, y;
  std::vector<Value> low = {},
                     high = {};  ///< y's interval, a band about a line and a bar through a dot; as long as y or empty
  std::vector<std::string> notes = {};  ///< the tooltip of each point; as long as y or empty
  bool joined = true;                   ///< false: dots
  bool right = false;                   ///< measured by the right axis
};

/// What all charts have. Text is plain here: the chart escapes it.
struct ChartFrame {
  std::string id;           ///< unique on the page
  std::string title;        ///< above the chart
  std::string description;  ///< what is drawn, for those who cannot see it and as the caption
  std::string x_label, y_label;
  std::vector<LegendEntry> legend;
};

/// Lines over a linear x axis and a linear or logarithmic y axis.
struct LineChart {
  ChartFrame frame;
  bool logarithmic = false;
  std::vector<Line> lines;
  std::vector<Tick> x_ticks = {};  ///< where x has ticks; otherwise at round numbers
  bool counted = true;             ///< x is whole: ticks between whole numbers are left out
  std::string right_label = "";    ///< of the right axis, which is there if a line is measured by it
  bool rows = false;               ///< turned: x runs downwards in rows with the names of `x_ticks`, y to the right
};

/// A <figure> with the chart; where no value can be shown, it says so. Tooltips are <title> elements: no script.
[[nodiscard]] std::string line_chart(const LineChart& chart);

/// One estimate and its interval over an axis that shows zero: a bare <svg>. All three numbers must be there.
[[nodiscard]] std::string interval_chart(const Interval& estimate, const std::string& title);

}  // namespace pellucid::report
