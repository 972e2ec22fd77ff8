// Every attack on a trained model, in one list, and the settings of them all.
#pragma once

#include "pellucid/evasion/apgd.h"
#include "pellucid/evasion/cw.h"
#include "pellucid/evasion/fab.h"
#include "pellucid/evasion/fgsm.h"
#include "pellucid/evasion/pgd.h"
#include "pellucid/evasion/square.h"

namespace pellucid::evasion {

/// The ball, and what each attack is run with. The ball is the one that PGD's options name.
struct AttackSettings {
  PgdOptions pgd;
  std::int64_t restarts = 1;  ///< PGD's random starts
  std::int64_t targets = 9;   ///< classes that targeted PGD aims at
  MiFgsmOptions mi_fgsm;
  CwOptions cw;
  ApgdOptions apgd_ce;
  TargetedApgdOptions apgd_t;
  FabOptions fab_t;
  SquareOptions square;
  std::uint64_t seed = 0;

  [[nodiscard]] Ball ball() const { return pgd.ball(); }
};

/// The fields of PGD: the ball's, and those of its steps, starts and targets.
[[nodiscard]] core::Fields pgd_fields(AttackSettings& settings);

struct Attack {
  std::string name;     ///< as typed: "apgd-ce"
  std::string title;    ///< as shown: "APGD-CE"
  std::string summary;  ///< one line
  std::string source;
  bool l2_only = false;
  std::int64_t least_classes = 2;  ///< a model of fewer has nothing to be moved to
  /// Its own parameters: those that do not concern the ball.
  std::function<core::Fields(AttackSettings&)> fields;
  /// Points near the images, (B, C, H, W). The labels and the images' numbers, ids, are (B) int64. An image's point
  /// depends on the image, its label, the settings, and its number as the index of `core::Stream`.
  std::function<Tensor(const Model&, const Tensor& images, const Tensor& labels, const Tensor& ids,
                       const AttackSettings&)>
      run;
};

/// Cheap attacks first.
[[nodiscard]] const std::vector<Attack>& attacks();
[[nodiscard]] std::vector<std::string> attack_names();

/// @throws Error(kUsage) if there is none of that name, naming the nearest.
[[nodiscard]] const Attack& find_attack(const std::string& name);

/// Those of the named attacks that can be run on a model of so many classes.
/// @throws Error(kUsage) if there are none, or a name is unknown.
[[nodiscard]] std::vector<std::string> applicable(const std::vector<std::string>& names, std::int64_t classes);

/// "Square, L-inf, eps 0.3, queries 100": title, ball, and its own parameters where they are not the defaults.
[[nodiscard]] std::string describe(const Attack& attack, const AttackSettings& settings);

/// What determines the points of an attack besides model and images: its name, its parameters, the ball and the seed.
[[nodiscard]] core::Json determinants(const Attack& attack, const AttackSettings& settings);

/// "AutoAttack" if the attacks hold APGD-CE, APGD-T, FAB-T and Square, each with its defaults; "worst case of PGD and
/// Square" and the like otherwise.
[[nodiscard]] std::string ensemble_name(const std::vector<std::string>& names, const AttackSettings& settings);

}  // namespace pellucid::evasion
