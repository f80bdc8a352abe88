# Builds the compiler with clang in a side directory and compares its rolls with those of this build, byte
# for byte. -DSOURCE, -DBUILD (side directory), -DWRITE_ROLL (of this build).
find_program(CLANG NAMES clang++-14 clang++-15 clang++-16 clang++)
if(NOT CLANG)
  if("$ENV{PIANOLA_REQUIRE_ORACLES}" STREQUAL "1")
    message(FATAL_ERROR "no clang++; apt-get install clang-14")
  endif()
  message("skipped: no clang++ to compare with; apt-get install clang-14")
  return()
endif()

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT code EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "${command}\nfailed with ${code}:\n${text}")
  endif()
endfunction()

# Little optimization: cheaper, and one difference more. Warnings are those of g++ (-w).
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} -G Ninja -DCMAKE_CXX_COMPILER=${CLANG}
    -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -w" -DPIANOLA_TESTS=OFF
    -DCMAKE_PROJECT_INCLUDE=${CMAKE_CURRENT_LIST_DIR}/write_roll.cmake
    -DPIANOLA_DEFER_WRITE_ROLL=ON)
run(${CMAKE_COMMAND} --build ${BUILD} --target pianola_write_roll)

set(models "")
if(EXISTS ${SOURCE}/models/nursery-llama/config.json)
  set(models ${SOURCE}/models/nursery-llama)
endif()
foreach(target sim16 sim32 duo16)
  foreach(model "" ${models})
    run(${WRITE_ROLL} ${BUILD}/this.roll ${target} ${model})
    run(${BUILD}/pianola_write_roll ${BUILD}/clang.roll ${target} ${model})
    run(${CMAKE_COMMAND} -E compare_files ${BUILD}/this.roll ${BUILD}/clang.roll)
    file(SIZE ${BUILD}/this.roll size)
    message("${target} ${model}: ${size} bytes, equal")
  endforeach()
endforeach()
