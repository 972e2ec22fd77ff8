// The charts: how far each image was read back, how the attack got there, and how the models were trained.
#include "pellucid/report/format.h"
#include "pellucid/report/sections.h"
#include "pellucid/report/svg_chart.h"

#include <fmt/format.h>

namespace pellucid::report {
namespace {

std::string image_name(std::int64_t index) { return fmt::format("image {}", index); }

// The lists of a curve run side by side.
std::vector<Value> along(const Node& curve, const std::string& x, const std::string& y) {
  std::vector<Value> values = curve[y].numbers();
  const std::size_t expected = curve[x].numbers().size();
  if (values.size() != expected) curve[y].fail(fmt::format("as many values as {} has: {}", x, expected));
  return values;
}

std::vector<LegendEntry> model_legend(const Comparison& c) {
  std::vector<LegendEntry> legend;
  for (std::size_t m = 0; m < c.models.size(); ++m) legend.push_back({c.models[m]["label"].text(), series_class(m)});
  return legend;
}

std::string psnr_chart(const Comparison& c, std::size_t attack) {
  const std::string id = c.attacks[attack]["id"].text();
  DotChart chart{
      .frame = {.id = fmt::format("psnr-{}", attack),
                .title = "PSNR of every image, by model",
                .description = "One dot an image; a line joins the same image. Large marks: the mean and its "
                               "interval.",
                .x_label = "",
                .y_label = "PSNR (dB)",
                .legend = {}},
      .unit = "dB",
      .groups = {},
      .subjects = {}};
  for (std::size_t m = 0; m < c.models.size(); ++m) {
    const Node* node = find(c.summaries, id, c.models[m]["id"].text(), "psnr");
    chart.groups.push_back(
        {c.models[m]["label"].text(), series_class(m), node ? interval((*node)["mean"]) : Interval{}});
  }
  for (const Node& image : c.images) {
    const std::int64_t index = image["index"].whole();
    DotChart::Subject subject{.label = image_name(index), .values = {}};
    for (const Node& model : c.models) {
      const Node* node = find(c.reconstructions, id, model["id"].text(), index);
      subject.values.push_back(node ? (*node)["psnr"].number() : Value());
    }
    chart.subjects.push_back(std::move(subject));
  }
  return dot_chart(chart);
}

std::string matching_loss_chart(const Comparison& c, std::size_t attack) {
  LineChart chart{
      .frame = {.id = fmt::format("matching-loss-{}", attack),
                .title = "Matching loss while the attack runs",
                .description = "One line an image. A low loss means that the gradient is matched, not that the "
                               "image is.",
                .x_label = "iteration",
                .y_label = "matching loss (log scale)",
                .legend = model_legend(c)},
      .logarithmic = true,
      .lines = {}};
  for (const Node& image : c.images) {
    const std::int64_t index = image["index"].whole();
    for (std::size_t m = 0; m < c.models.size(); ++m) {
      const Node* node = find(c.reconstructions, c.attacks[attack]["id"].text(), c.models[m]["id"].text(), index);
      if (node == nullptr || !node->has("curve")) continue;
      const Node curve = (*node)["curve"];
      chart.lines.push_back({image_name(index) + ", " + c.models[m]["label"].text(), series_class(m) + " many",
                             curve["iteration"].numbers(), along(curve, "iteration", "matching_loss")});
    }
  }
  return line_chart(chart);
}

// One line a model for each of the named lists of its training curve.
struct TrainingLine {
  std::string field, label, style;
};

std::string training_chart(const Comparison& c, ChartFrame frame, const std::vector<TrainingLine>& kinds) {
  LineChart chart{.frame = std::move(frame), .logarithmic = false, .lines = {}};
  for (std::size_t m = 0; m < c.models.size(); ++m) {
    if (!c.models[m].has("curve")) continue;
    const Node curve = c.models[m]["curve"];
    for (const TrainingLine& kind : kinds) {
      const std::string label = c.models[m]["label"].text() + ", " + kind.label;
      const std::string style = series_class(m) + kind.style;
      chart.frame.legend.push_back({label, style});
      chart.lines.push_back({label, style, curve["epoch"].numbers(), along(curve, "epoch", kind.field)});
    }
  }
  return line_chart(chart);
}

std::string training_charts(const Comparison& c) {
  bool any = false;
  for (const Node& model : c.models) any = any || model.has("curve");
  if (!any) return "";
  return "<h3>Training</h3>\n<div class=\"charts\">\n" +
         training_chart(c,
                        {.id = "accuracy",
                         .title = "Accuracy by epoch",
                         .description = "Clean: test images as they are. Attacked: the same images under the evasion "
                                        "attack.",
                         .x_label = "epoch",
                         .y_label = "accuracy",
                         .legend = {}},
                        {{"natural", "clean", ""}, {"robust", "attacked", " dashed"}}) +
         training_chart(c,
                        {.id = "train-loss",
                         .title = "Training loss by epoch",
                         .description = "The loss that each model was trained on: the two need not be comparable.",
                         .x_label = "epoch",
                         .y_label = "training loss",
                         .legend = {}},
                        {{"train_loss", "training loss", ""}}) +
         "</div>\n";
}

}  // namespace

std::string figures_section(const Comparison& c) {
  return attack_tabs(c, "figures",
                     [&](std::size_t attack) {
                       return "<div class=\"charts\">\n" + psnr_chart(c, attack) + matching_loss_chart(c, attack) +
                              "</div>\n";
                     }) +
         training_charts(c);
}

}  // namespace pellucid::report
