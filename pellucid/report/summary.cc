// The top of the page: the answer, and the key figures of each model.
#include "pellucid/report/format.h"
#include "pellucid/report/sections.h"
#include "pellucid/report/svg_chart.h"

#include <fmt/format.h>

namespace pellucid::report {
namespace {

// The metric that stands for all where there is room for one.
constexpr char kKeyMetric[] = "psnr";

std::string key_interval(const Comparison& c) {
  const Node* paired = find(c.paired, c.attacks.front()["id"].text(), kKeyMetric);
  if (paired == nullptr) return "";
  const Node& node = *paired;
  const std::string unit = node["unit"].text();
  const Interval difference = interval(node["difference"]);
  auto format = [&](Value value) { return signed_metric(value, unit); };
  std::string chart;
  if (difference.value && difference.low && difference.high) {
    chart = interval_chart(difference, fmt::format("Difference in {}: {} {} {}", node["label"].text(),
                                                   format(difference.value), unit, bounds(difference, format)));
  }
  return fmt::format(
      R"(<div class="key-interval"><p>Paired difference in {label}, {description}:
<span class="nowrap"><strong>{value} {unit}</strong> {bounds}</span>
<span class="muted">{attack}, n = {n}, {test}, <span class="nowrap">p {p}</span></span></p>{chart}</div>
)",
      fmt::arg("label", node["label"].html()), fmt::arg("description", node["description"].html()),
      fmt::arg("value", format(difference.value)), fmt::arg("unit", escape(unit)),
      fmt::arg("bounds", bounds(difference, format)), fmt::arg("attack", c.attacks.front()["label"].html()),
      fmt::arg("n", count(node["n"].number())), fmt::arg("test", node["test"].html()),
      fmt::arg("p", escape(p_value(node["p_value"].number()))), fmt::arg("chart", chart));
}

std::string key_figure(const std::string& label, const std::string& value, const std::string& range,
                       const std::string& note) {
  return fmt::format(R"(<div><dt>{}</dt><dd><b>{}</b> <span>{}</span><small>{}</small></dd></div>
)",
                     label, value, range, note);
}

std::string accuracy(const std::string& label, const Node& node, const std::string& note) {
  const Interval fraction = interval(node);
  const std::string n = node.is_null() ? "" : fmt::format("n = {}", count(node["n"].number()));
  return key_figure(label, percent(fraction.value), bounds(fraction, percent), n + note);
}

std::string card(const Comparison& c, std::size_t index) {
  const Node& model = c.models[index];
  const Node& robust = model["robust"];
  std::string figures = accuracy("Accuracy, clean", model["natural"], "");
  figures += accuracy("Accuracy, attacked", robust, robust.is_null() ? "" : ", " + robust["attack"].html());
  const Node& attack = c.attacks.front();
  if (const Node* node = find(c.summaries, attack["id"].text(), model["id"].text(), kKeyMetric)) {
    const std::string unit = (*node)["unit"].text();
    const Interval mean = interval((*node)["mean"]);
    figures +=
        key_figure("Reconstruction, mean " + (*node)["label"].html(), metric(mean.value, unit) + " " + escape(unit),
                   bounds(mean, [&](Value end) { return metric(end, unit); }),
                   fmt::format("n = {}, {}", count((*node)["n"].number()), attack["label"].html()));
  }
  return fmt::format(R"(<article class="card {series}"><h3><i class="swatch"></i>{label}</h3>
<p class="muted">{training}</p>
<dl class="key-figures">
{figures}</dl>
<p class="muted small">{architecture}, {parameters} parameters, <code>{file}</code></p></article>
)",
                     fmt::arg("series", series_class(index)), fmt::arg("label", model["label"].html()),
                     fmt::arg("training", model["training"].html()), fmt::arg("figures", figures),
                     fmt::arg("architecture", model["architecture"].html()),
                     fmt::arg("parameters", count(model["parameters"].number())),
                     fmt::arg("file", model["file"].html()));
}

}  // namespace

std::string headline_section(const Comparison& c) {
  std::string warnings;
  for (const Node& warning : c.root["warnings"].items()) warnings += "<li>" + warning.html() + "</li>\n";
  if (!warnings.empty()) {
    warnings = "<aside class=\"warnings\" aria-label=\"Warnings\"><h2>Read this first</h2><ul>\n" + warnings +
               "</ul></aside>\n";
  }
  return fmt::format(R"(<header>
<p class="brand">Pellucid <span class="muted">privacy audit report, <time>{}</time></span></p>
<h1>{}</h1>
<p class="headline">{}</p>
{}{}</header>
)",
                     c.root["environment"]["date"].html(), c.root["title"].html(), c.root["headline"].html(),
                     key_interval(c), warnings);
}

std::string key_figures_section(const Comparison& c) {
  std::string cards;
  for (std::size_t i = 0; i < c.models.size(); ++i) cards += card(c, i);
  return "<div class=\"cards\">\n" + cards + "</div>\n";
}

}  // namespace pellucid::report
