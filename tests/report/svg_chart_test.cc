#include "pellucid/report/svg_chart.h"

#include "pellucid/report/embedded.h"

#include "fixture.h"
#include <gmock/gmock.h>

#include <algorithm>

namespace pellucid::report {
namespace {

using testing::HasSubstr;
using testing::Not;

LineChart chart_of(std::vector<Line> lines, bool logarithmic = false) {
  return {.frame = {.id = "c",
                    .title = "Loss",
                    .description = "One line.",
                    .x_label = "epoch",
                    .y_label = "loss",
                    .legend = {{"Standard", "series-0"}}},
          .logarithmic = logarithmic,
          .lines = std::move(lines)};
}

// What stands between the first `before` at or after `from` and the next `after`; "" where there is none.
std::string between(const std::string& text, const std::string& before, const std::string& after,
                    std::size_t from = 0) {
  const auto start = text.find(before, from);
  if (start == std::string::npos) return "";
  const auto end = text.find(after, start + before.size());
  return end == std::string::npos ? "" : text.substr(start + before.size(), end - start - before.size());
}

// The path of the first line in that style.
std::string path_of(const std::string& svg, const std::string& style) {
  const auto group = svg.find("<g class=\"" + style + "\"");
  return group == std::string::npos ? "" : between(svg, " d=\"", "\"", svg.find("<path class=\"line\"", group));
}

std::ptrdiff_t strokes(const std::string& path) { return std::count(path.begin(), path.end(), 'M'); }

TEST(LineChart, HasAxesLabelsLegendTitleAndDescription) {
  const std::string svg = line_chart(chart_of({{"a", "series-0", {1.0, 2.0, 3.0}, {0.5, 0.2, 0.1}}}));
  for (const char* part :
       {">epoch</text>", ">loss</text>", ">Standard</li>", "<title id=\"c-title\">Loss</title>",
        "<desc id=\"c-desc\">One line.</desc>", "aria-labelledby=\"c-title c-desc\"", "class=\"tick\""}) {
    EXPECT_THAT(svg, HasSubstr(part));
  }
  EXPECT_EQ(strokes(path_of(svg, "series-0")), 1);
}

TEST(LineChart, BreaksTheLineAtAMissingValue) {
  const std::string svg =
      line_chart(chart_of({{"a", "series-0", {1.0, 2.0, 3.0, 4.0, 5.0}, {0.5, 0.4, std::nullopt, 0.2, 0.1}}}));
  EXPECT_EQ(strokes(path_of(svg, "series-0")), 2);
  EXPECT_THAT(svg, Not(HasSubstr("<circle")));
}

TEST(LineChart, ShowsASinglePointAsADot) {
  EXPECT_THAT(line_chart(chart_of({{"a", "series-0", {1.0}, {0.5}}})), HasSubstr("<circle class=\"dot\""));
  const std::string alone =
      line_chart(chart_of({{"a", "series-0", {1.0, 2.0, 3.0, 4.0}, {0.5, std::nullopt, 0.2, 0.1}}}));
  EXPECT_EQ(occurrences(alone, "<circle"), 1u);
}

TEST(LineChart, DrawsConstantValuesInsideThePlot) {
  const std::string path = path_of(line_chart(chart_of({{"a", "series-0", {1.0, 2.0}, {0.5, 0.5}}})), "series-0");
  EXPECT_THAT(path, testing::MatchesRegex("M[0-9.]+ 132.0L[0-9.]+ 132.0"));
}

TEST(LineChart, LeavesOutWhatALogarithmCannotShow) {
  const std::string svg = line_chart(chart_of({{"a", "series-0", {0.0, 1.0, 2.0, 3.0}, {1.0, 0.1, 0.0, -1.0}}}, true));
  EXPECT_EQ(occurrences(path_of(svg, "series-0"), "L"), 1u);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(LineChart, SaysWhereThereIsNothingToDraw) {
  EXPECT_THAT(line_chart(chart_of({})), HasSubstr("no values"));
  EXPECT_THAT(line_chart(chart_of({{"a", "series-0", {1.0}, {std::nullopt}}})), HasSubstr("no values"));
}

TEST(LineChart, MarksOnlyWholeNumbersAlongX) {
  const std::string svg = line_chart(chart_of({{"a", "series-0", {1.0, 2.0}, {7.0, 9.0}}}));
  EXPECT_EQ(occurrences(svg, "text-anchor=\"middle\">1<"), 1u);
  EXPECT_THAT(svg, Not(HasSubstr(">1.2<")));
}

TEST(LineChart, EscapesItsTexts) {
  LineChart chart = chart_of({{"<l>", "series-0", {1.0, 2.0}, {1.0, 2.0}}});
  chart.frame.title = chart.frame.description = chart.frame.x_label = chart.frame.y_label = "<t>";
  chart.frame.legend.front().label = "<g>";
  const std::string svg = line_chart(chart);
  for (const char* part : {"<l>", "<t>", "<g>"}) EXPECT_THAT(svg, Not(HasSubstr(part)));
}

TEST(IntervalChart, ShowsZeroAndTheEstimateBetweenItsEnds) {
  const std::string svg = interval_chart({-1.0, -2.0, 0.5}, "Difference <x>");
  EXPECT_THAT(svg, HasSubstr("class=\"zero\""));
  EXPECT_THAT(svg, HasSubstr("Difference &lt;x&gt;"));
  const double low = std::stod(between(svg, " d=\"M", " ", svg.find("class=\"bar\"")));
  const double high = std::stod(between(svg, " 16H", "\""));
  const double point = std::stod(between(svg, " cx=\"", "\"", svg.find("class=\"point\"")));
  EXPECT_LT(low, point);
  EXPECT_LT(point, high);
}

// Without a style sheet SVG fills everything black: every mark has its own ink, in colours that the style sheet has
// too.
void expect_ink(const std::string& svg) {
  std::size_t marks = 0;
  for (auto at = svg.find('<'); at != std::string::npos; at = svg.find('<', at + 1)) {
    const std::string tag = svg.substr(at, svg.find('>', at) - at), name = tag.substr(1, tag.find_first_of(" />") - 1);
    if (name != "path" && name != "line" && name != "circle" && name != "text") continue;
    ++marks;
    EXPECT_THAT(tag, HasSubstr(" fill=\"")) << tag;
    EXPECT_TRUE(name == "text" || tag.find(" stroke=\"") != std::string::npos) << tag;
    EXPECT_TRUE(name == "circle" || name == "text" || tag.find(" fill=\"none\"") != std::string::npos ||
                tag.find("\"band\"") != std::string::npos || tag.find("\"dot\"") != std::string::npos)
        << "a filled line is a polygon: " << tag;
    for (const char* attribute : {" fill=\"", " stroke=\""}) {
      const std::string colour = between(tag, attribute, "\"");
      if (colour.starts_with('#')) {
        EXPECT_THAT(std::string(kReportCss), HasSubstr(colour)) << tag;
      }
    }
  }
  EXPECT_GT(marks, 5u);
  EXPECT_EQ(occurrences(svg, "<svg "), occurrences(svg, "\" width=\""))
      << "without a style sheet a drawing needs a size";
}

TEST(Charts, EveryMarkCarriesItsOwnInk) {
  Line curve{"a", "series-0 dashed", {1.0, 2.0, 3.0}, {0.5, 0.2, 0.1}};
  curve.low = {0.4, 0.1, 0.05};
  curve.high = {0.6, 0.3, 0.2};
  Line dots = curve;
  dots.style = "series-1 mean";
  dots.joined = false;
  Line alone{"b", "series-5", {2.0}, {0.3}};
  expect_ink(line_chart(chart_of({curve, dots, alone})));
  expect_ink(line_chart(chart_of({curve}, true)));
  auto rows = chart_of({dots});
  rows.rows = true;
  rows.x_ticks = {{1, "one"}, {2, "two"}, {3, "three"}};
  expect_ink(line_chart(rows));
  expect_ink(interval_chart({1.0, -0.5, 2.5}, "Difference"));
}

}  // namespace
}  // namespace pellucid::report
