#!/usr/bin/env python3
"""count_tests.py BUILD...: adds up what `meson test` left in each build folder.

Last line: "N passed, N failed, N skipped", in gtest cases where a test has them. Exit 1 if a case failed, if a test
ended without reporting its cases (it crashed, or ran out of time), if nothing ran, or, when CI is set, if a case was
skipped that tests/expected_skips.txt does not name.
"""

import json
import os
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXPECTED_SKIPS = ROOT / "tests" / "expected_skips.txt"


def expected_skips():
    lines = EXPECTED_SKIPS.read_text().splitlines() if EXPECTED_SKIPS.exists() else []
    return {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}


def cases_of(build):
    """Yields (meson test, case, outcome) for each case that reported itself."""
    report = build / "meson-logs" / "testlog.junit.xml"
    if not report.exists():
        return
    for suite in xml.parse(report).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            if suite.get("name", "").count(" / "):  # gtest: "project.project:suites / test.Group"
                test = suite.get("name").split(" / ")[1].split(".")[0]
                name = f"{case.get('classname')}.{case.get('name')}"
            else:  # a test known by its exit code alone: "project:suites / test"
                test = name = case.get("name").split(" / ")[-1]
            failed = case.find("failure") is not None or case.find("error") is not None
            skipped = case.find("skipped") is not None
            yield test, name, "failed" if failed else "skipped" if skipped else "passed"


def tests_of(build):
    """Yields (meson test, result) for each test that meson ran."""
    log = build / "meson-logs" / "testlog.json"
    for line in log.read_text().splitlines() if log.exists() else []:
        entry = json.loads(line)
        yield entry["name"].split(" / ")[-1], entry["result"]


def main():
    total = {"passed": 0, "failed": 0, "skipped": 0}
    problems = []
    allowed = expected_skips()
    for build in map(Path, sys.argv[1:]):
        count = {"passed": 0, "failed": 0, "skipped": 0}
        failing = set()
        for test, name, outcome in cases_of(build):
            count[outcome] += 1
            if outcome == "failed":
                failing.add(test)
                problems.append(f"{build}: {name} failed")
            if outcome == "skipped" and name not in allowed and os.environ.get("CI"):
                problems.append(f"{build}: {name} was skipped, and tests/expected_skips.txt does not say why")
        for test, result in tests_of(build):
            if result not in ("OK", "EXPECTEDFAIL", "SKIP") and test not in failing:
                count["failed"] += 1
                problems.append(f"{build}: {test} ended as {result} without naming a failed case")
        if not any(count.values()):
            problems.append(f"{build}: no test ran")
        print(f"test: {build}: " + ", ".join(f"{count[key]} {key}" for key in count))
        for key in count:
            total[key] += count[key]
    for problem in problems:
        print(f"test: {problem}")
    print(", ".join(f"{total[key]} {key}" for key in total))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
