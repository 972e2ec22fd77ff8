#include "pellucid/report/tidy.h"

#include "pellucid/core/events.h"
#include "pellucid/core/file.h"
#include "pellucid/report/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ctime>

namespace pellucid::report {
namespace {

// Whether a spreadsheet would compute the text.
bool is_formula(const std::string& text) {
  constexpr std::array<std::string_view, 11> kBegins = {"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"};
  if (std::none_of(kBegins.begin(), kBegins.end(), [&](std::string_view begin) { return text.starts_with(begin); }))
    return false;
  double number = 0;
  const char *begin = text.data() + (text.front() == '+' ? 1 : 0), *end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, number);
  return error != std::errc() || stop != end || !std::isfinite(number);
}

std::string quoted(std::string text) {
  if (is_formula(text)) text.insert(0, 1, '\'');
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string safe = "\"";
  for (const char c : text) safe += c == '"' ? "\"\"" : std::string(1, c);
  return safe + "\"";
}

std::string plain(Value value) { return value ? fmt::format("{}", *value) : ""; }

std::string line_of(const std::vector<std::string>& cells) { return fmt::format("{}\r\n", fmt::join(cells, ",")); }

// The text with each key of `pairs` replaced, the first that fits.
std::string replaced(std::string_view text, const std::vector<std::pair<std::string_view, std::string_view>>& pairs) {
  std::string result;
  while (!text.empty()) {
    const auto found =
        std::find_if(pairs.begin(), pairs.end(), [&](const auto& pair) { return text.starts_with(pair.first); });
    result += found == pairs.end() ? text.substr(0, 1) : found->second;
    text.remove_prefix(found == pairs.end() ? 1 : found->first.size());
  }
  return result;
}

// What stands for a character in LaTeX's text.
struct Symbol {
  std::string_view character, latex;
};

constexpr Symbol kSymbols[] = {
    {"\\", "\\textbackslash{}"},
    {"{", "\\{"},
    {"}", "\\}"},
    {"$", "\\$"},
    {"&", "\\&"},
    {"#", "\\#"},
    {"%", "\\%"},
    {"_", "\\_"},
    {"~", "\\textasciitilde{}"},
    {"^", "\\textasciicircum{}"},
    {"<", "\\textless{}"},
    {">", "\\textgreater{}"},
    {"|", "\\textbar{}"},
    {"\"", "''"},
    {"[", "{[}"},
    {"]", "{]}"},
    {"*", "{*}"},  // behind \\ and \midrule the last three would be its arguments
    // Greek, where it does not look like a Latin letter.
    {"α", "$\\alpha$"},
    {"β", "$\\beta$"},
    {"γ", "$\\gamma$"},
    {"δ", "$\\delta$"},
    {"ε", "$\\varepsilon$"},
    {"ϵ", "$\\epsilon$"},
    {"ζ", "$\\zeta$"},
    {"η", "$\\eta$"},
    {"θ", "$\\theta$"},
    {"ι", "$\\iota$"},
    {"κ", "$\\kappa$"},
    {"λ", "$\\lambda$"},
    {"μ", "$\\mu$"},
    {"µ", "$\\mu$"},
    {"ν", "$\\nu$"},
    {"ξ", "$\\xi$"},
    {"ο", "o"},
    {"π", "$\\pi$"},
    {"ρ", "$\\rho$"},
    {"σ", "$\\sigma$"},
    {"ς", "$\\varsigma$"},
    {"τ", "$\\tau$"},
    {"υ", "$\\upsilon$"},
    {"φ", "$\\varphi$"},
    {"ϕ", "$\\phi$"},
    {"χ", "$\\chi$"},
    {"ψ", "$\\psi$"},
    {"ω", "$\\omega$"},
    {"Γ", "$\\Gamma$"},
    {"Δ", "$\\Delta$"},
    {"Θ", "$\\Theta$"},
    {"Λ", "$\\Lambda$"},
    {"Ξ", "$\\Xi$"},
    {"Π", "$\\Pi$"},
    {"Σ", "$\\Sigma$"},
    {"Υ", "$\\Upsilon$"},
    {"Φ", "$\\Phi$"},
    {"Ψ", "$\\Psi$"},
    {"Ω", "$\\Omega$"},
    {"Α", "A"},
    {"Β", "B"},
    {"Ε", "E"},
    {"Ζ", "Z"},
    {"Η", "H"},
    {"Ι", "I"},
    {"Κ", "K"},
    {"Μ", "M"},
    {"Ν", "N"},
    {"Ο", "O"},
    {"Ρ", "P"},
    {"Τ", "T"},
    {"Χ", "X"},
    // Symbols of the field.
    {"×", "$\\times$"},
    {"±", "$\\pm$"},
    {"−", "$-$"},
    {"·", "$\\cdot$"},
    {"÷", "$\\div$"},
    {"≤", "$\\le$"},
    {"≥", "$\\ge$"},
    {"≠", "$\\ne$"},
    {"≈", "$\\approx$"},
    {"∞", "$\\infty$"},
    {"ℓ", "$\\ell$"},
    {"∈", "$\\in$"},
    {"∂", "$\\partial$"},
    {"∇", "$\\nabla$"},
    {"√", "$\\surd$"},
    {"→", "$\\to$"},
    {"←", "$\\gets$"},
    {"↑", "$\\uparrow$"},
    {"↓", "$\\downarrow$"},
    {"°", "$^\\circ$"},
    {"²", "$^2$"},
    {"³", "$^3$"},
    {"¹", "$^1$"},
    {"⁰", "$^0$"},
    {"⁴", "$^4$"},
    {"⁵", "$^5$"},
    {"⁶", "$^6$"},
    {"⁷", "$^7$"},
    {"⁸", "$^8$"},
    {"⁹", "$^9$"},
    {"⁻", "$^-$"},
    {"½", "1/2"},
    {"¼", "1/4"},
    {"¾", "3/4"},
    {"–", "--"},
    {"—", "---"},
    {"…", "\\ldots{}"},
    {"‘", "`"},
    {"’", "'"},
    {"“", "``"},
    {"”", "''"},
    {"„", ",,"},
    {"«", "<<"},
    {"»", ">>"},
    {"€", "EUR"},
    {"£", "\\pounds{}"},
    {"§", "\\S{}"},
    {"©", "(c)"},
    {"\u00a0", "~"},
    {"\u2009", "\\,"},
    {"\u202f", "\\,"},
    {"\u2011", "-"},
    {"\u00ad", ""},
    {"\u200b", ""},
    {"\ufeff", ""},
    // Latin letters that are no letter with an accent.
    {"ß", "\\ss{}"},
    {"æ", "\\ae{}"},
    {"Æ", "\\AE{}"},
    {"œ", "\\oe{}"},
    {"Œ", "\\OE{}"},
    {"ø", "\\o{}"},
    {"Ø", "\\O{}"},
    {"å", "\\aa{}"},
    {"Å", "\\AA{}"},
    {"ł", "\\l{}"},
    {"Ł", "\\L{}"},
    {"ı", "\\i{}"},
    {"í", "\\'{\\i}"},
    {"ì", "\\`{\\i}"},
    {"î", "\\^{\\i}"},
    {"ï", "\\\"{\\i}"},
};

// The letters that an accent of LaTeX makes, each behind the one below it.
struct Accent {
  char command;
  std::u32string_view letters;  // "á" "a" ...
};
constexpr Accent kAccents[] = {
    {'\'', U"áaÁAéeÉEÍIóoÓOúuÚUýyÝYćcĆCńnŃNśsŚSźzŹZ"},
    {'`', U"àaÀAèeÈEÌIòoÒOùuÙU"},
    {'^', U"âaÂAêeÊEÎIôoÔOûuÛU"},
    {'"', U"äaÄAëeËEÏIöoÖOüuÜUÿyŸY"},
    {'~', U"ãaÃAñnÑNõoÕO"},
    {'c', U"çcÇCşsŞS"},
    {'v', U"čcČCďdĎDěeĚEňnŇNřrŘRšsŠSťtŤTžzŽZ"},
    {'=', U"āaĀAēeĒEīiĪIōoŌOūuŪU"},
    {'.', U"żzŻZėeĖEİI"},
    {'u', U"ăaĂAğgĞG"},
    {'H', U"őoŐOűuŰU"},
};

std::string accented(char32_t character) {
  for (const auto& [command, letters] : kAccents) {
    for (std::size_t i = 0; i < letters.size(); i += 2) {
      if (letters[i] == character) return fmt::format("\\{}{{{}}}", command, static_cast<char>(letters[i + 1]));
    }
  }
  return "";
}

// The character at the front of UTF-8 text and its bytes. The text is a JSON string's: it is well formed.
std::pair<char32_t, std::size_t> front(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const std::size_t size = byte(0) < 0x80 ? 1 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : 4;
  if (size == 1 || text.size() < size) return {byte(0), 1};
  char32_t character = byte(0) & (0x7FU >> size);
  for (std::size_t i = 1; i < size; ++i) character = (character << 6) | (byte(i) & 0x3F);
  return {character, size};
}

// A number of format.h in math mode: "1.30×10⁻⁵" is $1.30\times10^{-5}$.
std::string latex_number(const std::string& text) {
  const auto power = text.find("×10");
  std::string number = replaced(text.substr(0, power), {{"−", "-"}, {"–", "\\text{--}"}});
  if (power != std::string::npos) {
    number += "\\times10^{" +
              replaced(std::string_view(text).substr(power + 4), {{"⁻", "-"},
                                                                  {"⁰", "0"},
                                                                  {"¹", "1"},
                                                                  {"²", "2"},
                                                                  {"³", "3"},
                                                                  {"⁴", "4"},
                                                                  {"⁵", "5"},
                                                                  {"⁶", "6"},
                                                                  {"⁷", "7"},
                                                                  {"⁸", "8"},
                                                                  {"⁹", "9"}}) +
              "}";
  }
  return number;
}

std::string latex_estimate(const Interval& value, const std::string& unit) {
  if (!value.value) return "--";
  auto number = [&](Value v) { return latex_number(metric(v, unit)); };
  const std::string text = fmt::format("${}$", number(value.value));
  if (!value.low || !value.high) return text;
  return fmt::format("{} {{\\footnotesize$[{}, {}]$}}", text, number(value.low), number(value.high));
}

// Seconds since 1970 of "2026-01-31T12:00:00Z"; 0 of what is no such date.
std::int64_t seconds_of(const std::string& date) {
  std::tm utc{};
  const char* end = ::strptime(date.c_str(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return end != nullptr && *end == '\0' ? std::max<std::int64_t>(::timegm(&utc), 0) : 0;
}

// "64" or "32 to 64": what the groups have of something.
std::string range_of(const Study& study, const char* field) {
  std::vector<std::int64_t> counts;
  for (const StudyGroup& group : study.groups) counts.push_back(group.node[field].whole());
  if (counts.empty()) return "0";
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  return *least == *most ? fmt::format("{}", *least) : fmt::format("{} to {}", *least, *most);
}

}  // namespace

std::string latex_text(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const auto [character, size] = front(text);
    const auto* symbol = std::find_if(std::begin(kSymbols), std::end(kSymbols),
                                      [&](const Symbol& s) { return text.starts_with(s.character); });
    if (symbol != std::end(kSymbols)) {
      result += symbol->latex;
    } else if (character < 0x20 || character == 0x7F) {
      result += ' ';
    } else if (character < 0x7F) {
      result += static_cast<char>(character);
    } else if (const auto letter = accented(character); !letter.empty()) {
      result += letter;
    } else {
      result += fmt::format("{{[}}U+{:04X}{{]}}", static_cast<std::uint32_t>(character));
    }
    text.remove_prefix(size);
  }
  return result;
}

std::string csv(const Study& study) {
  std::vector<std::string> names = {"cell", "group"};
  for (const StudyAxis& axis : study.axes) names.push_back(quoted(axis.name));
  names.insert(names.end(), {"seed", quoted(study.item), "status", "reason"});
  for (const StudyMetric& metric : study.metrics) names.push_back(quoted(metric.key));
  for (const StudyColumn& column : study.columns) names.push_back(quoted(column.key));
  names.push_back("diagnoses");
  std::string text = line_of(names);
  for (const Node& cell : study.cells) {
    const StudyGroup& group = study.groups[study.group(cell["group"])];
    std::vector<std::string> values = {quoted(cell["cell"].text()), quoted(group.label())};
    for (std::size_t axis = 0; axis < study.axes.size(); ++axis)
      values.push_back(quoted(study.axes[axis].levels[group.levels[axis]].label));
    for (const char* name : {"seed", "image"}) values.push_back(plain(cell[name].number()));
    for (const char* name : {"status", "reason"}) values.push_back(quoted(cell[name].text()));
    for (const StudyMetric& metric : study.metrics) values.push_back(plain(cell[metric.key].number()));
    for (const StudyColumn& column : study.columns) values.push_back(plain(cell[column.key].number()));
    std::vector<std::string> diagnoses;
    for (const Node& diagnosis : cell["diagnoses"].items()) diagnoses.push_back(diagnosis.text());
    values.push_back(quoted(fmt::format("{}", fmt::join(diagnoses, ";"))));
    text += line_of(values);
  }
  return text;
}

std::string latex(const Study& study) {
  const std::vector<StudyMetric> metrics = main_metrics(study);
  std::string head = "Group", body;
  std::vector<std::string> caption = {study.root["title"].text(), "Means and, in brackets, their intervals;",
                                      range_of(study, "images"),  study.item + "s and",
                                      range_of(study, "seeds"),   "seeds for each group."};
  for (const StudyMetric& metric : metrics) {
    head += " & " + latex_text(metric.unit.empty() ? metric.label : fmt::format("{} ({})", metric.label, metric.unit));
  }
  for (const StudyGroup& group : study.groups) {
    body += latex_text(group.label());
    for (const StudyMetric& metric : metrics) body += " & " + latex_estimate(mean(group, metric), metric.unit);
    body += " \\\\\n";
  }
  for (const Node& convention : study.root["conventions"].items()) {
    if (convention.text().find("nterval") != std::string::npos) caption.push_back(convention.text());
  }
  return fmt::format(R"(% Needs \usepackage{{amsmath, booktabs}}.
\begin{{table}}
\centering
\caption{{{}}}
\begin{{tabular}}{{l{}}}
\toprule
{} \\
\midrule
{}\bottomrule
\end{{tabular}}
\end{{table}}
)",
                     latex_text(fmt::format("{}", fmt::join(caption, " "))), std::string(metrics.size(), 'r'), head,
                     body);
}

std::optional<Output> event_file(const Study& study, const std::filesystem::path& folder) {
  if (!study.x) return {};
  std::vector<core::EventPoint> points;
  for (const StudyMetric& metric : study.metrics) {
    for (const StudyGroup& group : study.groups) {
      const Value value = mean(group, metric).value;
      const std::string tag = fmt::format("{}/mean/{}", metric.key, label_without(study, group, {study.x}));
      if (value) points.push_back({tag, static_cast<std::int64_t>(group.levels[*study.x]), *value});
    }
  }
  const auto seconds = seconds_of(study.root["environment"]["date"].text());
  Output file{.path = {}, .content = core::event_file(points, static_cast<double>(seconds))};
  file.path =
      folder / fmt::format("events.out.tfevents.{}.{}.pellucid", seconds, core::sha256(file.content).substr(0, 16));
  return file;
}

void remove_other_events(const std::filesystem::path& folder, const std::filesystem::path& kept) {
  std::error_code none;
  std::vector<std::filesystem::path> others;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with("events.out.tfevents.") && name.ends_with(".pellucid") && entry.path() != kept)
      others.push_back(entry.path());
  }
  for (const auto& other : others) std::filesystem::remove(other, none);
}

}  // namespace pellucid::report
