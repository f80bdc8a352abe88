# The arithmetic cells, Verilated in one bench, against the portable C++.
find_package(verilator REQUIRED HINTS $ENV{VERILATOR_ROOT} /usr/share/verilator)

set(cells)
foreach(cell special_function_pkg fp_add fp_mul fp_minmax fp_convert fp_round fp_special)
  list(APPEND cells ${PROJECT_SOURCE_DIR}/rtl/${cell}.sv)
endforeach()

# Not under pianola_options: generated code does not pass -Wpedantic.
add_library(arithmetic_bench STATIC)
target_compile_options(arithmetic_bench PRIVATE -w)
verilate(arithmetic_bench SOURCES ${cells} ${CMAKE_CURRENT_SOURCE_DIR}/arithmetic_bench.sv
  TOP_MODULE arithmetic_bench PREFIX Varithmetic_bench
  VERILATOR_ARGS -Wall -O3 --x-assign fast --x-initial fast --noassert)
get_target_property(directories arithmetic_bench INTERFACE_INCLUDE_DIRECTORIES)
target_include_directories(arithmetic_bench SYSTEM INTERFACE ${directories})
pianola_add_test(arithmetic_cells_test units arithmetic_cells_test.cc
  LIBRARIES pianola_isa arithmetic_bench)
