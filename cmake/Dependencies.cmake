# Every library we stand on, found once. All are packages of the distribution: see tools/setup.
find_package(Torch REQUIRED)
if(PELLUCID_CUDA AND NOT TARGET torch_cuda)
  message(FATAL_ERROR "PELLUCID_CUDA: got a libtorch without CUDA in ${Torch_DIR}, expected one with it; name its "
                      "folder in $CMAKE_PREFIX_PATH: "
                      "$(python3 -c 'import torch; print(torch.utils.cmake_prefix_path)')")
endif()
find_package(Boost REQUIRED)  # Boost.Math and Boost.Multiprecision, headers alone
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_path(TOMLPLUSPLUS toml++/toml.h REQUIRED)  # the header alone: its library would be built with other assertions
find_path(KISSFFT kissfft/kissfft.hh REQUIRED)  # the header alone: in double precision there is no library
find_package(CLI11 REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(LibArchive REQUIRED)
find_package(CURL REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto SSL)
find_package(Protobuf REQUIRED)
find_package(Threads REQUIRED)

# PyTorch's wheels export the std::filesystem of an older libstdc++, whose remove_all calls null. The system's libstdc++
# stands before them, and it is the shared one: an archive would give only what is missing by then, and layers stand
# after libtorch, too.
find_library(LIBSTDCXX NAMES libstdc++.so.6
             PATHS /usr/lib/${CMAKE_SYSTEM_PROCESSOR}-linux-gnu /lib/${CMAKE_SYSTEM_PROCESSOR}-linux-gnu)
if(NOT LIBSTDCXX)
  set(LIBSTDCXX stdc++)
endif()

# libtorch's own headers warn; we do not.
add_library(pellucid_libtorch INTERFACE)
target_link_libraries(pellucid_libtorch INTERFACE ${LIBSTDCXX} ${TORCH_LIBRARIES})
target_include_directories(pellucid_libtorch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
separate_arguments(TORCH_FLAGS UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(pellucid_libtorch INTERFACE ${TORCH_FLAGS})

# oneDNN, the one that libtorch itself uses. Debian's own CMake file asks for OpenCL, which neither of us needs.
find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(pellucid_dnnl INTERFACE)
target_link_libraries(pellucid_dnnl INTERFACE ${DNNL_LIBRARY})
target_include_directories(pellucid_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})

# libsodium: it has no CMake file of its own.
find_path(SODIUM_INCLUDE_DIR sodium.h REQUIRED)
find_library(SODIUM_LIBRARY sodium REQUIRED)
add_library(pellucid_sodium INTERFACE)
target_link_libraries(pellucid_sodium INTERFACE ${SODIUM_LIBRARY})
target_include_directories(pellucid_sodium SYSTEM INTERFACE ${SODIUM_INCLUDE_DIR})
