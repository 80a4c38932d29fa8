#!/usr/bin/env bash
# unpack_packages.sh GROUP FOLDER: unpacks the packages of a group in packages.txt below a folder, without installing them: programs
# that tests start themselves, and whose packages would start them with the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

group=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT

read -r -a packages <<< "$(awk -v group="$group" '$1 == group { printf "%s ", $2 }' packages.txt)"
echo "setup: unpacking ${packages[*]} in $2"
download() { (cd "$download" && apt-get download -q "${packages[@]}" 2>&1); }
as_root=()
[[ $(id -u) -eq 0 ]] || as_root=(sudo)
download || { "${as_root[@]}" apt-get update -q && download; } # the lists may be missing, or old
for package in "$download"/*.deb; do dpkg-deb -x "$package" "$folder"; done
