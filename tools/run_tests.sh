#!/usr/bin/env bash
# Runs every test in the release build, then the unit and simulation tests and those of suite 'asan' under ASan+UBSan, then the tests of suite 'tsan'
# under TSan; after ASan, whether g++ and clang make the same simulations. All of them run even if one fails; the last line
# counts them all. TEST_BUILDS="build build-asan" runs only these.
set -euo pipefail
cd "$(dirname "$0")/.."

builds=()
status=0

# run FOLDER MESON_TEST_ARGUMENT...
run() {
  local folder=$1
  shift
  echo "test: ${folder} ($*)"
  builds+=("$folder")
  find "$folder" -name '*.xml' -delete # a test that crashes would be counted by what it reported the last time
  rm -f "$folder"/meson-logs/testlog.json
  meson test -C "$folder" --print-errorlogs "$@" || status=1
}

wanted() { [[ " ${TEST_BUILDS:-build build-asan build-tsan} " == *" $1 "* ]]; }

if wanted build; then run build; fi

symbolizer=$(command -v llvm-symbolizer-19 || true)
if wanted build-asan; then
  tools/configure.sh build-asan
  export ASAN_OPTIONS="halt_on_error=1:abort_on_error=1:detect_leaks=1:detect_stack_use_after_return=1:external_symbolizer_path=$symbolizer"
  export UBSAN_OPTIONS="halt_on_error=1:abort_on_error=1:print_stacktrace=1:external_symbolizer_path=$symbolizer"
  run build-asan --suite unit --suite simulation --suite asan --timeout-multiplier 4
  if wanted build; then # by g++, and by clang
    tests/simulation/compare_compilers.py {build,build-asan}/tests/simulation/simulation_digests || status=1
  fi
fi
if wanted build-tsan; then
  tools/configure.sh build-tsan
  export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1:suppressions=$PWD/tests/tsan.supp:external_symbolizer_path=$symbolizer"
  run build-tsan --suite tsan --timeout-multiplier 8
fi

python3 tools/count_tests.py "${builds[@]}" || status=1
exit "$status"
