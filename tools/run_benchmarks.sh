#!/usr/bin/env bash
# Runs every benchmark program (build/bench/*_bench), as a table and as build/bench/NAME.json; then the table of what policies save.
set -euo pipefail
cd "$(dirname "$0")/.."

# The XenStore's daemon, and what it takes for a hypervisor.
export SUPERCLOUD_ETCD=$PWD/build/packages/usr/bin/etcd SUPERCLOUD_XEN_PACKAGES=$PWD/build/packages SUPERCLOUD_XEN_STAND_IN=$PWD/build/tests/hypercall/xen/libxen_stand_in.so

for program in build/bench/*_bench; do
  [[ -x $program ]] || { echo "bench: no benchmark yet"; exit 0; }
  echo "bench: $program"
  "$program" --benchmark_enable_random_interleaving=true --benchmark_repetitions=9 \
    --benchmark_report_aggregates_only=true --benchmark_out="$program.json" --benchmark_out_format=json
done

echo "bench: build/bench/bus_bars"
build/bench/bus_bars --json build/bench/bus_bars.json

echo "bench: build/bench/policy_table"
build/bench/policy_table build/bench/policy_table.json
