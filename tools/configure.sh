#!/usr/bin/env bash
# configure.sh FOLDER...: makes the build folders that are not there yet. Four kinds:
#   build       g++, release
#   build-asan  clang, AddressSanitizer and UndefinedBehaviorSanitizer; the fuzz targets too
#   build-tsan  clang, ThreadSanitizer
#   build-lint  clang: what clang-tidy goes by, and nothing else is built there
set -euo pipefail
cd "$(dirname "$0")/.."

# Up to sixteen sources are one unit: headers are read, and their templates made, once for them, which takes half the time. Names in the unnamed
# namespaces of a target are told apart. Who changes and builds again all day has single sources: SINGLE_SOURCES=1 make build.
units=(-Dunity=on -Dunity_size=16)
sanitize() { CXX='ccache clang++-19' meson setup "$1" -Db_sanitize="$2" -Db_lundef=false \
  "${units[@]}" -Dbuildtype=custom -Doptimization=1 -Ddebug=false "${@:3}"; }

configure() {
  case $1 in
    build) meson setup build $([[ -n ${SINGLE_SOURCES:-} ]] || echo "${units[@]}") ;;
    build-asan) sanitize build-asan address,undefined -Dfuzz=true ;;
    build-tsan) sanitize build-tsan thread ;;
    build-lint) CXX=clang++-19 meson setup build-lint "${units[@]}" ;;
    *) echo "build: no such kind of build: $1"; return 2 ;;
  esac
}

for folder in "$@"; do
  [[ -f $folder/build.ninja ]] && continue
  echo "build: configuring $folder"
  output=$(configure "$folder" 2>&1) || { echo "$output" >&2; exit 1; }
done
