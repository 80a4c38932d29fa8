#!/usr/bin/env bash
# install_packages.sh GROUP...: installs those packages of the groups in packages.txt that this machine lacks.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for group in "$@"; do
  while read -r of_group package; do
    [[ $of_group == "$group" ]] || continue
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $status == installed ]] || missing+=("$package")
  done < packages.txt
done

if [[ ${#missing[@]} -eq 0 ]]; then
  echo "setup: nothing to install for: $*"
  exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  command -v sudo >/dev/null || { echo "setup: run as root, or install sudo; missing: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi

echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
