#include "pellucid/report/html.h"

#include "pellucid/core/file.h"
#include "pellucid/report/format.h"

#include "fixture.h"
#include <gmock/gmock.h>

#include <set>

namespace pellucid::report {
namespace {

using core::Json;
using testing::HasSubstr;
using testing::Not;

std::string refusal_of_html(const Json& result) {
  return data_error([&] { (void)render(result, kFixture); });
}

// Calls `visit` with the key and the value of every text in the document that is for a reader.
void for_each_text(Json& json, const std::string& key, const std::function<void(std::string&)>& visit) {
  static const std::set<std::string> kNotForReaders = {"schema", "id",       "model",  "metric", "better",
                                                       "status", "original", "reason", "file"};
  if (json.is_structured()) {
    for (auto& [name, value] : json.items()) {
      const bool id_of_an_attack = name == "attack" && json.contains("model");
      const bool paired_attack = name == "attack" && json.contains("test");
      if (id_of_an_attack || paired_attack || kNotForReaders.contains(name)) continue;
      for_each_text(value, json.is_object() ? name : key, visit);
    }
  } else if (json.is_string()) {
    visit(json.get_ref<std::string&>());
  }
}

// The first reconstruction with that status.
Json& with_status(Json& result, const std::string& status) {
  for (Json& node : result["reconstructions"]) {
    if (node["status"] == status) return node;
  }
  throw std::logic_error("the fixture has no such status");
}

TEST(Render, ShowsEveryTextOfTheResult) {
  Json result = fixture();
  const std::string page = render(result, kFixture);
  int texts = 0;
  for_each_text(result, "", [&](std::string& text) {
    EXPECT_THAT(page, HasSubstr(escape(text)));
    ++texts;
  });
  EXPECT_GT(texts, 50);
  EXPECT_THAT(page, HasSubstr(escape(with_status(result, "diverged")["reason"].get<std::string>())));
  EXPECT_THAT(page, HasSubstr("checkpoints/adversarial.safetensors"));
}

TEST(Render, ShowsEveryNumberOfTheResult) {
  const Json result = fixture();
  const std::string page = render(result, kFixture);
  auto number = [](const Json& json) { return json.is_null() ? Value() : json.get<double>(); };
  for (const Json& node : result["reconstructions"]) {
    for (const char* name : {"mse", "fmse_logits", "fmse_features", "matching_loss", "gradient_norm"}) {
      EXPECT_THAT(page, HasSubstr(fmt::format(">{}</td>", significant(number(node[name])))));
    }
    for (const char* name : {"psnr", "oracle_psnr", "margin"}) {
      EXPECT_THAT(page, HasSubstr(fmt::format(">{}</td>", decimals(number(node[name]), 2))));
    }
    EXPECT_THAT(page, HasSubstr(fmt::format(">{}</td>", decimals(number(node["ssim"]), 3))));
    EXPECT_THAT(page, HasSubstr(fmt::format(">{}</td>", escape(probability(number(node["p_true"]))))));
    if (node["status"] != "ok") continue;
    EXPECT_THAT(page, HasSubstr(fmt::format("<b>{}</b> dB", decimals(number(node["psnr"]), 1))));
    EXPECT_THAT(page, HasSubstr(fmt::format("SSIM <b>{}</b>", decimals(number(node["ssim"]), 2))));
  }
  auto estimate = [&](const Json& json) {
    return Interval{number(json["value"]), number(json["low"]), number(json["high"])};
  };
  for (const Json& node : result["summaries"]) {
    const std::string unit = node["unit"];
    auto format = [&](Value value) { return metric(value, unit); };
    for (const char* name : {"mean", "median"}) {
      EXPECT_THAT(page, HasSubstr(fmt::format("<b>{}</b>", format(estimate(node[name]).value))));
      EXPECT_THAT(page, HasSubstr(bounds(estimate(node[name]), format)));
    }
    for (const char* name : {"min", "max"})
      EXPECT_THAT(page, HasSubstr(fmt::format("<td>{}</td>", format(number(node[name])))));
  }
  for (const Json& node : result["paired"]) {
    auto format = [&](Value value) { return signed_metric(value, node["unit"].get<std::string>()); };
    EXPECT_THAT(page, HasSubstr(fmt::format("<b>{}</b>", format(estimate(node["difference"]).value))));
    EXPECT_THAT(page, HasSubstr(bounds(estimate(node["difference"]), format)));
    EXPECT_THAT(page, HasSubstr(fmt::format("p {}", escape(p_value(number(node["p_value"]))))));
  }
  for (const Json& model : result["models"]) {
    EXPECT_THAT(page, HasSubstr(count(number(model["parameters"])) + " parameters"));
    for (const char* name : {"natural", "robust"}) {
      EXPECT_THAT(page, HasSubstr(percent(estimate(model[name]).value)));
      EXPECT_THAT(page, HasSubstr(bounds(estimate(model[name]), percent)));
    }
  }
}

TEST(Render, NamesEveryMissingField) {
  const Json result = fixture();
  auto expect_needed = [&](const Json::json_pointer& object, const std::string& field, const std::string& path) {
    Json without = result;
    without[object].erase(field);
    EXPECT_EQ(refusal_of_html(without),
              (kFixture / "result.json").string() + ": " + path + ": got no such field, expected one");
  };
  for (const auto& [name, value] : result.items()) expect_needed(Json::json_pointer(), name, "$." + name);
  for (const char* list : {"models", "attacks", "images", "reconstructions", "summaries", "paired"}) {
    for (const auto& [name, value] : result[list][0].items()) {
      if (name == "curve" || (name == "label" && std::string(list) == "images")) continue;
      expect_needed(Json::json_pointer(std::string("/") + list + "/0"), name, "$." + std::string(list) + "[0]." + name);
    }
  }
}

TEST(Render, EscapesHostileTextEverywhere) {
  Json result = fixture();
  for_each_text(result, "", [](std::string& text) { text = "\"'><script>alert(1)</script><img src=x>"; });
  with_status(result, "diverged")["reason"] = "<script>";
  with_status(result, "ok")["status"] = "<script>";
  for (Json& model : result["models"]) model["file"] = "<script>";
  const std::string page = render(result, kFixture);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<img src=x")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)"));
}

