# Benches of the single units, each Verilated alone for several numbers of lanes.
find_package(verilator REQUIRED HINTS $ENV{VERILATOR_ROOT} /usr/share/verilator)

# pianola_verilated_unit(target top lanes sources... [DEFINES ...]): class V<target>. Not under
# pianola_options: generated code does not pass -Wpedantic.
function(pianola_verilated_unit target top lanes)
  cmake_parse_arguments(ARG "" "" "DEFINES;PARAMETERS" ${ARGN})
  set(sources ${PROJECT_SOURCE_DIR}/rtl/waivers.vlt)
  foreach(source pianola_pkg ${ARG_UNPARSED_ARGUMENTS})
    list(APPEND sources ${PROJECT_SOURCE_DIR}/rtl/${source}.sv)
  endforeach()
  set(defines)
  foreach(define ${ARG_DEFINES})
    list(APPEND defines -D${define})
  endforeach()
  add_library(unit_${target} STATIC)
  target_include_directories(unit_${target} SYSTEM INTERFACE ${VERILATOR_ROOT}/include)
  target_compile_options(unit_${target} PRIVATE -O3 -march=native -mprefer-vector-width=512 -w)
  verilate(unit_${target} SOURCES ${sources} TOP_MODULE ${top} PREFIX V${target}
    INCLUDE_DIRS ${PROJECT_SOURCE_DIR}/rtl
    VERILATOR_ARGS -Wall -O3 --x-assign fast --x-initial fast --noassert --unroll-count 8
      -GLanes=${lanes} ${ARG_PARAMETERS} ${defines})
endfunction()

set(mxm_sources mxm_array mxm)
foreach(lanes 4 16 32)
  pianola_verilated_unit(mxm${lanes} mxm ${lanes} ${mxm_sources})
endforeach()
foreach(lanes 4 16)
  pianola_verilated_unit(mxm_synthesis${lanes} mxm ${lanes} ${mxm_sources}
    DEFINES PIANOLA_SYNTHESIS_FORM)
endforeach()
pianola_add_test(mxm_test units ${CMAKE_CURRENT_LIST_DIR}/mxm_test.cc
  LIBRARIES pianola_isa unit_mxm4 unit_mxm16 unit_mxm32 unit_mxm_synthesis4 unit_mxm_synthesis16)

foreach(lanes 4 16 32 128)
  pianola_verilated_unit(sxm${lanes} sxm ${lanes} sxm)
endforeach()
pianola_add_test(sxm_test units ${CMAKE_CURRENT_LIST_DIR}/sxm_test.cc
  LIBRARIES pianola_isa unit_sxm4 unit_sxm16 unit_sxm32 unit_sxm128)

set(vxm_sources special_function_pkg vxm_math_pkg vxm_chain)
foreach(lanes 4 16 32)
  pianola_verilated_unit(vxm${lanes} vxm_chain ${lanes} ${vxm_sources})
endforeach()
pianola_verilated_unit(vxm_small16 vxm_chain 16 ${vxm_sources} PARAMETERS -GStages=0)
set(vxm_cells ram_1r1w waiting_words latency_line beat_line beat_collector fp_add fp_mul fp_minmax fp_convert fp_round fp_special)
foreach(lanes 4 16 32)
  pianola_verilated_unit(vxm_synthesis${lanes} vxm_chain ${lanes} special_function_pkg
    ${vxm_cells} vxm_lane vxm_tree_node vxm_tree vxm_datapath vxm_chain DEFINES PIANOLA_SYNTHESIS_FORM)
endforeach()
pianola_add_test(vxm_test units ${CMAKE_CURRENT_LIST_DIR}/vxm_test.cc
  LIBRARIES pianola_isa unit_vxm4 unit_vxm16 unit_vxm32 unit_vxm_small16 unit_vxm_synthesis4
    unit_vxm_synthesis16 unit_vxm_synthesis32)

set(mem_sources ram_1r1w ram_1rw delay_line sequencer sequencers_in_turn mem_slice mem_slice_beats
  mem_position_beats mem_position)
# A machine cycle of one clock edge and of 16.
foreach(lanes 16 32)
  pianola_verilated_unit(mem${lanes} mem_position ${lanes} ${mem_sources} PARAMETERS -GWords=64
    DEFINES PIANOLA_SYNTHESIS_FORM)
  pianola_verilated_unit(mem_beats${lanes} mem_position ${lanes} ${mem_sources}
    PARAMETERS -GWords=64 -GBeats=16 DEFINES PIANOLA_SYNTHESIS_FORM)
endforeach()
pianola_add_test(mem_position_test units ${CMAKE_CURRENT_LIST_DIR}/mem_position_test.cc
  LIBRARIES pianola_isa unit_mem16 unit_mem32 unit_mem_beats16 unit_mem_beats32)

# Two MEM positions between units of four drivers, of one and of four, each of up to four vectors.
set(row_parameters PARAMETERS -GPositions=5 -GVectors=16 "-GDriverCounts=40'h0404010404"
  "-GWidths=40'h0401040104" "-GIsMem=5'h0a" "-GFirstQueues=80'h0012000a000900010000" -GQueues=19
  -GWords=64)
foreach(lanes 4 16)
  pianola_verilated_unit(row${lanes} memory_row ${lanes} memory_row ${row_parameters})
  pianola_verilated_unit(row_synthesis${lanes} memory_row ${lanes} ${mem_sources} drive_checker
    beat_collector latency_line beat_line stream_choice stream_position memory_row ${row_parameters}
    DEFINES PIANOLA_SYNTHESIS_FORM)
endforeach()
pianola_add_test(memory_row_test units ${CMAKE_CURRENT_LIST_DIR}/memory_row_test.cc
  LIBRARIES pianola_isa unit_row4 unit_row16 unit_row_synthesis4 unit_row_synthesis16)

# Queues, FIFOs and lines, in a bench for both forms. Not under pianola_options: generated code.
foreach(form queues queues_synthesis)
  set(defines)
  if(form STREQUAL queues_synthesis)
    set(defines -DPIANOLA_SYNTHESIS_FORM)
  endif()
  set(sources ${PROJECT_SOURCE_DIR}/rtl/waivers.vlt)
  foreach(source pianola_pkg sequencer ram_1r1w port_fifo delay_line)
    list(APPEND sources ${PROJECT_SOURCE_DIR}/rtl/${source}.sv)
  endforeach()
  add_library(unit_${form} STATIC)
  target_include_directories(unit_${form} SYSTEM INTERFACE ${VERILATOR_ROOT}/include)
  target_compile_options(unit_${form} PRIVATE -w)
  verilate(unit_${form} SOURCES ${sources} ${CMAKE_CURRENT_LIST_DIR}/queue_bench.sv
    TOP_MODULE queue_bench PREFIX V${form}
    VERILATOR_ARGS -Wall -O3 --x-assign fast --x-initial fast --noassert ${defines})
endforeach()
pianola_add_test(queue_forms_test units ${CMAKE_CURRENT_LIST_DIR}/queue_forms_test.cc
  LIBRARIES pianola_isa unit_queues unit_queues_synthesis)

# Not a test: cycles a second of each unit alone.
add_executable(units_speed EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/units_speed.cc)
target_link_libraries(units_speed PRIVATE pianola_options pianola_isa
  unit_mxm16 unit_mxm32 unit_sxm16 unit_sxm32 unit_vxm16 unit_vxm32)
