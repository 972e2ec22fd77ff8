# cmake -D FILE=in -D NAME=kName -D SOURCE=out.cc -P embed.cmake: a text file as the C++ string pellucid::report::kName.
file(READ "${FILE}" text)
file(WRITE "${SOURCE}" "#include \"pellucid/report/embedded.h\"

namespace pellucid::report {
const std::string_view ${NAME} = R\"embedded(${text})embedded\";
}  // namespace pellucid::report
")
