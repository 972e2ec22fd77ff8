#include "pellucid/evasion/attacks.h"

#include "pellucid/core/error.h"
#include "pellucid/evasion/standing.h"

#include <algorithm>

namespace pellucid::evasion {
namespace {

Tensor run_pgd_t(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                 const AttackSettings& s) {
  const Tensor targets = likely_targets(
      [&] {
        const torch::NoGradGuard no_gradient;
        return model(images);
      }(),
      labels, s.targets);
  return attack_standing(model, images, labels, ids, targets.size(1), [&](std::int64_t k, const Standing& standing) {
    const Tensor noise = start_noise(s.seed, fmt::format("pgd-t start {}", k), standing.ids, images.sizes().slice(1))
                             .to(images.options());
    return pgd(model, standing.images, towards(targets.select(1, k).index({standing.which})), s.pgd, noise);
  });
}

// PGD's own parameters; those of the ball have names of their own.
core::Fields steps_of_pgd(AttackSettings& s) {
  core::Fields list = fields(s.pgd);
  std::erase_if(list, [](const core::Field& field) { return field.name == "epsilon" || field.name == "norm"; });
  return list;
}

const std::vector<std::string> kAutoAttack = {"apgd-ce", "apgd-t", "fab-t", "square"};

bool has_defaults(const Attack& attack, AttackSettings settings) {
  AttackSettings defaults;
  return core::to_json(attack.fields(settings)) == core::to_json(attack.fields(defaults));
}

}  // namespace

core::Fields pgd_fields(AttackSettings& s) {
  core::Fields list = fields(s.pgd);
  list.push_back(core::field("restarts", s.restarts, "random starts of PGD, in one batch", 1, 10000));
  list.push_back(
      core::field("targets", s.targets, "wrong classes that targeted PGD aims at, the likeliest first", 1, 1000));
  return list;
}

const std::vector<Attack>& attacks() {
  static const std::vector<Attack> list = {
      {.name = "fgsm",
       .title = "FGSM",
       .summary = "one gradient step to the ball's surface",
       .source = "Goodfellow et al. 2015, arXiv:1412.6572",
       .fields = [](AttackSettings&) { return core::Fields{}; },
       .run = [](const Model& model, const Tensor& images, const Tensor& labels, const Tensor&,
                 const AttackSettings& s) { return fgsm(model, images, cross_entropy(labels), s.ball()); }},
      {.name = "mi-fgsm",
       .title = "MI-FGSM",
       .summary = "gradient steps along a momentum",
       .source = "Dong et al. 2018, arXiv:1710.06081",
       .fields = [](AttackSettings& s) { return fields(s.mi_fgsm); },
       .run =
           [](const Model& model, const Tensor& images, const Tensor& labels, const Tensor&, const AttackSettings& s) {
             return mi_fgsm(model, images, cross_entropy(labels), s.ball(), s.mi_fgsm);
           }},
      {.name = "pgd",
       .title = "PGD",
       .summary = "projected gradient ascent on the cross-entropy, from random starts",
       .source = "Madry et al. 2018, arXiv:1706.06083; with one iteration and a random start, Wong et al. 2020",
       .fields =
           [](AttackSettings& s) {
             core::Fields own = steps_of_pgd(s);
             own.push_back(core::field("restarts", s.restarts, "random starts, in one batch", 1, 10000));
             return own;
           },
       .run =
           [](const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
              const AttackSettings& s) { return pgd_restarts(model, images, labels, ids, s.pgd, s.restarts, s.seed); }},
      {.name = "pgd-t",
       .title = "targeted PGD",
       .summary = "projected gradient ascent towards the likeliest wrong classes, one after the other",
       .source = "Madry et al. 2018, arXiv:1706.06083, with targets as in Croce and Hein 2020",
       .fields =
           [](AttackSettings& s) {
             core::Fields own = steps_of_pgd(s);
             own.push_back(core::field("targets", s.targets, "wrong classes aimed at, the likeliest first", 1, 1000));
             return own;
           },
       .run = run_pgd_t},
      {.name = "apgd-ce",
       .title = "APGD-CE",
       .summary = "Auto-PGD on the cross-entropy: the step size follows from how the ascent goes",
       .source = "Croce and Hein 2020, arXiv:2003.01690, algorithm 1",
       .fields = [](AttackSettings& s) { return fields(s.apgd_ce); },
       .run = [](const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                 const AttackSettings& s) { return apgd_ce(model, images, labels, ids, s.ball(), s.apgd_ce, s.seed); }},
      {.name = "apgd-t",
       .title = "APGD-T",
       .summary = "Auto-PGD on the targeted difference of logits ratio, towards the likeliest wrong classes",
       .source = "Croce and Hein 2020, arXiv:2003.01690, equation 7",
       .least_classes = 4,
       .fields = [](AttackSettings& s) { return fields(s.apgd_t); },
       .run = [](const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                 const AttackSettings& s) { return apgd_t(model, images, labels, ids, s.ball(), s.apgd_t, s.seed); }},
      {.name = "fab-t",
       .title = "FAB-T",
       .summary = "the nearest image across the linearised border to each of the likeliest wrong classes",
       .source = "Croce and Hein 2020, arXiv:1907.02044, targeted as in AutoAttack",
       .fields = [](AttackSettings& s) { return fields(s.fab_t); },
       .run = [](const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                 const AttackSettings& s) { return fab_t(model, images, labels, ids, s.ball(), s.fab_t); }},
      {.name = "square",
       .title = "Square",
       .summary = "random search with squares; it sees answers only, so masked gradients do not stop it",
       .source = "Andriushchenko et al. 2020, arXiv:1912.00049",
       .fields = [](AttackSettings& s) { return fields(s.square); },
       .run = [](const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                 const AttackSettings& s) { return square(model, images, labels, ids, s.ball(), s.square, s.seed); }},
      {.name = "cw",
       .title = "C&W",
       .summary = "the nearest image in L2, by Adam, with the weight of the error searched for each image",
       .source = "Carlini and Wagner 2017, arXiv:1608.04644",
       .l2_only = true,
       .fields = [](AttackSettings& s) { return fields(s.cw); },
       .run =
           [](const Model& model, const Tensor& images, const Tensor& labels, const Tensor&, const AttackSettings& s) {
             return inside_or_image(cw(model, images, labels, s.cw), images, s.ball());
           }},
  };
  return list;
}

std::vector<std::string> attack_names() {
  std::vector<std::string> names;
  for (const auto& attack : attacks()) names.push_back(attack.name);
  return names;
}

const Attack& find_attack(const std::string& name) {
  const auto found =
      std::find_if(attacks().begin(), attacks().end(), [&](const Attack& attack) { return attack.name == name; });
  if (found != attacks().end()) return *found;
  throw core::Error(core::ErrorKind::kUsage, "attacks: got \"{}\", expected {}{}", name,
                    core::join_choices(attack_names()), core::suggestion(name, attack_names()));
}

std::vector<std::string> applicable(const std::vector<std::string>& names, std::int64_t classes) {
  std::vector<std::string> list;
  for (const auto& name : names) {
    if (classes >= find_attack(name).least_classes) list.push_back(name);
  }
  if (list.empty()) {
    throw core::Error(
        core::ErrorKind::kUsage,
        "attacks: got {} for a model of {} classes, expected one that so few allow: apgd-t needs 4, the others 2",
        fmt::join(names, ","), classes);
  }
  return list;
}

std::string describe(const Attack& attack, const AttackSettings& settings) {
  AttackSettings s = settings;
  if (attack.name == "pgd") return describe(s.pgd) + (s.restarts > 1 ? fmt::format(", {} restarts", s.restarts) : "");
  std::string text = fmt::format("{}, {}, eps {}", attack.title, to_string(s.pgd.norm), s.pgd.epsilon.typed);
  AttackSettings defaults;
  const core::Json usual = core::to_json(attack.fields(defaults));
  for (const auto& field : attack.fields(s)) {
    if (field.get() != usual.at(field.name)) text += fmt::format(", {} {}", field.name, field.get().dump());
  }
  return text;
}

core::Json determinants(const Attack& attack, const AttackSettings& settings) {
  AttackSettings s = settings;
  return {{"attack", attack.name},
          {"norm", norm_field(s.pgd.norm).get()},
          {"epsilon", s.pgd.epsilon.typed},
          {"settings", core::to_json(attack.fields(s))},
          {"seed", s.seed}};
}

std::string ensemble_name(const std::vector<std::string>& names, const AttackSettings& settings) {
  const auto listed = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const bool all_four = std::all_of(kAutoAttack.begin(), kAutoAttack.end(), [&](const std::string& name) {
    return listed(name) && has_defaults(find_attack(name), settings);
  });
  std::vector<std::string> titles;
  for (const auto& name : names) {
    const bool part = all_four && std::find(kAutoAttack.begin(), kAutoAttack.end(), name) != kAutoAttack.end();
    if (!part) titles.push_back(find_attack(name).title);
  }
  if (all_four && titles.empty()) return "AutoAttack";
  if (all_four) titles.push_back("AutoAttack");
  std::string text = titles.front();
  for (std::size_t i = 1; i < titles.size(); ++i) text += (i + 1 == titles.size() ? " and " : ", ") + titles[i];
  return "worst case of " + text;
}

}  // namespace pellucid::evasion
