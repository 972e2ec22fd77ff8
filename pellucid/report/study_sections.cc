#include "pellucid/report/study_sections.h"

#include "pellucid/report/format.h"

#include <fmt/format.h>

#include <algorithm>

namespace pellucid::report {
namespace {

struct Kind {
  const char* name;
  const char* title;
};
constexpr Kind kControls[] = {{"positive", "Positive control"},
                              {"network", "Positive control, this network and budget"},
                              {"null", "Null control"},
                              {"guess", "Baseline"}};

// @param tested the metric of its value.
std::string control_card(const Node& control, const StudyMetric& tested) {
  const std::string name = control["kind"].text();
  const auto* kind =
      std::find_if(std::begin(kControls), std::end(kControls), [&](const Kind& k) { return k.name == name; });
  if (kind == std::end(kControls)) control["kind"].fail("\"positive\", \"network\", \"null\" or \"guess\"");
  const Node passed = control["passed"];
  const char* verdict = passed.is_null()   ? (name == "guess" ? "for reference" : "not run")
                        : passed.boolean() ? "passed"
                                           : "failed";
  std::string measured = escape(with_unit(control["value"].number(), tested, 1));
  if (control.has("threshold"))
    measured += ", threshold " + escape(with_unit(control["threshold"].number(), tested, 1));
  const std::string attack = control["attack"].html();
  return fmt::format(
      R"(<article class="cell control {style}"><h4>{kind}{attack} <span class="verdict">{verdict}</span></h4>
<p>{sentence}</p><p class="muted small">{measured}</p></article>
)",
      fmt::arg("style", passed.is_null() ? "" : verdict), fmt::arg("kind", kind->title),
      fmt::arg("attack", attack.empty() ? "" : ", " + attack), fmt::arg("verdict", verdict),
      fmt::arg("sentence", control["sentence"].html()), fmt::arg("measured", measured));
}

std::string controls_section(const Study& s) {
  std::string cards, list;
  for (const Node& control : s.root["controls"].items()) cards += control_card(control, s.metrics.front());
  for (const Node& diagnosis : s.root["diagnoses"].items()) {
    list += fmt::format("<li><b>{}</b> in {} of {} cells. {}</li>\n", status_text(diagnosis["code"]),
                        count(diagnosis["cells"].number()), count(static_cast<double>(s.cells.size())),
                        diagnosis["sentence"].html());
  }
  if (!cards.empty()) cards = "<div class=\"gallery\">\n" + cards + "</div>\n";
  if (!list.empty()) list = "<h3>Diagnoses</h3>\n<ul class=\"diagnoses\">\n" + list + "</ul>\n";
  return cards + list;
}

// Base64 of a PNG, or an error: nothing else may stand in the page's image data.
std::string png(const Node& node) {
  constexpr std::string_view kSignature = "iVBORw0KGgo";  // a PNG's first eight bytes
  const std::string text = node.text();
  const auto end = text.find_last_not_of('=') + 1;
  const bool letters = std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
  });
  if (!text.starts_with(kSignature) || !letters || text.size() % 4 != 0 || text.size() - end > 2)
    node.fail("a PNG in base64");
  return text;
}

std::string picture(const Node& node, const std::string& alt) {
  return fmt::format(R"(<img alt="{}" src="data:image/png;base64,{}">)", alt, png(node));
}

// The scores under a picture: the tested one, and those that the result names with it.
std::string scores(const Study& s, const Node& node) {
  std::string html;
  for (const StudyMetric& m : s.metrics) {
    if (!node.has(m.key) || !node[m.key].number()) continue;
    const bool first = &m == &s.metrics.front();
    html += fmt::format(
        " <span>{}<b>{}</b>{}</span>", first ? "" : escape(m.label) + " ",
        escape(m.digits < 0 ? metric(node[m.key].number(), m.unit) : decimals(node[m.key].number(), m.digits)),
        m.unit.empty() ? "" : " " + escape(m.unit));
  }
  return html;
}

std::string reading(const Study& s, const Node& node, const std::string& subject) {
  const std::size_t place = s.group(node["group"]);
  const std::string label = escape(s.groups[place].label());
  const StudyMetric& tested = s.metrics.front();
  const std::string score = with_unit(node[tested.key].number(), tested);
  const std::string status = status_text(node["status"]);
  std::string frame = missing_picture(status);
  if (!node["png"].is_null()) {
    frame = picture(node["png"],
                    fmt::format("{} as read back from {}, {} {}", subject, label, escape(tested.label), escape(score)));
    if (status != "ok") frame += "<span class=\"badge\">" + status + "</span>";
  }
  return fmt::format(R"(<figure title="{}, cell {}"><div class="frame">{}</div>
<figcaption><span>{}</span>{}</figcaption></figure>
)",
                     label, node["cell"].html(), frame, label, scores(s, node));
}

