#!/bin/sh
# run_sanitizers.sh SOURCE BUILD: builds the fuzz tests with sanitizers, otherwise as they ship, and runs them.
set -eu
cmake -S "$1" -B "$2" -G Ninja -DCMAKE_BUILD_TYPE=Release -DPIANOLA_TESTS=ON -DPIANOLA_SANITIZE=ON \
  -DCMAKE_CXX_FLAGS_RELEASE="-O1 -g1 -DNDEBUG"
set -- "$2" model_files_fuzz_test tokenizer_fuzz_test roll_files_fuzz_test template_fuzz_test \
  grammar_fuzz_test request_fuzz_test http_fuzz_test
build=$1
shift
cmake --build "$build" --target "$@"
for test in "$@"; do
  echo "== $test under sanitizers"
  "$build/tests/fuzz/$test" --gtest_brief=1
done
