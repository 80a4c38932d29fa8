#!/usr/bin/env bash
# Checks the form (clang-format) and the sense (clang-tidy) of every tracked C++ file. FILES="a.cpp b.cpp" checks only these, LINT=form
# only their form.
set -euo pipefail
cd "$(dirname "$0")/.."

read -r -a sources <<< "${FILES:-$(git ls-files '*.h' '*.cpp' | tr '\n' ' ')}"
present=()
for file in "${sources[@]}"; do [[ -f $file ]] && present+=("$file"); done
[[ ${#present[@]} -gt 0 ]] || { echo "lint: no C++ file yet"; exit 0; }

echo "lint: clang-format over ${#present[@]} files"
clang-format-19 --dry-run -Werror "${present[@]}" || { echo "lint: 'make format' cures this" >&2; exit 1; }

[[ ${LINT:-all} != form ]] || exit 0

# clang-tidy reads sources as clang does, so it gets the commands of a clang build; only generated headers are made.
tools/configure.sh build-lint
ninja -C build-lint --quiet build.ninja > /dev/null # up to date with every meson.build
generated=$(ninja -C build-lint -t targets all | sed -n 's/^\(.*\.capnp\.h\|.*\.cpp\): CUSTOM_COMMAND.*/\1/p')
# shellcheck disable=SC2086 # one word per target
[[ -z $generated ]] || ninja -C build-lint --quiet $generated

# Many sources are one unit there: headers are read and walked once for all of them, which is most of the time. FILES takes the units
# that its sources are in. Not for units: bugprone-suspicious-include, as they include sources, and -Wshadow, which takes the names of
# one source for those of another (g++ warns of what it is meant for in a build of SINGLE_SOURCES).
units=() tests=()
while IFS= read -r unit; do
  [[ $unit == build-lint/tests/* ]] && tests+=("/${unit//./\\.}\$") || units+=("/${unit//./\\.}\$")
done < <(find build-lint -name '*-unity*.cpp' -exec grep -lF "$(printf '/../%s>\n' "${present[@]}")" {} +)

# tidy CHECKS UNIT...
tidy() {
  [[ $# -gt 1 ]] || return 0
  run-clang-tidy-19 -quiet -p build-lint -checks="-bugprone-suspicious-include$1" -extra-arg=-Wno-shadow -j "$(nproc)" "${@:2}" 2>&1 |
    { grep --line-buffered -vE '^[0-9]+ warnings? (generated|treated)|^$|warnings generated\.$' || true; }
}
echo "lint: clang-tidy over ${#units[@]} units, and ${#tests[@]} of tests"
tidy '' "${units[@]}"
# These take much of the time: a test that loops for ever or asserts with an effect shows it when it is run, and waste is no matter there.
tidy "$(printf ',-%s' bugprone-{infinite-loop,assert-side-effect} performance-move-const-arg)" "${tests[@]}"
echo "lint: done"
