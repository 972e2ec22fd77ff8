// The two tables: summaries of each metric, and every reconstruction by itself.
#include "pellucid/report/format.h"
#include "pellucid/report/sections.h"

#include <fmt/format.h>

#include <algorithm>

namespace pellucid::report {
namespace {

std::string model_header(const Comparison& c, std::size_t model) {
  return fmt::format(R"(<th scope="row" class="{}"><i class="swatch"></i>{}</th>)", series_class(model),
                     c.models[model]["label"].html());
}

std::string paired_cell(const Node* paired, std::size_t rows) {
  if (paired == nullptr) return fmt::format("<td rowspan=\"{}\"></td>", rows);
  const Node& node = *paired;
  const std::string unit = node["unit"].text();
  const Interval difference = interval(node["difference"]);
  auto format = [&](Value value) { return signed_metric(value, unit); };
  return fmt::format(
      R"(<td rowspan="{}"><b>{}</b> <span class="bounds">{}</span>
<span class="bounds">p {}, effect {}, n = {}</span></td>)",
      rows, format(difference.value), bounds(difference, format), escape(p_value(node["p_value"].number())),
      decimals(node["effect"].number(), 2), count(node["n"].number()));
}

bool higher_is_better(const Node& summary) {
  const Node better = summary["better"];
  if (better.text() != "higher" && better.text() != "lower") better.fail("\"higher\" or \"lower\"");
  return better.text() == "higher";
}

std::string summary_row(const Comparison& c, std::size_t model, const Node& node) {
  const std::string unit = node["unit"].text();
  const bool higher = higher_is_better(node);
  return model_header(c, model) +
         fmt::format("<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>", estimate(interval(node["mean"]), unit),
                     estimate(interval(node["median"]), unit), metric(node[higher ? "max" : "min"].number(), unit),
                     metric(node[higher ? "min" : "max"].number(), unit), count(node["n"].number()));
}

// The rows of one metric, a model each; the first also carries the metric's name and the paired difference.
std::string metric_rows(const Comparison& c, const std::string& attack, const std::string& name) {
  std::vector<std::string> rows;
  std::string header;
  bool oracle = false;
  for (std::size_t m = 0; m < c.models.size(); ++m) {
    const Node* node = find(c.summaries, attack, c.models[m]["id"].text(), name);
    if (node == nullptr) continue;
    rows.push_back(summary_row(c, m, *node));
    oracle = (*node)["oracle"].boolean();
    header = fmt::format(R"({} <span class="muted">{}</span> {})", (*node)["label"].html(), (*node)["unit"].html(),
                         higher_is_better(*node) ? "↑" : "↓");
  }
  if (oracle) header += " <span class=\"badge\">oracle</span>";
  rows.front() = fmt::format(R"(<th scope="rowgroup" rowspan="{}">{}</th>)", rows.size(), header) + rows.front() +
                 paired_cell(find(c.paired, attack, name), rows.size());
  return fmt::format("<tbody{}><tr>{}</tr></tbody>\n", oracle ? " class=\"oracle\"" : "",
                     fmt::join(rows, "</tr>\n<tr>"));
}

struct Column {
  const char* name;
  const char* title;
  const char* style;  // a CSS class
  std::string (*cell)(const Node& reconstruction);
};

template <int kDecimals>
std::string fixed(const Node& node) {
  return decimals(node.number(), kDecimals);
}

std::string restart(const Node& node) {
  const Value chosen = node["restart"].number();
  return chosen ? fmt::format("#{} of {}", count(chosen), count(node["restarts"].number())) : count(chosen);
}

const Column kColumns[] = {
    {"Status", "", "", [](const Node& r) { return r["status"].html(); }},
    {"PSNR", "dB", "", [](const Node& r) { return fixed<2>(r["psnr"]); }},
    {"Oracle PSNR", "dB, of the best restart, chosen with the truth in hand", "oracle",
     [](const Node& r) { return fixed<2>(r["oracle_psnr"]); }},
    {"SSIM", "", "", [](const Node& r) { return fixed<3>(r["ssim"]); }},
    {"MSE", "", "", [](const Node& r) { return significant(r["mse"].number()); }},
    {"FMSE logits", "", "", [](const Node& r) { return significant(r["fmse_logits"].number()); }},
    {"FMSE features", "", "", [](const Node& r) { return significant(r["fmse_features"].number()); }},
    {"Margin", "the true class's logit minus the largest other", "",
     [](const Node& r) { return fixed<2>(r["margin"]); }},
    {"p(true)", "", "", [](const Node& r) { return escape(probability(r["p_true"].number())); }},
    {"Gradient norm", "", "", [](const Node& r) { return significant(r["gradient_norm"].number()); }},
    {"Matching loss", "", "", [](const Node& r) { return significant(r["matching_loss"].number()); }},
    {"Restart", "the one with the lowest matching loss", "", restart},
};

std::string image_rows(const Comparison& c, const Node& attack, const Node& image) {
  const std::int64_t index = image["index"].whole();
  std::vector<std::string> rows;
  for (std::size_t m = 0; m < c.models.size(); ++m) {
    const Node* node = find(c.reconstructions, attack["id"].text(), c.models[m]["id"].text(), index);
    if (node == nullptr) continue;
    std::string cells;
    for (const Column& column : kColumns) {
      cells += fmt::format(R"(<td class="{}">{}</td>)", column.style, column.cell(*node));
    }
    rows.push_back(model_header(c, m) + cells);
  }
  if (rows.empty()) return "";
  rows.front() = fmt::format(R"(<th scope="rowgroup" rowspan="{}">{} <span class="muted">{}</span></th>)", rows.size(),
                             index, image["class"].html()) +
                 rows.front();
  return fmt::format("<tbody><tr>{}</tr></tbody>\n", fmt::join(rows, "</tr>\n<tr>"));
}

}  // namespace

