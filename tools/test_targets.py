#!/usr/bin/env python3
"""test_targets.py FOLDER SUITE...: what ninja has to build in the build folder for the tests of these suites, a path a line."""
import json
import os
import subprocess
import sys


def introspected(folder, what):
    return json.loads(subprocess.run(["meson", "introspect", folder, what], check=True, capture_output=True).stdout)


def main():
    folder, suites = sys.argv[1], set(sys.argv[2:])
    files = {target["id"]: target["filename"] for target in introspected(folder, "--targets")}
    built = set()
    for test in introspected(folder, "--tests"):
        if not suites.isdisjoint(suite.split(":")[-1] for suite in test["suite"]):
            for target in test["depends"]:
                built.update(files[target])
    print("\n".join(sorted(os.path.relpath(path, folder) for path in built)))


if __name__ == "__main__":
    main()
