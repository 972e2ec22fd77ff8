#include "pellucid/record/reading.h"

#include "pellucid/record/metric.h"

#include <gtest/gtest.h>

namespace pellucid::record {
namespace {

using core::Json;

Reading whole() {
  return {.status = Status::kDiverged,
          .reason = "the loss",
          .scores = {{"psnr", 1.5}, {"mse", 1e-300}},
          .diagnoses = {{"few-bits", "A sentence."}},
          .picture = "iVBOR",
          .more = {{"label", 3}}};
}

TEST(Reading, ComesBackFromJson) {
  const auto back = reading(to_json(whole()));
  ASSERT_TRUE(back);
  EXPECT_EQ(to_json(*back), to_json(whole()));
  EXPECT_EQ(back->status, Status::kDiverged);
  EXPECT_EQ(back->score("mse"), 1e-300);
  EXPECT_EQ(back->score("ssim"), std::nullopt);
  EXPECT_EQ(to_json(*reading(to_json(Reading{}))), to_json(Reading{}));
}

TEST(Reading, EveryStatusHasAName) {
  for (const auto status : {Status::kOk, Status::kDiverged, Status::kNotApplicable, Status::kFailed}) {
    EXPECT_EQ(reading(to_json(Reading{.status = status}))->status, status);
  }
}

TEST(Reading, IsNothingElse) {
  for (const Json& other : {Json(), Json(5), Json("text"), Json::array(), Json::object(), Json{{"status", "ok"}}})
    EXPECT_FALSE(reading(other)) << other;
  for (const char* key : {"status", "reason", "scores", "diagnoses", "picture", "more"}) {
    Json json = to_json(whole());
    json[key] = 5;
    EXPECT_FALSE(reading(json)) << key;
    json.erase(key);
    EXPECT_FALSE(reading(json)) << key;
    json["another"] = json["status"];
    EXPECT_FALSE(reading(json)) << key;
  }
  const auto with = [](const char* key, Json value) {
    Json json = to_json(whole());
    json[key] = std::move(value);
    return reading(json).has_value();
  };
  EXPECT_FALSE(with("status", "fine"));
  EXPECT_FALSE(with("scores", {{"psnr", "1.5"}}));
  EXPECT_FALSE(with("scores", {{"psnr", nullptr}}));
  EXPECT_FALSE(with("diagnoses", Json::array({"few-bits"})));
  EXPECT_FALSE(with("diagnoses", Json::array({{{"code", "few-bits"}}})));
  EXPECT_TRUE(with("scores", {{"psnr", 2}}));
}

TEST(Control, SaysNothingWhereThereIsNothing) {
  const Json json = to_json(Control{.kind = "guess", .attack = "", .value = 12.5, .sentence = "S."});
  EXPECT_EQ(json, (Json{{"kind", "guess"},
                        {"attack", ""},
                        {"value", 12.5},
                        {"threshold", nullptr},
                        {"passed", nullptr},
                        {"n", nullptr},
                        {"sentence", "S."}}));
  EXPECT_EQ(to_json(Control{.passed = false})["passed"], false);
}

TEST(Metric, IsTextWithItsDigitsAndUnit) {
  EXPECT_EQ(to_text(Metric{.unit = "dB", .digits = 1}, 24.06), "24.1 dB");
  EXPECT_EQ(to_text(Metric{.unit = "dB", .digits = 1}, 2, true), "+2.0 dB");
  EXPECT_EQ(to_text(Metric{}, 0.00012345), "0.000123");
  EXPECT_EQ(to_text(Metric{}, -0.5, true), "-0.5");
}

}  // namespace
}  // namespace pellucid::record
