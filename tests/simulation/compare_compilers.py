#!/usr/bin/env python3
"""Whether the simulator makes the same logs, byte for byte, when g++ and when clang has compiled it.

Builds simulation_tests with both, in build/determinism-gcc and build/determinism-clang, lets each print the digests of the same
seeds, and compares. Exit 0: equal; 1: they differ, or a build failed; 77: a compiler is missing.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = "tests/simulation/simulation_tests"
COMPILERS = {"gcc": ["g++"], "clang": ["clang++-19", "clang++"]}


def compiler(names):
    found = next((name for name in names if shutil.which(name)), None)
    if found is None:
        print(f"compare_compilers: none of {', '.join(names)} is installed (apt-get install clang-19)", file=sys.stderr)
        sys.exit(77)
    return f"ccache {found}" if shutil.which("ccache") else found


def build(name, cxx, jobs):
    folder = ROOT / "build" / f"determinism-{name}"
    if not (folder / "build.ninja").exists():
        # Nothing but the compiler differs; its warnings are another test's business.
        subprocess.run(["meson", "setup", folder, ROOT, "-Dbuildtype=debugoptimized", "-Ddebug=false", "-Dwerror=false"],
                       env={**os.environ, "CXX": cxx}, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", folder, f"-j{jobs}", "--quiet", TARGET], check=True)
    return folder / TARGET


def digests(program, seeds):
    output = subprocess.run([program, "--gtest_filter=Determinism.says_its_digests"], check=True, text=True,
                            stdout=subprocess.PIPE, env={**os.environ, "SUPERCLOUD_DIGESTS": str(seeds)}).stdout
    return [line for line in output.splitlines() if line.startswith("digest of seed")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    found = {name: compiler(names) for name, names in COMPILERS.items()}
    try:
        programs = {name: build(name, cxx, options.jobs) for name, cxx in found.items()}
        said = {name: digests(program, options.seeds) for name, program in programs.items()}
    except subprocess.CalledProcessError as error:
        print(f"compare_compilers: {error}", file=sys.stderr)
        return 1
    for gcc, clang in zip(said["gcc"], said["clang"]):
        print(gcc if gcc == clang else f"DIFFERENT: gcc {gcc} / clang {clang}")
    if said["gcc"] != said["clang"] or len(said["gcc"]) != options.seeds:
        return 1
    print(f"{options.seeds} seeds: the same logs by both compilers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
