// The picture that says it: what was sent, and what an observer of its gradient reads back from each model.
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/report/format.h"
#include "pellucid/report/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace pellucid::report {
namespace {

constexpr std::array<std::uint8_t, 8> kPngSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::uint64_t kLargestImage = 64 << 20;

// A result from elsewhere must not make the page carry files that are none of the run's.
core::Bytes read_png(const Node& file, const std::filesystem::path& folder) {
  const std::filesystem::path name = file.text();
  if (name.is_absolute() || std::find(name.begin(), name.end(), "..") != name.end()) {
    file.fail("a file inside the run folder");
  }
  core::Bytes content;
  try {
    content = core::read_file(folder / name, kLargestImage);
  } catch (const core::Error& error) {
    file.fail(fmt::format("an image file that can be read ({})", error.what()));
  }
  if (content.size() < kPngSignature.size() ||
      !std::equal(kPngSignature.begin(), kPngSignature.end(), content.begin())) {
    file.fail("a PNG file");
  }
  return content;
}

std::string picture(const Node& file, const std::filesystem::path& folder, const std::string& alt) {
  return fmt::format(R"(<img alt="{}" src="data:image/png;base64,{}">)", alt, core::base64(read_png(file, folder)));
}

std::string reconstruction_picture(const Node* node, const std::filesystem::path& folder, const std::string& subject) {
  if (node == nullptr) return missing_picture("not run");
  const Node& found = *node;
  if (found["file"].is_null()) return missing_picture(status_text(found["status"]));
  std::string image =
      picture(found["file"], folder, fmt::format("{}, PSNR {} dB", subject, decimals(found["psnr"].number(), 1)));
  if (found["status"].text() != "ok") image += "<span class=\"badge\">" + status_text(found["status"]) + "</span>";
  return image;
}

std::string reconstruction_figure(const Comparison& c, std::size_t model, const Node* node,
                                  const std::string& subject) {
  const std::string label = c.models[model]["label"].html();
  return fmt::format(
      R"(<figure class="{}"><div class="frame">{}</div>
<figcaption><span class="name"><i class="swatch"></i>{}</span>{}</figcaption></figure>
)",
      series_class(model), reconstruction_picture(node, c.folder, subject + " as read back from " + label), label,
      node == nullptr ? "" : scores((*node)["psnr"].number(), (*node)["ssim"].number()));
}

// Why something failed, what the diagnosis is and what to beware of, one entry each.
std::vector<std::string> notes(const Node& model, const Node& reconstruction) {
  std::vector<std::string> texts;
  const std::string reason = reconstruction["reason"].html();
  if (reconstruction["status"].text() != "ok") texts.push_back(status_text(reconstruction["status"]) + ": " + reason);
  for (const char* kind : {"warnings", "diagnosis"}) {
    for (const Node& note : reconstruction[kind].items()) texts.push_back(note.html());
  }
  for (std::string& text : texts) text = "<li><b>" + model["label"].html() + "</b> " + text + "</li>";
  return texts;
}

std::string cell(const Comparison& c, const Node& attack, const Node& image) {
  const std::int64_t index = image["index"].whole();
  const std::string subject = fmt::format("Image {} ({})", index, image["class"].html());
  std::string figures = fmt::format(
      R"(<figure><div class="frame">{}</div><figcaption><span class="name">Original</span></figcaption></figure>
)",
      picture(image["original"], c.folder, subject + ", original"));
  std::vector<std::string> all_notes;
  for (std::size_t m = 0; m < c.models.size(); ++m) {
    const Node* node = find(c.reconstructions, attack["id"].text(), c.models[m]["id"].text(), index);
    figures += reconstruction_figure(c, m, node, subject);
    if (node == nullptr) continue;
    for (std::string& note : notes(c.models[m], *node)) all_notes.push_back(std::move(note));
  }
  std::string folded;
  if (!all_notes.empty()) {
    folded = fmt::format("<details class=\"notes\"><summary>{} {}</summary><ul>{}</ul></details>\n", all_notes.size(),
                         all_notes.size() == 1 ? "note" : "notes", fmt::join(all_notes, "\n"));
  }
  return fmt::format(R"(<article class="cell"><h4>Image {} <span class="muted">class {}</span></h4>
<div class="strip" style="--columns:{}">
{}</div>
{}</article>
)",
                     index, image["class"].html(), c.models.size() + 1, figures, folded);
}

}  // namespace

std::string gallery_section(const Comparison& c) {
  return R"(<p class="lede">Each strip: the image whose gradient was shared, and what the attack made of that
gradient for each model.</p>
)" + attack_tabs(c, "pictures", [&](std::size_t index) {
           const Node& attack = c.attacks[index];
           std::string cells;
           for (const Node& image : c.images) cells += cell(c, attack, image);
           return "<p>" + attack["description"].html() + "</p>\n<div class=\"gallery\">\n" + cells + "</div>\n";
         });
}

}  // namespace pellucid::report