std::string results_section(const Comparison& c) {
  std::string body;
  for (const Node& attack : c.attacks) {
    const auto metrics = c.metrics.find(attack["id"].text());
    if (metrics == c.metrics.end()) continue;
    body += "<tbody class=\"group\"><tr><th scope=\"rowgroup\" colspan=\"8\">" + attack["label"].html() +
            "</th></tr></tbody>\n";
    for (const std::string& name : metrics->second) body += metric_rows(c, attack["id"].text(), name);
  }
  std::vector<std::string> tests;
  for (const auto& [key, node] : c.paired) {
    const std::string text = node["description"].html() + ", " + node["test"].html();
    if (std::find(tests.begin(), tests.end(), text) == tests.end()) tests.push_back(text);
  }
  const std::string head = table_head({"Metric", "Model", "Mean", "Median", "Best", "Worst", "n", "Paired difference"});
  return fmt::format(
      R"(<p class="lede">Estimates with their intervals in brackets. An arrow points to the better reconstruction,
that is, to more leakage.{}</p>
{})",
      tests.empty() ? "" : fmt::format(" Paired: {}.", fmt::join(tests, "; ")),
      scroll_box("Results", "<table class=\"results\">" + head + body + "</table>\n"));
}

std::string every_image_section(const Comparison& c) {
  std::string head = "<thead><tr><th scope=\"col\">Image</th><th scope=\"col\">Model</th>";
  for (const Column& column : kColumns) {
    head += fmt::format("<th scope=\"col\" class=\"{}\" title=\"{}\">{}</th>", column.style, escape(column.title),
                        column.name);
  }
  head += "</tr></thead>\n";
  return attack_tabs(c, "every-image", [&](std::size_t index) {
    const Node& attack = c.attacks[index];
    std::string body;
    for (const Node& image : c.images) body += image_rows(c, attack, image);
    return scroll_box("Every image, " + attack["label"].html(),
                      "<table class=\"every-image\">" + head + body + "</table>\n");
  });
}

}  // namespace pellucid::report
