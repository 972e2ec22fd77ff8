#include "pellucid/report/study.h"

#include "pellucid/report/format.h"
#include "pellucid/report/html.h"
#include "pellucid/report/side_by_side.h"
#include "pellucid/report/tidy.h"

#include "fixture.h"
#include <gmock/gmock.h>

#include <algorithm>

namespace pellucid::report {
namespace {

using core::Json;
using testing::HasSubstr;
using testing::Not;

std::string page_of(const Json& result) { return render(result, kStudy); }
std::string refusal_of_study(const Json& result) {
  return data_error([&] { (void)page_of(result); });
}
std::string csv_of(const Json& result) { return csv(open_study(result, kStudy)); }
std::string latex_of(const Json& result) { return latex(open_study(result, kStudy)); }
Value number(const Json& json) { return json.is_null() ? Value() : json.get<double>(); }

// The part of the page under an id, up to the next section.
std::string section(const std::string& page, const std::string& id) {
  const auto start = page.find("<section id=\"" + id + "\"");
  return start == std::string::npos ? "" : page.substr(start, page.find("</section>", start) - start);
}

// The row of the main table that begins with a group's label.
std::string row_of(const std::string& page, const std::string& label) {
  const std::string results = section(page, "results");
  const auto start = results.find("<th scope=\"row\">" + label + "</th>");
  return start == std::string::npos ? "" : results.substr(start, results.find("</tr>", start) - start);
}

TEST(Study, KnowsItsGroupsAxesAndMetrics) {
  const Json result = study();
  const Study s = open_study(result, kStudy);
  EXPECT_EQ(s.x, 1u);
  EXPECT_EQ(s.compare, 0u);
  EXPECT_EQ(s.metrics.front().title(), "PSNR, dB");
  EXPECT_EQ(s.groups[3].levels, (std::vector<std::size_t>{0, 1, 1}));
  EXPECT_EQ(label_without(s, s.groups[3], {s.x}), "standard, ig");
  EXPECT_EQ(label_without(s, s.groups[3], {0, 1, 2}), "all");
}

TEST(Study, RefusesWhatDoesNotFitTogether) {
  struct Case {
    const char* place;
    Json value;
    const char* message;
  };
  const Json result = study();
  for (const Case& c :
       {Case{"/x", "other", "$.x: got \"other\", expected null or the name of an axis: mode, epsilon or attack"},
        Case{"/compare", "other", "$.compare: got \"other\", expected null or the name of an axis"},
        Case{"/axes", Json::array(), "$.axes: got [], expected one axis or more"},
        Case{"/axes/0/levels", Json::array(), "$.axes[0].levels: got [], expected one level or more"},
        Case{"/axes/1/name", "mode", "$.axes[1].name: got \"mode\", expected another name for each axis"},
        Case{"/axes/0/levels/1/label", "standard",
             "$.axes[0].levels[1].label: got \"standard\", expected another label"},
        Case{"/metrics", Json::array(), "$.metrics: got [], expected one metric or more"},
        Case{"/metrics/1/key", "psnr", "$.metrics[1].key: got \"psnr\", expected another key for each metric"},
        Case{"/metrics/0/better", "sideways",
             "$.metrics[0].better: got \"sideways\", expected \"higher\", \"lower\" or \"\""},
        Case{"/groups/1/id", 0, "$.groups[1].id: got 0, expected another id for each group"},
        Case{"/groups/1/levels/attack", "residual", "expected other levels for each group"},
        Case{"/groups/1/levels/mode", "none",
             "$.groups[1].levels.mode: got \"none\", expected the label of a level of mode"},
        Case{"/cells/7/group", 99, "$.cells[7].group: got 99, expected the id of a group"},
        Case{"/contrasts/0/reference", 99, "$.contrasts[0].reference: got 99, expected the id of a group"},
        Case{"/main_contrast", 6, "$.main_contrast: got 6, expected null or the index of a contrast"},
        Case{"/main_contrast", -1, "$.main_contrast: got -1, expected null or the index of a contrast"},
        Case{"/contrasts/0/metric", "other", "$.contrasts[0].metric: got \"other\", expected the key of a metric"},
        Case{"/controls/0/kind", "other",
             "$.controls[0].kind: got \"other\", expected \"positive\", \"network\", \"null\" or \"guess\""},
        Case{"/trainings/0/curve/robust", Json::array(),
             "$.trainings[0].curve.robust: got [], expected as many values as epoch"},
        Case{"/gallery/0/readings/0/group", 99,
             "$.gallery[0].readings[0].group: got 99, expected the id of a group"}}) {
    Json broken = result;
    broken[Json::json_pointer(c.place)] = c.value;
    EXPECT_THAT(refusal_of_study(broken), HasSubstr(c.message)) << c.place;
  }
}

TEST(Study, IsRefusedUnderAnotherSchema) {
  Json result = study();
  result["schema"] = "pellucid.study/3";
  EXPECT_EQ(refusal_of_study(result),
            (kStudy / "result.json").string() + ": $.schema: got \"pellucid.study/3\", expected \"pellucid.study/2\"");
}

// What was written before there was a difference at equal loss is still a report, without it.
TEST(Study, OpensWhatWasWrittenBefore) {
  Json result = study();
  result["schema"] = "pellucid.study/1";
  result.erase("summary");
  for (Json& group : result["groups"]) group.erase("psnr_of_mean_error");
  for (Json& contrast : result["contrasts"]) {
    for (const char* added : {"of_mean_error", "ssim", "loss_ratio", "at_equal_loss"}) contrast.erase(added);
    contrast["told"] = contrast["significant"];
    contrast.erase("significant");
    contrast["at_equal_margin"] = {{"value", 0.5}, {"low", -1.0}, {"high", 2.0}};
  }
  const std::string page = page_of(result);
  EXPECT_THAT(page, HasSubstr("<th scope=\"col\">At equal margin</th>"));
  EXPECT_THAT(page, HasSubstr("<b>+0.50</b> <span class=\"bounds\">[−1.00, +2.00]"));
  EXPECT_THAT(page, Not(HasSubstr("<th scope=\"col\">At equal loss</th>")));
  EXPECT_FALSE(side_by_side({"old", result}, {"new", study()}).empty()) << "they stand beside one another";
}

TEST(StudyPage, SaysWhatIsExtrapolatedAndWhatIsLeftOut) {
  const std::string contrasts = section(page_of(study()), "contrasts");
  EXPECT_THAT(contrasts, HasSubstr("34 of 40 overlap</span>"));
  EXPECT_THAT(contrasts, HasSubstr(">extrapolated: 4 of 40 overlap</span>"));
  EXPECT_THAT(contrasts, HasSubstr(">none <span class=\"bounds\">4 of 40 overlap</span>"));
  for (const char* column : {"Of the mean error", "SSIM", "Matching loss, ratio", "At equal loss", "At equal margin"})
    EXPECT_THAT(contrasts, HasSubstr(fmt::format("<th scope=\"col\">{}</th>", column)));
}

// The control on the network under test stands next to the headline, above the warnings.
TEST(StudyPage, BeginsWithTheAnswerAndThePictures) {
  const std::string page = page_of(study());
  const auto headline = page.find("<p class=\"headline\">"), pictures = page.find("<section id=\"pictures\">"),
             first = page.find("<section");
  EXPECT_LT(headline, first);
  EXPECT_EQ(pictures, first);
  EXPECT_THAT(page.substr(pictures, page.find("</article>", pictures) - pictures),
              HasSubstr("<span class=\"name\">Original</span>"));
}

TEST(StudyPage, PutsTheSummaryBelowTheHeadline) {
  const std::string page = page_of(study());
  const auto headline = page.find("class=\"headline\""), summary = page.find("<ul class=\"summary\">"),
             warnings = page.find("class=\"warnings\"");
  ASSERT_NE(summary, std::string::npos);
  EXPECT_LT(headline, summary);
  EXPECT_LT(summary, warnings);
  EXPECT_THAT(page, HasSubstr("<li>The difference closes as epsilon grows.</li>"));
}

TEST(StudyPage, NamesEveryMissingField) {
  const Json result = study();
  auto expect_needed = [&](const std::string& place, const std::string& path, const std::string& field) {
    Json without = result;
    without[Json::json_pointer(place)].erase(field);
    EXPECT_EQ(refusal_of_study(without), fmt::format("{}: $.{}{}: got no such field, expected one",
                                                     (kStudy / "result.json").string(), path, field));
  };
  for (const auto& [name, value] : result.items()) {
    if (name != "summary" && name != "columns" && name != "words")
      expect_needed("", "", name);  // results of before have none
  }
  for (const char* list :
       {"axes", "metrics", "groups", "contrasts", "controls", "diagnoses", "cells", "gallery", "trainings"}) {
    for (const auto& [name, value] : result[list][0].items()) {
      const std::string field = name;
      const bool optional = field == "natural" || field == "robust" || field == "significant" || field == "needed" ||
                            field == "psnr_of_mean_error" || field == "threshold" || field == "guess_psnr" ||
                            field == "main" || field == "digits" ||
                            (field == "seed" && list == std::string("trainings"));
      if (!optional) expect_needed(fmt::format("/{}/0", list), fmt::format("{}[0].", list), field);
    }
  }
}

TEST(StudyPage, ShowsWhatWasMeasured) {
  const Json result = study();
  const std::string page = page_of(result);
  for (const Json& group : result["groups"]) {
    const std::string row = row_of(page, group["label"]);
    for (const char* key : {"psnr", "gain", "ssim", "mse", "fmse_logits", "fmse_features"}) {
      const std::string unit = key == std::string("psnr") || key == std::string("gain") ? "dB" : "";
      const Json& mean = group["metrics"][key]["mean"];
      EXPECT_THAT(
          row, HasSubstr(fmt::format("<b>{}</b> <span class=\"bounds\">[{}, {}]", metric(number(mean["value"]), unit),
                                     metric(number(mean["low"]), unit), metric(number(mean["high"]), unit))));
    }
    EXPECT_THAT(row, HasSubstr(percent(number(group["natural"]["value"]))));
    EXPECT_THAT(row, HasSubstr("<td>5 × 2</td>"));
    EXPECT_THAT(row, HasSubstr(fmt::format("{} of 10", group["failed"].get<int>())));
  }
  const std::string cells = section(page, "cells");
  for (const Json& cell : result["cells"])
    EXPECT_THAT(cells, HasSubstr("<code>" + cell["cell"].get<std::string>() + "</code>"));
  EXPECT_THAT(section(page, "contrasts"), HasSubstr("<td>0.002</td><td><b>0.012</b></td>"));
  EXPECT_THAT(section(page, "contrasts"), HasSubstr("<td>42</td>"));
  const std::string controls = section(page, "controls");
  for (const char* verdict : {"<span class=\"verdict\">passed</span>", "<span class=\"verdict\">failed</span>",
                              "<span class=\"verdict\">for reference</span>"}) {
    EXPECT_GE(occurrences(controls, verdict), 1u);
  }
}

TEST(StudyPage, PutsThePublishedFiguresBesideTheirGroups) {
  const std::string page = page_of(study());
  EXPECT_THAT(row_of(page, "standard, epsilon 0.2, ig"),
              testing::AllOf(HasSubstr("talk: 4.83"), HasSubstr("talk: 0.328")));
  EXPECT_THAT(row_of(page, "adversarial, epsilon 0.3, ig"), HasSubstr("talk: 17.40"));
  for (const char* other : {"standard, epsilon 0.2, residual", "adversarial, epsilon 0.2, ig"}) {
    EXPECT_THAT(row_of(page, other), Not(HasSubstr("talk:"))) << other;
  }
}

TEST(StudyPage, MarksBestMedianAndWorst) {
  const std::string pictures = section(page_of(study()), "pictures");
  const auto best = pictures.find("Image 31 <span class=\"muted\">class 1</span> <span class=\"rank\">best");
  const auto median = pictures.find("class 5</span> <span class=\"rank\">median");
  const auto worst = pictures.find("class 2</span> <span class=\"rank\">worst");
  ASSERT_NE(worst, std::string::npos);
  EXPECT_LT(best, median);
  EXPECT_LT(median, worst);
  EXPECT_EQ(occurrences(pictures, "class=\"rank\""), 3u);
}

// Calls `visit` with every text of the document that is for a reader; names that tie it together stay.
void for_each_text(Json& json, const std::function<void(std::string&)>& visit) {
  for (auto& [name, value] : json.items()) {
    if (name == "schema" || name == "levels" || name == "axes" || name == "x" || name == "compare" ||
        name == "metric" || name == "key" || name == "better" || name == "kind" || name == "png" ||
        name == "original") {
      continue;
    }
    if (value.is_structured()) for_each_text(value, visit);
    if (value.is_string()) visit(value.get_ref<std::string&>());
  }
}

// Results of before do not say which metrics tables have room for: never the one that needs the truth to choose.
TEST(StudyPage, KnowsTheMainMetricsOfBefore) {
  Json result = study();
  const std::string expected = latex_of(result);
  for (Json& metric : result["metrics"]) metric.erase("main"), metric.erase("digits");
  result.erase("columns");
  result.erase("words");
  EXPECT_EQ(latex_of(result), expected);
  EXPECT_THAT(expected, Not(HasSubstr("Oracle")));
}

TEST(StudyPage, EscapesHostileTextEverywhere) {
  Json result = study();
  for_each_text(result, [](std::string& text) { text = "\"'></script><!--<script>alert(1)</script><img src=x>"; });
  for (Json& axis : result["axes"]) axis["title"] = "</script><script>alert(2)</script>";
  const std::string page = page_of(result);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("</script")));
  EXPECT_THAT(page, Not(HasSubstr("<img src=x")));
}

