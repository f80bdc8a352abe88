# Programs played on the whole Verilated core, which build_rtl builds into the cache.
pianola_add_test(core_test units ${CMAKE_CURRENT_LIST_DIR}/core_test.cc
  LIBRARIES pianola_emulator)

# Cell counts of the units and of a whole 4-lane core, against formulas in their parameters.
find_program(YOSYS yosys)
find_package(Python3 COMPONENTS Interpreter)
if(YOSYS AND Python3_FOUND)
  set(core4_package ${CMAKE_CURRENT_BINARY_DIR}/core4_pkg.sv)
  add_custom_command(OUTPUT ${core4_package}
    COMMAND pianola_target_package ${PROJECT_SOURCE_DIR}/rtl/synth/core4.toml > ${core4_package}
    DEPENDS pianola_target_package ${PROJECT_SOURCE_DIR}/rtl/synth/core4.toml VERBATIM)
  add_custom_target(core4_package ALL DEPENDS ${core4_package})
  add_test(NAME Synthesis.CountsCells
    COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/rtl/synth/synthesize.py
      ${PROJECT_SOURCE_DIR}/rtl ${core4_package} ${CMAKE_CURRENT_BINARY_DIR}/synth)
  set_tests_properties(Synthesis.CountsCells PROPERTIES LABELS yosys TIMEOUT 1800)
endif()
