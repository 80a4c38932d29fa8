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

for target in $targets; do
  name=$(basename "$target")
  mkdir -p build-asan/findings "build-asan/corpus/$name"
  seeds=()
  [[ -d tests/fuzz/corpus/$name ]] && seeds=("tests/fuzz/corpus/$name")
  echo "fuzz: $name for ${FUZZ_SECONDS:-20} s"
  "build-asan/$target" -max_total_time="${FUZZ_SECONDS:-20}" -print_final_stats=0 -verbosity=0 -timeout=10 \
    -artifact_prefix="build-asan/findings/$name-" "build-asan/corpus/$name" "${seeds[@]}"
done
echo "fuzz: done"