TEST(StudyPage, RefusesAPictureThatIsNoPngInBase64) {
  for (const char* text :
       {"", "iVBORw0KGgo\" onerror=\"alert(1)", "R0lGODlhAQABAIAAAAAAAP===", "iVBORw0KGgoA=A==", "iVBORw0KGgoAB"}) {
    Json result = study();
    result["gallery"][0]["original"] = text;
    EXPECT_THAT(refusal_of_study(result), HasSubstr("$.gallery[0].original: got")) << text;
    result = study();
    result["gallery"][1]["readings"][0]["png"] = text;
    EXPECT_THAT(refusal_of_study(result), HasSubstr("$.gallery[1].readings[0].png: got")) << text;
  }
}

TEST(StudyPage, RunsNoScript) {
  const std::string page = page_of(study());
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, Not(HasSubstr("script-src")));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
}

// The value with its interval and n, where one points at it.
TEST(StudyPage, HasATooltipForEachPoint) {
  const std::string page = page_of(study());
  EXPECT_THAT(page, testing::ContainsRegex("<circle class=\"tip\"[^>]*><title>standard, residual[^<]*: [0-9.]+ dB "
                                           "\\[[0-9.]+, [0-9.]+\\], n = 5 images × 2 seeds</title>"));
}

TEST(StudyPage, GivesTheSameBytesForTheSameInput) { EXPECT_EQ(page_of(study()), page_of(study())); }

