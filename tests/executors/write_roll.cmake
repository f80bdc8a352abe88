# The executable pianola_write_roll, in this build's tests, or, for compare_compilers.cmake, in a build
# without tests: -DCMAKE_PROJECT_INCLUDE=<this file> -DPIANOLA_DEFER_WRITE_ROLL=ON.
function(pianola_add_write_roll)
  set(tests ${PROJECT_SOURCE_DIR}/tests)
  add_executable(pianola_write_roll ${tests}/executors/write_roll_main.cc
    ${tests}/support/make_llama.cc ${tests}/support/write_containers.cc)
  target_link_libraries(pianola_write_roll PRIVATE pianola_compiler)
endfunction()
if(PIANOLA_DEFER_WRITE_ROLL)
  cmake_language(DEFER CALL pianola_add_write_roll)
endif()
