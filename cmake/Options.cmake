# Compiler options that every target of ours shares.
find_program(CCACHE ccache)
if(CCACHE)
  # Clones share the cache wherever they lie (GCC's; clang's precompiled header names its place).
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

add_library(pellucid_options INTERFACE)
target_compile_options(pellucid_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Werror=return-type)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(pellucid_options INTERFACE -fpch-preprocess)  # lets ccache see into the precompiled header
endif()
target_include_directories(pellucid_options INTERFACE ${PROJECT_SOURCE_DIR})
if(PELLUCID_SANITIZE)
  target_compile_options(pellucid_options INTERFACE -fsanitize=${PELLUCID_SANITIZE} -fno-omit-frame-pointer
                                                    -fno-sanitize-recover=undefined)
  target_link_options(pellucid_options INTERFACE -fsanitize=${PELLUCID_SANITIZE})
endif()