TEST(StudyPage, TakesNullForEveryNumber) {
  Json result = study();
  std::function<void(Json&)> blank = [&](Json& json) {
    for (auto& [name, value] : json.items()) {
      if (name == "id" || name == "group" || name == "reference" || name == "image" || name == "seed" ||
          name == "images" || name == "seeds")
        continue;
      if (value.is_structured()) blank(value);
      if (value.is_number()) value = nullptr;
    }
  };
  blank(result);
  EXPECT_THAT(page_of(result), testing::AllOf(HasSubstr("no values"), Not(HasSubstr(">nan"))));
  EXPECT_THAT(csv_of(result), Not(HasSubstr("nan")));
  EXPECT_THAT(latex_of(result), HasSubstr(" & -- & "));
}

TEST(StudyPage, ItsKeyFigureIsTheMainContrast) {
  Json result = study();
  const auto key = [&] {
    const std::string page = page_of(result);
    const auto start = page.find("<div class=\"key-interval\">");
    return page.substr(start, page.find("</div>", start) - start);
  };
  EXPECT_THAT(key(), HasSubstr("epsilon 0.2, residual"));
  result["main_contrast"] = 5;
  EXPECT_THAT(key(), HasSubstr("epsilon 0.3, ig"));
  result["main_contrast"] = nullptr;
  EXPECT_THAT(page_of(result), Not(HasSubstr("<div class=\"key-interval\">")));
}