// The images come sorted by score, the best first.
std::string rank(std::size_t place, std::size_t images) {
  if (images < 2) return "";
  const char* name = place == 0                  ? "best"
                     : place + 1 == images       ? "worst"
                     : place == (images - 1) / 2 ? "median"
                                                 : nullptr;
  return name == nullptr ? "" : fmt::format(" <span class=\"rank\">{}</span>", name);
}

std::string gallery(const Study& s) {
  const std::vector<Node> images = s.root["gallery"].items();
  std::string strips;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Node& image = images[i];
    const std::string mark = rank(i, images.size());
    const std::string subject =
        fmt::format("{} {} (class {})", capital(s.item), image["image"].whole(), image["class"].html());
    std::string figures = fmt::format(
        R"(<figure><div class="frame">{}</div><figcaption><span class="name">Original</span></figcaption></figure>
)",
        picture(image["original"], subject + ", original"));
    for (const Node& node : image["readings"].items()) figures += reading(s, node, subject);
    strips += fmt::format(R"(<article class="cell"><h4>{} {} <span class="muted">class {}</span>{}</h4>
<div class="strip many">
{}</div></article>
)",
                          capital(s.item), image["image"].whole(), image["class"].html(), mark, figures);
  }
  return "<p class=\"lede\">Each strip: the image whose gradient was shared, and what was made of that gradient in "
         "each group, from networks of "
         "the first seed. The best reconstruction comes first.</p>\n" +
         strips;
}

std::string settings(const Study& s) {
  return folded("Data", settings_table("", s.root["data"])) +
         folded("Study settings", settings_table("", s.root["config"])) +
         folded("Environment", settings_table("", s.root["environment"]));
}

}  // namespace

std::string study_header(const Study& s) {
  const std::string question = fmt::format(
      "<p class=\"question\">{} <span class=\"muted\"><code>{}</code> at scale <code>{}</code></span></p>\n",
      s.root["question"].html(), s.root["name"].html(), s.root["scale"].html());
  const Node place = s.root["main_contrast"];
  if (place.is_null()) return page_header(s.root, question, "");
  const std::vector<Node> contrasts = s.root["contrasts"].items();
  const std::int64_t index = place.whole();
  if (index < 0 || index >= static_cast<std::int64_t>(contrasts.size())) place.fail("null or the index of a contrast");
  const Node& main = contrasts[static_cast<std::size_t>(index)];
  const StudyMetric& m = s.metric(main["metric"]);
  const std::string details = fmt::format(
      "{} × {}, {}, <span class=\"nowrap\">p {}</span>, <span class=\"nowrap\">Holm {}</span>",
      counted(main["images"].number(), escape(s.item)), counted(main["seeds"].number(), "seed"), main["test"].html(),
      escape(p_value(main["p_value"].number())), escape(p_value(main["p_holm"].number())));
  const std::string text = fmt::format("{}, {}", escape(m.label), main["label"].html());
  return page_header(s.root, question, key_interval(text, m.label, m.unit, interval(main["difference"]), details));
}

std::vector<Section> study_sections(const Study& s) {
  std::vector<Section> sections;
  auto add = [&](const char* id, const char* link, const char* title, const std::string& content) {
    if (!content.empty()) sections.push_back({id, link, title, content});
  };
  auto some = [&](const char* list) { return !s.root[list].items().empty(); };
  add("pictures", "Pictures", "Reconstructions", some("gallery") ? gallery(s) : "");
  add("results", "Results", "Results", s.groups.empty() ? "" : groups_table(s));
  add("contrasts", "Contrasts", "Contrasts", some("contrasts") ? contrasts_table(s) : "");
  add("figures", "Figures", "Figures", study_charts(s));
  add("controls", "Controls", "Controls and diagnoses", controls_section(s));
  add("trainings", "Trainings", "Trainings", some("trainings") ? trainings_table(s) : "");
  add("cells", "Cells", "Every cell",
      s.cells.empty()
          ? ""
          : folded(fmt::format("{} cells, each a line", count(static_cast<double>(s.cells.size()))), cells_table(s)));
  add("settings", "Settings", "Settings and environment", settings(s));
  add("guide", "How to read this", "How to read this", guide(s.root));
  return sections;
}

}  // namespace pellucid::report
