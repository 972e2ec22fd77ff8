// The top of the page: the answer, and the key figures of each model.
#include "pellucid/report/format.h"
#include "pellucid/report/sections.h"

#include <fmt/format.h>

namespace pellucid::report {
namespace {

// The metric that stands for all where there is room for one.
constexpr char kKeyMetric[] = "psnr";

std::string main_difference(const Comparison& c) {
  const Node& attack = c.attacks.front();
  const Node* paired = find(c.paired, attack["id"].text(), kKeyMetric);
  if (paired == nullptr) return "";
  const Node& node = *paired;
  return key_interval(fmt::format("Paired difference in {}, {}", node["label"].html(), node["description"].html()), node["label"].text(),
                      node["unit"].text(), interval(node["difference"]),
                      fmt::format("{}, n = {}, {}, <span class=\"nowrap\">p {}</span>", attack["label"].html(), count(node["n"].number()),
                                  node["test"].html(), escape(p_value(node["p_value"].number()))));
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

std::string headline_section(const Comparison& c) { return page_header(c.root, "", main_difference(c)); }

std::string key_figures_section(const Comparison& c) {
  std::string cards;
  for (std::size_t i = 0; i < c.models.size(); ++i) cards += card(c, i);
  return "<div class=\"cards\">\n" + cards + "</div>\n";
}

}  // namespace pellucid::report
