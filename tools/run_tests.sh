#!/usr/bin/env bash
# Runs every test in the release build, then the unit and simulation tests and those of suite 'asan' under ASan+UBSan, then the tests of suite 'tsan'
# under TSan; after ASan, whether g++ and clang make the same simulations. All of them run even if one fails; the last line
# counts them all. TEST_BUILDS="build build-asan" runs only these.
set -euo pipefail
cd "$(dirname "$0")/.."

asan_suites=(unit simulation asan)
tsan_suites=(tsan)
builds=()
status=0

wanted() { [[ " ${TEST_BUILDS:-build build-asan build-tsan} " == *" $1 "* ]]; }

# build_ahead FOLDER SUITE...: many tests wait most of their time, and what the next ones need is built meanwhile, of what they leave of the
# processors; Linux shares these among sessions first, so it is one of its own. What cannot be built is told of when it is to run. Until then: wait.
build_ahead() {
  wanted "$1" && tools/configure.sh "$1" || return 0
  # shellcheck disable=SC2016 # for the inner one
  tools/test_targets.py "$@" | setsid bash -c 'echo 19 > /proc/self/autogroup
    exec chrt --idle 0 xargs -r ninja -C "$0" -j "$(nproc)"' "$1" > /dev/null 2>&1 &
  ahead=$!
}
trap '[[ -z ${ahead:-} ]] || kill -- "-$ahead" 2> /dev/null || true' EXIT

# run FOLDER TIMEOUT_MULTIPLIER SUITE...: without a suite, all of them.
run() {
  local folder=$1 multiplier=$2
  shift 2
  echo "test: $folder ($*)"
  builds+=("$folder")
  find "$folder" -name '*.xml' -delete # a test that crashes would be counted by what it reported the last time
  rm -f "$folder"/meson-logs/testlog.json
  meson test -C "$folder" --print-errorlogs --timeout-multiplier "$multiplier" "${@/#/--suite=}" || status=1
}

symbolizer=$(command -v llvm-symbolizer-19 || true)
export ASAN_OPTIONS="halt_on_error=1:abort_on_error=1:detect_leaks=1:detect_stack_use_after_return=1:external_symbolizer_path=$symbolizer"
export UBSAN_OPTIONS="halt_on_error=1:abort_on_error=1:print_stacktrace=1:external_symbolizer_path=$symbolizer"
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1:suppressions=$PWD/tests/tsan.supp:external_symbolizer_path=$symbolizer"

build_ahead build-asan "${asan_suites[@]}"
if wanted build; then run build 1; fi
wait
build_ahead build-tsan "${tsan_suites[@]}"
if wanted build-asan; then
  run build-asan 4 "${asan_suites[@]}"
  if wanted build; then # by g++, and by clang
    tests/simulation/compare_compilers.py {build,build-asan}/tests/simulation/simulation_digests || status=1
  fi
fi
wait
if wanted build-tsan; then run build-tsan 8 "${tsan_suites[@]}"; fi

python3 tools/count_tests.py "${builds[@]}" || status=1
exit "$status"
