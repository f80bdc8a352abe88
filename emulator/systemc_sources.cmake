# The SystemC platform. Only systemc_platform.cc includes SystemC; Debian's library is built as C++17
# and checks that its users say so. Without the library the executor refuses to load.
find_path(SYSTEMC_INCLUDE_DIR systemc)
find_library(SYSTEMC_LIBRARY systemc)
target_sources(pianola_emulator PRIVATE
  memory_ways.cc
  port_timing.cc
  segment_walker.cc
  systemc_device.cc
)
if(SYSTEMC_INCLUDE_DIR AND SYSTEMC_LIBRARY)
  target_sources(pianola_emulator PRIVATE systemc_platform.cc)
  set_source_files_properties(systemc_platform.cc PROPERTIES
    COMPILE_DEFINITIONS "SC_CPLUSPLUS=201703L")
  target_link_libraries(pianola_emulator PRIVATE ${SYSTEMC_LIBRARY})
  # Programs that never play on the platform do without the library, which wants an sc_main.
  target_link_options(pianola_emulator INTERFACE LINKER:--as-needed)
else()
  target_sources(pianola_emulator PRIVATE systemc_missing.cc)
endif()
