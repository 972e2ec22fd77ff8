#include "pellucid/inversion/attack.h"

#include "pellucid/inversion/terms.h"

#include "tests/core/expect_error.h"

namespace pellucid::inversion {
namespace {

TEST(Presets, HoldThePublishedAttack) {
  const Attack& ig = preset("ig").attack;
  EXPECT_EQ(ig.functional, Functional::kLoss);
  EXPECT_EQ(ig.objective, Objective::kCosine);
  EXPECT_EQ(ig.iterations, 4800);
  EXPECT_EQ(ig.restarts, 1);
  EXPECT_EQ(ig.terms.at("tv"), 1e-4);
  EXPECT_EQ(ig.learning_rate, 0.1);
  EXPECT_EQ(ig.sign, Sign::kHard);
  EXPECT_TRUE(ig.box);
  EXPECT_EQ(ig.decay, Decay::kStep);
  EXPECT_EQ(ig.features, 0);
  EXPECT_EQ(ig.terms.at("l1"), 0);
  EXPECT_EQ(ig.start, "normal");
  EXPECT_EQ(ig.keep, Keep::kLast);
}

core::Json settings_of(Attack attack) { return core::to_json(fields(attack)); }

TEST(Presets, BeginWithTheDefault) {
  EXPECT_EQ(presets().front().name, "residual");
  EXPECT_EQ(settings_of(presets().front().attack), settings_of(Attack{}));
}

TEST(Presets, NameTheNearestToAnUnknownOne) {
  core::expect_error([] { (void)preset("residul"); }, core::ErrorKind::kUsage, "(did you mean residual?)");
}

TEST(Presets, AreTextsWithASummaryAndASource) {
  const Preset read = parse_preset("mine", "summary = 's'\nsource = 'p'\n[attack]\nrestarts = 3\nl1 = 0.5\n");
  EXPECT_EQ(read.name + read.summary + read.source, "minesp");
  EXPECT_EQ(read.attack.restarts, 3);
  EXPECT_EQ(read.attack.terms.at("l1"), 0.5);
  EXPECT_EQ(read.attack.iterations, Attack{}.iterations);
  const auto refused = [](const char* text, const char* why) {
    core::expect_error([&] { (void)parse_preset("mine", text); }, core::ErrorKind::kUsage, why);
  };
  refused("summary = 's'", "presets/mine.toml: got no summary or no source");
  refused("summary = 's'\nsource = 'p'\n[attack]\nrestart = 3", "restarts");
  refused("summary = 's'\nsource = 'p'\nrestarts = 3", "presets/mine.toml");
  refused("summary = 's'\nsource = 'p'\n[attack]\nstart = 'gray'",
          "expected normal, uniform, grey, zero, mean or patterned");
}

TEST(Attack, ComesBackFromItsJson) {
  Attack from{.solver = "analytic",
              .threat_model = "C",
              .functional = Functional::kLoss,
              .objective = Objective::kCosine,
              .layers = Layers::kLinear,
              .mechanisms = Mechanisms::kKnown,
              .features = 2,
              .labels = "idlg",
              .terms = {},
              .prior = "a.safetensors",
              .iterations = 7,
              .restarts = 3,
              .start = "zero",
              .optimiser = "sgd",
              .learning_rate = 0.25,
              .decay = Decay::kNone,
              .warm_up = 5,
              .langevin = 0.5,
              .sign = Sign::kSoft,
              .box = false,
              .keep = Keep::kLast,
              .method = Method::kDoubleBackward,
              .precision = Precision::kFloat64,
              .seed = 9};
  for (const auto& term : terms()) from.terms[term.name] = 0.125;
  Attack to;
  core::assign(fields(to), settings_of(from), "test");
  EXPECT_EQ(settings_of(to), settings_of(from));
  const core::Json changed = settings_of(from), defaults = settings_of({});
  for (const auto& [key, value] : defaults.items()) EXPECT_NE(changed.at(key), value) << key << " is not tried";
}

TEST(Attack, KeepsItsFieldsWhereItIsAssigned) {
  for (const auto& preset : presets()) {
    Attack attack;
    const auto list = fields(attack);
    attack = preset.attack;
    EXPECT_EQ(core::to_json(list), settings_of(preset.attack)) << preset.name;
    attack.terms = {};
    core::assign(list, {{"tv", 0.5}}, "test");
    EXPECT_EQ(attack.terms.at("tv"), 0.5);
  }
}

TEST(Attack, KeepsItsNameWhereLaterSettingsAreOff) {
  Attack attack;
  std::vector<std::string> keys;
  const auto before = determinants(attack);
  for (const auto& [key, value] : before.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"solver", "functional", "objective", "features", "labels", "iterations",
                                            "restarts", "tv", "l1", "learning_rate", "decay", "optimiser", "sign",
                                            "box", "start", "keep", "method", "precision", "seed"}));
  EXPECT_EQ(before.at("sign"), true);
  attack.terms["l2"] = 1;
  EXPECT_EQ(determinants(attack).at("l2"), 1);
}

}  // namespace
}  // namespace pellucid::inversion
