#!/usr/bin/env python3
"""Whether the simulator makes the same logs, byte for byte, when g++ and when clang has compiled it.

compare_compilers.py [--seeds N] PROGRAM OTHER: two builds of simulation_digests. Each prints the digests of the same seeds. Exit 0:
equal; 1: a seed's differ, which is named, or a program failed.
"""

import argparse
import subprocess
import sys


def digests(program, seeds):
    """The program's lines "digest of seed N: ..."; None if it failed."""
    run = subprocess.run([program, str(seeds)], stdout=subprocess.PIPE, text=True, check=False)
    lines = [line for line in run.stdout.splitlines() if line.startswith("digest of seed")]
    if run.returncode == 0 and len(lines) == seeds:
        return lines
    print(f"compare_compilers: {program} printed {len(lines)} digests of {seeds} and ended with {run.returncode}",
          file=sys.stderr)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("program")
    parser.add_argument("other")
    options = parser.parse_args()
    said = [digests(program, options.seeds) for program in (options.program, options.other)]
    if None in said:
        return 1
    different = [pair for pair in zip(*said) if pair[0] != pair[1]]
    for one, other in different:
        print(f"compare_compilers: {options.program}: {one}\n"
              f"compare_compilers: {options.other}: {other}", file=sys.stderr)
    if different:
        return 1
    print(f"compare_compilers: {options.seeds} seeds make the same logs in {options.program} and {options.other}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
