# Cell counts of the units and of whole cores, against formulas in their parameters and against what the
# part of a target has.
find_program(YOSYS yosys)
find_package(Python3 COMPONENTS Interpreter)
if(NOT YOSYS OR NOT Python3_FOUND)
  return()
endif()

# pianola_count_cells(target suffix units...): tests named Synthesis.CountsCells<suffix>.<unit>; after
# a unit a colon and the only part.
function(pianola_count_cells target suffix)
  foreach(unit ${ARGN})
    set(test Synthesis.CountsCells${suffix}.${unit})
    string(REPLACE ":" "." test ${test})
    string(REPLACE ":" ";--part;" arguments ${unit})
    add_test(NAME ${test}
      COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/rtl/synth/synthesize.py
        $<TARGET_FILE:pianola_target_package> ${PROJECT_SOURCE_DIR}/${target}.toml
        ${PROJECT_SOURCE_DIR}/rtl ${CMAKE_CURRENT_BINARY_DIR}/synth ${arguments})
    set_tests_properties(${test} PROPERTIES LABELS yosys TIMEOUT 1800)
  endforeach()
endfunction()

pianola_count_cells(rtl/synth/core4 "" core:xc7a100t core:lfe5u-85f vxm_chain send_port mxm mem_slice sxm stream_position sequencer
  recv_port instruction_fifo freeze_pipeline dispatcher fp_special fp_add fp_mul fp_minmax
  fp_convert fp_round)
# A second point: 8 lanes, every stage of the VXM.
pianola_count_cells(rtl/synth/core8 With8Lanes vxm_chain mxm sxm)
# Queues that take turns.
pianola_count_cells(targets/arty-a7-100t In16Beats mem_position)
# A whole core, against its part.
add_test(NAME Synthesis.FitsItsPart.arty-a7-100t
  COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/rtl/synth/synthesize.py
    $<TARGET_FILE:pianola_target_package> ${PROJECT_SOURCE_DIR}/targets/arty-a7-100t.toml
    ${PROJECT_SOURCE_DIR}/rtl ${CMAKE_CURRENT_BINARY_DIR}/synth core --part xc7a100t --fit)
set_tests_properties(Synthesis.FitsItsPart.arty-a7-100t PROPERTIES LABELS yosys TIMEOUT 1800 COST 1000)
# The longest first.
set_tests_properties(Synthesis.CountsCells.core.xc7a100t Synthesis.CountsCells.core.lfe5u-85f
  PROPERTIES COST 1000)
set_tests_properties(Synthesis.CountsCellsWith8Lanes.vxm_chain PROPERTIES COST 500)

# What Yosys makes of a unit for Xilinx 7, against the unit's own bench.
find_program(VERILATOR_TOOL verilator)
if(VERILATOR_TOOL)
  set(netlist ${CMAKE_CURRENT_BINARY_DIR}/mxm_netlist)
  set(netlist_sources)
  foreach(source pianola_pkg mxm mxm_array)
    list(APPEND netlist_sources ${PROJECT_SOURCE_DIR}/rtl/${source}.sv)
  endforeach()
  add_custom_command(OUTPUT ${netlist}/Vmxm_netlist4__ALL.a ${netlist}/Vmxm_netlist4.h
    COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/rtl/synth/synthesize.py
      $<TARGET_FILE:pianola_target_package> ${PROJECT_SOURCE_DIR}/rtl/synth/core4.toml
      ${PROJECT_SOURCE_DIR}/rtl ${netlist}/yosys mxm --netlist ${netlist}/mxm.v
    COMMAND ${VERILATOR_TOOL} --cc --build -j 1 --no-timing -Wno-fatal -Wno-lint -O3 --x-assign fast
      --x-initial fast --noassert --Mdir ${netlist} --prefix Vmxm_netlist4
      --top-module mxm_netlist -CFLAGS -O1 ${netlist}/mxm.v > ${netlist}/verilator.log
    DEPENDS pianola_target_package ${PROJECT_SOURCE_DIR}/rtl/synth/synthesize.py
      ${PROJECT_SOURCE_DIR}/rtl/synth/core4.toml
      ${netlist_sources}
    COMMENT "Verilating the netlist of mxm" VERBATIM)
  # unit_mxm4 brings Verilator's own library.
  pianola_add_test(mxm_netlist_test yosys ${CMAKE_CURRENT_LIST_DIR}/mxm_test.cc
    ${netlist}/Vmxm_netlist4.h LIBRARIES pianola_isa ${netlist}/Vmxm_netlist4__ALL.a unit_mxm4)
  target_include_directories(mxm_netlist_test SYSTEM PRIVATE ${netlist})
  target_compile_definitions(mxm_netlist_test PRIVATE PIANOLA_NETLIST)
endif()
