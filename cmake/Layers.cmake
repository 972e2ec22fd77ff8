# A layer is one folder of pellucid/, one namespace and one static library.
#
#   pellucid_layer(NAME [TORCH] SOURCES file... [LAYERS layer...] [LIBRARIES target...])
#
# LAYERS are the layers it may include; tools/check_layers holds the sources to that list.
# TORCH: the layer uses libtorch (and the precompiled header core/torch.h).
function(pellucid_layer name)
  cmake_parse_arguments(arg "TORCH" "" "SOURCES;LAYERS;LIBRARIES" ${ARGN})
  add_library(pellucid_${name} STATIC ${arg_SOURCES})
  add_library(pellucid::${name} ALIAS pellucid_${name})
  set_property(GLOBAL APPEND PROPERTY PELLUCID_LAYERS pellucid_${name})
  list(TRANSFORM arg_LAYERS PREPEND pellucid::)
  target_link_libraries(pellucid_${name} PUBLIC ${arg_LAYERS} ${arg_LIBRARIES} pellucid_options)
  if(arg_TORCH)
    target_link_libraries(pellucid_${name} PUBLIC pellucid_libtorch)
    pellucid_torch_header(pellucid_${name})
  endif()
endfunction()

# Gives a target the precompiled header: libtorch costs seconds a file without it.
function(pellucid_torch_header target)
  if(target STREQUAL pellucid_tensor)
    target_precompile_headers(${target} PRIVATE ${PROJECT_SOURCE_DIR}/pellucid/core/torch.h)
  else()
    target_precompile_headers(${target} REUSE_FROM pellucid_tensor)
  endif()
endfunction()