TEST(Render, ForbidsThePageToLoadOrRunAnything) {
  const std::string page = render(fixture(), kFixture);
  EXPECT_THAT(page, HasSubstr("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:;"));
  EXPECT_THAT(page, Not(HasSubstr("script-src")));
  EXPECT_THAT(page, Not(HasSubstr("<link")));
  EXPECT_THAT(page, Not(HasSubstr("url(")));
  EXPECT_THAT(page, Not(HasSubstr("src=\"http")));
}

TEST(Render, InlinesTheBytesOfEachImage) {
  const Json result = fixture();
  const std::string page = render(result, kFixture);
  for (const Json& image : result["images"]) {
    EXPECT_THAT(page, HasSubstr(core::base64(core::read_file(kFixture / image["original"].get<std::string>()))));
  }
  for (const Json& node : result["reconstructions"]) {
    if (node["file"].is_null()) continue;
    EXPECT_THAT(page, HasSubstr(core::base64(core::read_file(kFixture / node["file"].get<std::string>()))));
  }
}

TEST(Render, GivesTheSameBytesForTheSameInput) { EXPECT_EQ(render(fixture(), kFixture), render(fixture(), kFixture)); }

TEST(Render, PutsTheStatusWhereNoImageCameOut) {
  Json result = fixture();
  with_status(result, "diverged")["status"] = "not_applicable";
  EXPECT_THAT(render(result, kFixture), HasSubstr("<div class=\"missing\"><span>not applicable</span></div>"));
}

TEST(Render, MarksAnImageThatCameOutOfAFailedRun) {
  Json result = fixture();
  with_status(result, "ok")["status"] = "out_of_budget";
  EXPECT_THAT(render(result, kFixture), HasSubstr("<span class=\"badge\">out of budget</span>"));
}

TEST(Render, SaysWhereAReconstructionWasNotRun) {
  Json result = fixture();
  EXPECT_THAT(render(result, kFixture), Not(HasSubstr("not run")));
  result["reconstructions"].erase(0);
  EXPECT_THAT(render(result, kFixture), HasSubstr("<div class=\"missing\"><span>not run</span></div>"));
}

