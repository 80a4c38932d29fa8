#!/usr/bin/env bash
# unpack_guests.sh FOLDER: unpacks below a folder, without installing it, what test guests are made of: QEMU from this Debian's
# backports (QEMU before 8.2 corrupts guests under TCG) with the libraries that it needs and this machine lacks, a kernel, busybox.
#
# The packages come from where this machine's come from; its own lists of sources and of packages stay as they are.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p "$1"
folder=$(cd "$1" && pwd)
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt"/{sources,lists/partial,archives/partial,alone}

# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
backports=$codename-backports
tools/backports_source.py /etc/apt "$codename" > "$apt/sources/own.sources"

options=(-q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$apt/sources" -o "Dir::State::lists=$apt/lists"
  -o "Dir::Cache=$apt" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1 -o APT::Sandbox::User=
  -o Acquire::Languages=none)
get() { apt-get "${options[@]}" "$@" > "$apt/log" 2>&1 || { cat "$apt/log" >&2; return 1; }; }
group() { awk -v group="$1" '$1 == group { print $2 }' packages.txt; }

read -r -d '' -a from_backports < <(group guests-backports) || true
read -r -d '' -a alone < <(group guests) || true
echo "setup: unpacking ${from_backports[*]} of $backports and ${alone[*]} in $1"
get update
# As if to be installed, so that what is installed already is not fetched. Installed in that version itself, it is the machine's that runs.
get install --download-only --yes --no-install-recommends -t "$backports" "${from_backports[@]}"
# Without what they depend on; of a package that is but a name for the newest kernel, that one.
for package in "${alone[@]}"; do
  newest=$(apt-cache "${options[@]}" depends --important "$package" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
  (cd "$apt/alone" && get download "${newest:-$package}")
done
for package in "$apt"/archives/*.deb "$apt"/alone/*.deb; do
  [[ ! -f $package ]] || dpkg-deb --extract "$package" "$folder"
done
