// The files that CMake turned into strings (see CMakeLists.txt).
#pragma once

#include <string_view>

namespace pellucid::report {

extern const std::string_view kReportCss;  ///< report.css
extern const std::string_view kGuideHtml;  ///< guide.html: "How to read this"

}  // namespace pellucid::report
