# Cell counts of the units and of a whole core, against formulas in their parameters.
find_program(YOSYS yosys)
find_package(Python3 COMPONENTS Interpreter)
if(NOT YOSYS OR NOT Python3_FOUND)
  return()
endif()

# pianola_count_cells(target suffix units...): tests named Synthesis.CountsCells<suffix>.<unit>.
function(pianola_count_cells target suffix)
  foreach(unit ${ARGN})
    set(test Synthesis.CountsCells${suffix}.${unit})
    add_test(NAME ${test}
      COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/rtl/synth/synthesize.py
        $<TARGET_FILE:pianola_target_package> ${PROJECT_SOURCE_DIR}/rtl/synth/${target}.toml
        ${PROJECT_SOURCE_DIR}/rtl ${CMAKE_CURRENT_BINARY_DIR}/synth ${unit})
    set_tests_properties(${test} PROPERTIES LABELS yosys TIMEOUT 1800)
  endforeach()
endfunction()

# The longest first.
pianola_count_cells(core4 "" core vxm_chain send_port mxm mem_slice sxm stream_position sequencer
  recv_port port_fifo instruction_fifo freeze_pipeline dispatcher fp_special fp_add fp_mul fp_minmax
  fp_convert fp_round)
# A second point: 8 lanes, every stage of the VXM.
pianola_count_cells(core8 With8Lanes vxm_chain mxm sxm)
