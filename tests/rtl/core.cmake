# Programs played on the whole Verilated core, which build_rtl builds into the cache.
pianola_add_test(core_test units ${CMAKE_CURRENT_LIST_DIR}/core_test.cc
  LIBRARIES pianola_emulator)

# The same core as the counts below, in the form they count.
pianola_add_test(synthesis_form_test models ${CMAKE_CURRENT_LIST_DIR}/synthesis_form_test.cc
  LIBRARIES pianola_program_tests)
target_compile_definitions(synthesis_form_test PRIVATE
  PIANOLA_CORE4="${PROJECT_SOURCE_DIR}/rtl/synth/core4.toml")
include(yosys.cmake)
