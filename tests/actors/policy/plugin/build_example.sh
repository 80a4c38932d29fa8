#!/usr/bin/env bash
# build_example.sh FOLDER: the project of the example builds outside of this build, and exports its entry.
set -euo pipefail
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
meson setup "$build" "$1" >"$build.log" 2>&1 && ninja -C "$build" >>"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
rm -f "$build.log"
nm -D --defined-only "$build/preferred_zones.so" | grep -q ' T supercloud_policy_entry$'
