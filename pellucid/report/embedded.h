// The files that CMake turned into strings (see CMakeLists.txt).
#pragma once

#include <string_view>

namespace pellucid::report {

extern const std::string_view kReportCss;  ///< report.css
extern const std::string_view kGuideHtml;  ///< guide.html: "How to read this"
extern const std::string_view kStudyJs;    ///< study.js: draws a study's charts
extern const std::string_view kChartJs;    ///< Chart.js, as the distribution packages it

}  // namespace pellucid::report
