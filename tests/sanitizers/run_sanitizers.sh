#!/bin/sh
# run_sanitizers.sh SOURCE BUILD: builds the fuzz tests with sanitizers, otherwise as they ship, and runs them.
# PIANOLA_LONG=1: also 10,000 requests of 200 clients to a server; what it leaks is an error at its end.
set -eu
source=$1
build=$2
cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DPIANOLA_TESTS=ON -DPIANOLA_SANITIZE=ON \
  -DCMAKE_CXX_FLAGS_RELEASE="-O1 -g1 -DNDEBUG"
set -- model_files_fuzz_test tokenizer_fuzz_test roll_files_fuzz_test template_fuzz_test \
  grammar_fuzz_test request_fuzz_test http_fuzz_test
cmake --build "$build" --target "$@"
for test in "$@"; do
  echo "== $test under sanitizers"
  "$build/tests/fuzz/$test" --gtest_brief=1
done
if [ "${PIANOLA_LONG:-}" = 1 ]; then
  cmake --build "$build" --target pianola
  # Memory is flat beyond what the sanitizer keeps of it.
  ASAN_OPTIONS=quarantine_size_mb=8 python3 "$source/tests/server/load_test.py" "$build/pianola" "$source" \
    --requests 10000
fi
