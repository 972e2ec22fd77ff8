#include "cli/items.h"

#include "pellucid/data/catalog.h"
#include "pellucid/evasion/lint.h"
#include "pellucid/gradients/benchmark.h"
#include "pellucid/gradients/metrics.h"
#include "pellucid/inversion/terms.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/sharing/mechanisms.h"

namespace pellucid::cli {
namespace {

std::string settings_of(core::Fields fields) {
  std::string text;
  for (const auto& field : fields)
    text += fmt::format("  {} = {}\n      {}\n", field.name, field.get().dump(), field.help);
  return text;
}

std::string mixed_error() {
  const auto error = gradients::measure_mixed();
  if (!error) return "This processor has no brain floats: mixed is computed in float32, and results say so.\n";
  return fmt::format(
      "Measured here, preact_resnet18, untrained: the gradient is {:.1e} off float32's, and points the same way to "
      "{:.5f} (the cosine of the two).\n",
      error->relative, error->cosine);
}

void add_nets(std::vector<Item>& items) {
  for (const auto& net : nets::zoo()) {
    const auto architecture = nets::build(nets::usual_spec(net.name));
    const auto& input = net.input;
    items.push_back(
        {"nets", net.name, net.summary,
         fmt::format(
             "Source: {}.\nOn {}x{}x{} images with {} outputs: {} parameters, {:.1f} million multiply-accumulates.\n"
             "{} layers.\n",
             net.source, input[0], input[1], input[2], net.outputs, nets::count_parameters(architecture),
             static_cast<double>(nets::count_macs(architecture)) / 1e6, architecture.layers.size())});
  }
}

void add_inversions(std::vector<Item>& items) {
  for (const auto& preset : inversion::presets()) {
    auto attack = preset.attack;
    items.push_back(
        {"attacks", preset.name, preset.summary,
         fmt::format(
             "Source: {}.\nReads an image back from the gradient that a client shares. It sees the network and the "
             "update, never "
             "the image.\nA good image is evidence of leakage; a bad one is not evidence of privacy.\n\nSettings:\n{}",
             preset.source, settings_of(inversion::fields(attack)))});
  }
}

void add_evasions(std::vector<Item>& items) {
  for (const auto& attack : evasion::attacks()) {
    evasion::AttackSettings settings;
    items.push_back(
        {"attacks", attack.name, attack.summary,
         fmt::format(
             "{}. Source: {}.\nMoves a test image within a small ball so that the model errs: see `pellucid evade "
             "--attacks`. "
             "Surviving it is an\nupper bound of robustness, not robustness: a stronger attack may exist.{}\n{}",
             attack.title, attack.source, attack.l2_only ? " For norm l2." : "",
             attack.fields(settings).empty() ? "" : "\nSettings:\n" + settings_of(attack.fields(settings)))});
  }
}

}  // namespace

std::vector<Item> all_items() {
  std::vector<Item> items;
  add_nets(items);
  add_inversions(items);
  add_evasions(items);
  for (const auto& found : data::list())
    items.push_back(
        {"data", found.name, found.summary, found.where.empty() ? found.fix + "\n" : "Found: " + found.where + "\n"});
  for (const auto& term : inversion::terms()) {
    items.push_back({"priors", term.name, term.summary,
                     fmt::format("Source: {}.\nA setting of every attack: --attack.{} X; 0 disables it.\n", term.source,
                                 term.name)});
  }
  for (const auto& mechanism : sharing::mechanisms()) {
    items.push_back(
        {"mechanisms", mechanism.name, mechanism.summary,
         fmt::format("Source: {}.\nWhat a client does to its update before it shares it: --mechanisms \"{}{}\" "
                     "of `capture`, client.mechanisms of a study{}.\n",
                     mechanism.source, mechanism.name, mechanism.value.empty() ? "" : " X",
                     mechanism.value.empty() ? "" : ", with X, the " + mechanism.value)});
  }
  for (const auto& m : gradients::metrics()) items.push_back({"metrics", m.key, m.summary, m.source + "\n"});
  items.push_back({"terms", "ig-residual",
                   "`ig` with functional = residual: another functional, and not another arithmetic",
                   "It matches the gradient of <r, logits>, with r, the derivative of the loss by the logits, read off "
                   "the update's last bias and "
                   "kept fixed, where `ig` matches that of the loss. It needs no label and descends on another "
                   "landscape: it gains also where "
                   "float32 rounds nothing. `pellucid invert --attack ig --attack.functional residual` runs it.\n"});
  items.push_back(
      {"terms", "at-equal-loss", "a study's difference where both descents end at the same matching loss",
       "The intercept of a line through the pairs' differences in PSNR over those in log10 of the matching loss. "
       "Within one budget "
       "one network's attack may come further than the other's; this takes that out. Called extrapolated where fewer "
       "than 30 pairs "
       "have losses within a factor of 2 of each other. The loss is an outcome too: it describes, it does not explain. "
       "See docs/studies.md.\n"});
  items.push_back({"terms", "oracle", "the restart chosen by its PSNR, with the truth in hand",
                   "No attacker can choose so: the attacker's choice is the restart with the lowest matching loss. The "
                   "difference between the two is "
                   "what a better rule of choice could gain.\n"});
  items.push_back({"terms", "mixed",
                   "precision: brain floats in every convolution of the matching engine but the forward sweep's",
                   "The forward sweep stays float32, so that no ReLU changes sides; what is left is a linear rounding "
                   "error of the gradient. "
                   "Float32 on a processor without AVX-512 brain floats. See docs/engine.md.\n",
                   mixed_error});
  std::string checks;
  for (const auto& [code, what] : evasion::lint_codes()) checks += fmt::format("  {:<24}{}\n", code, what);
  items.push_back({"terms", "findings", "what is wrong with a measurement of robustness",
                   "`pellucid evade` looks for these before it gives a figure:\n" + checks});
  items.push_back({"terms", "autoattack",
                   "APGD-CE, APGD-T, FAB-T and Square with their defaults; for each image the worst counts",
                   "Source: Croce and Hein 2020, arXiv:2003.01690.\n`pellucid evade --attacks "
                   "apgd-ce,apgd-t,fab-t,square` runs it. Any other set of "
                   "attacks or settings is called a worst case\nof what was run.\n"});
  return items;
}

}  // namespace pellucid::cli
