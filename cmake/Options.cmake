# Compiler options that every target of ours shares.
find_program(CCACHE ccache)
if(CCACHE)
  # Clones share the cache wherever they lie (GCC's; clang's precompiled header names its place).
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

add_library(pellucid_options INTERFACE)
target_compile_features(pellucid_options INTERFACE cxx_std_20)
foreach(option -Wall -Wextra -Wpedantic -Wshadow -Werror=return-type)
  target_compile_options(pellucid_options INTERFACE $<BUILD_INTERFACE:${option}>)
endforeach()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Lets ccache see into the precompiled header.
  target_compile_options(pellucid_options INTERFACE $<BUILD_INTERFACE:-fpch-preprocess>)
endif()
target_include_directories(pellucid_options INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                                      $<INSTALL_INTERFACE:include>)
if(PELLUCID_SANITIZE)
  target_compile_options(pellucid_options INTERFACE -fsanitize=${PELLUCID_SANITIZE} -fno-omit-frame-pointer
                                                    -fno-sanitize-recover=undefined)
  target_link_options(pellucid_options INTERFACE -fsanitize=${PELLUCID_SANITIZE})
endif()