TEST(StudyPage, NamesNoTestThatWasNotMade) {
  Json result = study();
  for (const char* name : {"difference", "p_value", "p_holm", "effect"}) result["contrasts"][0][name] = nullptr;
  result["contrasts"][0]["test"] = "no pairs";
  EXPECT_THAT(section(page_of(result), "contrasts"), Not(HasSubstr("no pairs")));
}

TEST(StudyPage, LeavesOutWhatAStudyOfTrainingsDoesNotHave) {
  Json result = study();
  for (const char* list : {"groups", "contrasts", "controls", "cells", "gallery", "diagnoses"})
    result[list] = Json::array();
  result["published"] = nullptr;
  result["main_contrast"] = nullptr;
  const std::string page = page_of(result);
  for (const char* id : {"results", "contrasts", "controls", "pictures", "cells"})
    EXPECT_EQ(section(page, id), "") << id;
  EXPECT_THAT(section(page, "figures"), HasSubstr("Accuracy by epoch"));
  EXPECT_THAT(latex_of(result), HasSubstr("\\toprule"));
}

TEST(StudyPage, DrawsEveryCellByGroupWhereThereIsNoX) {
  Json result = study();
  EXPECT_THAT(section(page_of(result), "figures"), Not(HasSubstr("PSNR of every cell")));
  result["x"] = nullptr;
  const std::string figures = section(page_of(result), "figures");
  EXPECT_THAT(figures, HasSubstr("PSNR of every cell, by group"));
  EXPECT_THAT(figures, Not(HasSubstr("Mean PSNR by")));
}

