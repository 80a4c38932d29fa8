#!/usr/bin/env bash
# Runs every fuzz target (tests/fuzz/*_fuzz) for FUZZ_SECONDS. A finding stays in build-fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ -f tests/fuzz/meson.build ]] || { echo "fuzz: no target yet"; exit 0; }
if [[ ! -f build-fuzz/build.ninja ]]; then
  echo "fuzz: configuring build-fuzz"
  CXX=clang++-19 meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
    -Dbuildtype=debugoptimized
fi
targets=$(ninja -C build-fuzz -t targets all | sed -n 's/^\(tests\/fuzz\/[a-z_]*_fuzz\): .*/\1/p')
# shellcheck disable=SC2086 # one word per target
ninja -C build-fuzz $targets

for target in $targets; do
  name=$(basename "$target")
  mkdir -p "build-fuzz/findings" "build-fuzz/corpus/$name"
  seeds=()
  [[ -d tests/fuzz/corpus/$name ]] && seeds=("tests/fuzz/corpus/$name")
  echo "fuzz: $name for ${FUZZ_SECONDS:-20} s"
  "build-fuzz/$target" -max_total_time="${FUZZ_SECONDS:-20}" -print_final_stats=0 -verbosity=0 -timeout=10 \
    -artifact_prefix="build-fuzz/findings/$name-" "build-fuzz/corpus/$name" "${seeds[@]}"
done
echo "fuzz: done"