TEST(Render, TakesNullForEveryNumber) {
  Json result = fixture();
  std::function<void(Json&)> blank = [&](Json& json) {
    for (auto& [name, value] : json.items()) {
      if (name == "index" || name == "image") continue;
      if (value.is_structured()) blank(value);
      if (value.is_number()) value = nullptr;
    }
  };
  blank(result);
  const std::string page = render(result, kFixture);
  EXPECT_THAT(page, HasSubstr("no values"));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
}

TEST(Render, LeavesOutWhatTheResultDoesNotHave) {
  Json result = fixture();
  for (Json& model : result["models"]) {
    model.erase("curve");
    model["robust"] = nullptr;
  }
  result["warnings"] = Json::array();
  result["paired"] = Json::array();
  const std::string page = render(result, kFixture);
  EXPECT_THAT(page, Not(HasSubstr("Accuracy by epoch")));
  EXPECT_THAT(page, Not(HasSubstr("<aside")));
  EXPECT_THAT(page, Not(HasSubstr("key-interval\">")));
}

TEST(Render, NeedsNoTabsForOneAttack) {
  Json result = fixture();
  EXPECT_THAT(render(result, kFixture), HasSubstr("type=\"radio\""));
  result["attacks"].erase(1);
  for (const char* list : {"reconstructions", "summaries", "paired"}) {
    Json kept = Json::array();
    for (const Json& node : result[list]) {
      if (node["attack"] == "residual") kept.push_back(node);
    }
    result[list] = kept;
  }
  EXPECT_THAT(render(result, kFixture), Not(HasSubstr("type=\"radio\"")));
}

TEST(Render, RefusesACurveOfUnequalLists) {
  Json result = fixture();
  result["models"][1]["curve"]["robust"].push_back(0.5);
  EXPECT_THAT(refusal_of_html(result), HasSubstr("$.models[1].curve.robust: got"));
}

TEST(Render, RefusesAnUnknownDirection) {
  Json result = fixture();
  result["summaries"][0]["better"] = "sideways";
  EXPECT_THAT(refusal_of_html(result), HasSubstr("$.summaries[0].better: got \"sideways\", expected \"higher\" or \"lower\""));
}

TEST(Render, RefusesAMissingImageFile) {
  Json result = fixture();
  result["images"][2]["original"] = "images/none.png";
  EXPECT_THAT(refusal_of_html(result),
              HasSubstr("$.images[2].original: got \"images/none.png\", expected an image file that can be read"));
}

TEST(Render, RefusesAnImageOutsideTheRunFolder) {
  for (const std::string& path :
       {std::string("../fixture/images/0000-original.png"), (kFixture / "images/0000-original.png").string()}) {
    Json result = fixture();
    result["images"][0]["original"] = path;
    EXPECT_THAT(refusal_of_html(result), HasSubstr("expected a file inside the run folder"));
  }
}

TEST(Render, RefusesAnImageThatIsNoPng) {
  Json result = fixture();
  result["reconstructions"][0]["file"] = "result.json";
  EXPECT_THAT(refusal_of_html(result), HasSubstr("$.reconstructions[0].file: got \"result.json\", expected a PNG file"));
}

class WriteReport : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "pellucid-report-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST_F(WriteReport, WritesThePageBesideTheResult) {
  std::filesystem::copy(kFixture, folder_, std::filesystem::copy_options::recursive);
  EXPECT_EQ(write_report(folder_), folder_ / "report.html");
  EXPECT_EQ(core::read_text(folder_ / "report.html"), render(fixture(), kFixture));
}

TEST_F(WriteReport, RefusesAFolderWithoutResult) {
  EXPECT_EQ(data_error([&] { write_report(folder_); }),
            (folder_ / "result.json").string() + ": got no such file, expected the result of a finished run");
}

TEST_F(WriteReport, RefusesADamagedResult) {
  core::write_file(folder_ / "result.json", "{\"schema\": ");
  EXPECT_THAT(data_error([&] { write_report(folder_); }), HasSubstr("result.json: not JSON"));
}

TEST_F(WriteReport, SaysThatThePageCannotBeWritten) {
  std::filesystem::copy(kFixture, folder_, std::filesystem::copy_options::recursive);
  std::filesystem::create_directory(folder_ / "report.html");
  try {
    write_report(folder_);
    FAIL() << "nothing was thrown";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::kIo);
  }
}

}  // namespace
}  // namespace pellucid::report