TEST(StudyPage, ShowsTheFirst2000Cells) {
  Json result = study();
  const Json cell = result["cells"][0];
  while (result["cells"].size() < 2000) result["cells"].push_back(cell);
  EXPECT_THAT(page_of(result), Not(HasSubstr("The first ")));
  result["cells"].push_back(cell);
  result["cells"].back()["cell"] = "thelastofall";
  const std::string cells = section(page_of(result), "cells");
  EXPECT_THAT(cells, HasSubstr("The first 2,000 of 2,001 cells; results.csv has every image and every score."));
  EXPECT_THAT(cells, Not(HasSubstr("thelastofall")));
}

TEST(Csv, HasARowForEachCell) {
  const Json result = study();
  const std::string text = csv_of(result);
  EXPECT_EQ(occurrences(text, "\r\n"), result["cells"].size() + 1);
  EXPECT_THAT(
      text,
      testing::StartsWith(
          "cell,group,mode,epsilon,attack,seed,image,status,reason,psnr,gain,ssim,mse,fmse_logits,fmse_features,"
          "matching_loss,margin,gradient_norm,oracle_psnr,label,p_true,guess_psnr,restart,restarts,diagnoses\r\n"));
  const Json& cell = result["cells"][0];
  EXPECT_THAT(text,
              HasSubstr(fmt::format("\r\n{},\"standard, epsilon 0.1, residual\",standard,0.1,residual,0,5,ok,,{},",
                                    cell["cell"].get<std::string>(), cell["psnr"].get<double>())));
}

TEST(Csv, QuotesAndLeavesNullEmpty) {
  Json result = study();
  result["cells"] = Json::array({result["cells"][0]});
  result["cells"][0]["reason"] = "a \"b\",\nc";
  result["cells"][0]["psnr"] = nullptr;
  result["cells"][0]["diagnoses"] = {"one", "two"};
  const std::string text = csv_of(result);
  EXPECT_THAT(text, HasSubstr(",ok,\"a \"\"b\"\",\nc\",,"));
  EXPECT_THAT(text, HasSubstr(",one;two\r\n"));
}

