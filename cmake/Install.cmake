# `cmake --install build`: the program, what it finds beside itself (studies, models), and the library as a CMake
# package: find_package(Pellucid), then link pellucid::gradients or any other layer.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Pellucid)
set(share_dir ${CMAKE_INSTALL_DATADIR}/pellucid)

install(TARGETS pellucid_cli pellucid_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/studies ${PROJECT_SOURCE_DIR}/models DESTINATION ${share_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/pellucid DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

get_property(layers GLOBAL PROPERTY PELLUCID_LAYERS)
foreach(target IN LISTS layers ITEMS pellucid_options pellucid_libtorch pellucid_dnnl pellucid_sodium
        pellucid_events)
  string(REPLACE "pellucid_" "" short ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${short})
  install(TARGETS ${target} EXPORT PellucidTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/pellucid)
endforeach()
install(EXPORT PellucidTargets NAMESPACE pellucid:: DESTINATION ${package_dir})
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/PellucidConfig.cmake.in ${PROJECT_BINARY_DIR}/PellucidConfig.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/PellucidConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/PellucidConfig.cmake ${PROJECT_BINARY_DIR}/PellucidConfigVersion.cmake
        DESTINATION ${package_dir})
