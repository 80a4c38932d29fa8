#!/usr/bin/env bash
# Runs every fuzz target (tests/fuzz/*_fuzz) for FUZZ_SECONDS. A finding stays in build-asan/findings.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ -f tests/fuzz/meson.build ]] || { echo "fuzz: no target yet"; exit 0; }
tools/configure.sh build-asan
ninja -C build-asan --quiet build.ninja > /dev/null # up to date with every meson.build
targets=$(ninja -C build-asan -t targets all | sed -n 's/^\(tests\/fuzz\/[a-z_]*_fuzz\): .*/\1/p')
# shellcheck disable=SC2086 # one word per target
ninja -C build-asan $targets

run() {
  local name
  name=$(basename "$1")
  mkdir -p build-asan/findings "build-asan/corpus/$name"
  local seeds=()
  [[ -d tests/fuzz/corpus/$name ]] && seeds=("tests/fuzz/corpus/$name") # read only: new inputs go to the first folder
  local log=build-asan/findings/$name.log
  "build-asan/$1" -max_total_time="${FUZZ_SECONDS:-20}" -print_final_stats=1 -verbosity=0 -timeout=10 \
    -artifact_prefix="build-asan/findings/$name-" "build-asan/corpus/$name" "${seeds[@]}" > "$log" 2>&1 ||
    { echo "fuzz: $name FOUND something; the input is in build-asan/findings" && cat "$log"; return 1; }
  echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, nothing found"
}
export -f run
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
# As many at a time as there are processors; xargs fails when one of them does, after all have run.
tr ' ' '\n' <<< "$targets" | xargs -P "$(nproc)" -I{} bash -c 'run {}'
echo "fuzz: done"