TEST(Latex, HasARowForEachGroupWithIntervals) {
  Json result = study();
  result["groups"][0]["metrics"]["mse"]["mean"] = {{"value", 0.000013}, {"low", -0.5}, {"high", 0.5}};
  const std::string text = latex_of(result);
  EXPECT_EQ(occurrences(text, " \\\\\n"), result["groups"].size() + 1);
  EXPECT_THAT(text, HasSubstr("$1.30\\times10^{-5}$ {\\footnotesize$[-0.500, 0.500]$}"));
  EXPECT_THAT(text, HasSubstr("Group & PSNR (dB) & Gain (dB) & SSIM & MSE & FMSE, logits & FMSE, features"));
  EXPECT_THAT(text, HasSubstr("5 images and 2 seeds for each group. Intervals: 95 \\%, bootstrap over images, BCa.}"));
}

TEST(Latex, EscapesText) {
  Json result = study();
  result["title"] = "\\ { } $ & # % _ ~ ^ < >";
  EXPECT_THAT(
      latex_of(result),
      HasSubstr("\\caption{\\textbackslash{} \\{ \\} \\$ \\& \\# \\% \\_ \\textasciitilde{} \\textasciicircum{} "
                "\\textless{} \\textgreater{} Means"));
}

class StudyFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "pellucid-study-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    std::filesystem::copy(kStudy, folder_, std::filesystem::copy_options::recursive);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] auto event_files() const {
    return std::distance(std::filesystem::directory_iterator(folder_ / "events"),
                         std::filesystem::directory_iterator());
  }

  std::filesystem::path folder_;
};

TEST_F(StudyFolder, GetsPageTablesAndEvents) {
  EXPECT_EQ(write_report(folder_), folder_ / "report.html");
  EXPECT_EQ(core::read_text(folder_ / "report.html"), page_of(study()));
  EXPECT_EQ(core::read_text(folder_ / "results.csv"), csv_of(study()));
  EXPECT_EQ(core::read_text(folder_ / "table.tex"), latex_of(study()));
  const auto file = std::filesystem::directory_iterator(folder_ / "events")->path();
  EXPECT_THAT(core::read_text(file), HasSubstr("psnr/mean/standard, residual"));
}

TEST_F(StudyFolder, GetsItsEventsOnce) {
  write_report(folder_);
  write_report(folder_);
  EXPECT_EQ(event_files(), 1);
}

TEST(SideBySide, MatchesGroupsByTheirLevels) {
  const Json a = study();
  Json b = a;
  std::reverse(b["groups"].begin(), b["groups"].end());
  b["groups"].back()["metrics"]["psnr"]["mean"] = {{"value", 99}, {"low", 98}, {"high", 100}};
  b["config"]["images"] = 64;
  const auto tables = side_by_side({"a", a}, {"b", b});
  ASSERT_EQ(tables.size(), 3u);
  EXPECT_EQ(tables[0].rows[0], (std::vector<std::string>{"Group", "Metric", "A: a", "B: b"}));
  EXPECT_EQ(tables[0].rows[1][0], "standard, epsilon 0.1, residual");
  EXPECT_EQ(tables[0].rows[1][3], "99.00 [98.00, 100.00]");
  EXPECT_EQ(tables[0].rows[2][2], tables[0].rows[2][3]);
  EXPECT_EQ(tables[2].rows,
            (std::vector<std::vector<std::string>>{{"Setting", "A: a", "B: b"}, {"config.images", "5", "64"}}));
}

TEST(SideBySide, ShowsADashWhereOneRunHasNoSuchGroup) {
  const Json a = study();
  Json b = a;
  b["axes"][2]["levels"][1]["label"] = "other";
  for (Json& group : b["groups"]) {
    if (group["levels"]["attack"] == "ig") group["levels"]["attack"] = "other";
  }
  const auto rows = side_by_side({"a", a}, {"b", b})[0].rows;
  EXPECT_EQ(rows.size(), 1 + 6 * 6 + 2 * 6 * 6u);
  EXPECT_EQ(rows.back()[2], "–");
}

TEST(SideBySide, EscapesItsPage) {
  Json hostile = study();
  hostile["headline"] = hostile["title"] = hostile["groups"][0]["label"] = hostile["config"]["<script>"] = "<script>";
  const std::string page = render_side_by_side({"<script>", study()}, {"b", hostile});
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
}

}  // namespace
}  // namespace pellucid::report
