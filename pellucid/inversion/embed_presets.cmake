# cmake -D FOLDER=presets -D SOURCE=out.cc -P embed_presets.cmake: the attacks of presets/*.toml as C++ strings, by
# name.
file(GLOB files "${FOLDER}/*.toml")
list(SORT files)
set(rows "")
foreach(file IN LISTS files)
  get_filename_component(name "${file}" NAME_WE)
  file(READ "${file}" text)
  string(APPEND rows "    {\"${name}\", R\"embedded(${text})embedded\"},\n")
endforeach()
file(WRITE "${SOURCE}" "#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pellucid::inversion {
std::vector<std::pair<std::string, std::string_view>> embedded_presets() {
  return {
${rows}  };
}
}  // namespace pellucid::inversion
")
