# Programs played on the whole Verilated core, which build_rtl builds into the cache.
pianola_add_test(core_test units ${CMAKE_CURRENT_LIST_DIR}/core_test.cc
  LIBRARIES pianola_emulator)

# Cell counts of the units, against formulas in their parameters.
find_program(YOSYS yosys)
find_package(Python3 COMPONENTS Interpreter)
if(YOSYS AND Python3_FOUND)
  foreach(unit dispatcher freeze_pipeline port_fifo stream_position sequencer mem_slice recv_port
      send_port)
    add_test(NAME Synthesis.CountsCells.${unit}
      COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/rtl/synth/synthesize.py
        ${PROJECT_SOURCE_DIR}/rtl ${CMAKE_CURRENT_BINARY_DIR}/synth ${unit})
    set_tests_properties(Synthesis.CountsCells.${unit} PROPERTIES LABELS yosys TIMEOUT 1800)
  endforeach()
endif()
