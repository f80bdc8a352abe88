# The Verilated core behind the Device interface.
target_sources(pianola_emulator PRIVATE
  build_rtl.cc
  rtl_device.cc
)
target_compile_definitions(pianola_emulator PRIVATE PIANOLA_RTL_DIR="${PROJECT_SOURCE_DIR}/rtl")
find_package(Threads REQUIRED)
target_link_libraries(pianola_emulator PUBLIC Threads::Threads ${CMAKE_DL_LIBS})
