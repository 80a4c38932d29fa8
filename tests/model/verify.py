#!/usr/bin/env python3
"""Model-checks the hand-over with Spin: every configuration of configurations.py must end as it says there.

verify.py [--ci] [--only NAME] [--jobs N] [--story]

--ci leaves out those that take minutes. --story tells the steps that led to a failed assertion, also where it was expected.
Everything is built in build/model. Exit 1 if a clean configuration fails, or a broken one is not caught.
"""

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from configurations import ASSERTIONS, BUDGETS, HOLDS, LONG, QUICK

MODELS = Path(__file__).resolve().parent
BUILD = MODELS.parent.parent / "build" / "model"
SECONDS_MAX = 900  # of one search
MEMORY_MB = 9000  # of one search; more is an error, not a pass
NODES = {"1": "S", "2": "T", "3": "X", "4": "table", "5": "fabric", "6": "monitor"}
DEPTH_MAX = 100000


def switches_of(model, text):
    chosen = dict(BUDGETS.get(model, {}))
    chosen.update(switch.split("=") for switch in text.split())
    return [f"-D{name}={value}" for name, value in chosen.items()]


def run(command, folder, seconds=SECONDS_MAX):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds)


def outcome_of(output):
    """What a search found: HOLDS, the name of the assertion that failed, or why it says nothing."""
    violated = re.search(r"assertion violated (.*?)(?:\(at depth|$)", output, re.M)
    if violated:
        return next((name for name, text in ASSERTIONS if text in violated[1]), "unknown: " + violated[1][:60])
    if "max search depth too small" in output or "Search not completed" in output or "errors: 0" not in output:
        return "not finished"
    return HOLDS


def check(configuration):
    """Returns (outcome, states, seconds, folder)."""
    name, model, text, _, _ = configuration
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        old.unlink()
    for source in MODELS.glob(f"{model}*.pml"):
        (folder / source.name).write_text(source.read_text())
    begin = time.monotonic()
    try:
        made = run(["spin", "-a", *switches_of(model, text), f"{model}.pml"], folder)
        if made.returncode == 0:
            made = run(["gcc", "-O2", "-w", "-DSAFETY", "-DVECTORSZ=2048", f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c"],
                       folder)
        if made.returncode != 0:
            return "not built: " + (made.stdout + made.stderr)[-400:], 0, 0, folder
        search = run(["./pan", "-E", "-n", f"-m{DEPTH_MAX}", "-w22"], folder)
    except subprocess.TimeoutExpired:
        return "not finished", 0, time.monotonic() - begin, folder
    (folder / "search.txt").write_text(search.stdout)
    states = re.search(r"(\S+) states, stored", search.stdout)
    return outcome_of(search.stdout), int(float(states[1])) if states else 0, time.monotonic() - begin, folder


def steps_by_line(folder):
    """(file, line) -> the named step (an inline of the model) that contains it."""
    steps = {}
    for source in folder.glob("*.pml"):
        step = ""
        for number, line in enumerate(source.read_text().splitlines(), 1):
            start = re.match(r"inline (\w+)", line)
            step = start[1] if start else "" if line.startswith("}") else step
            if step:
                steps[source.name, str(number)] = step.replace("_", " ")
    return steps


def story(configuration, folder):
    """The steps of the counterexample, one a line."""
    _, model, text, _, _ = configuration
    steps = steps_by_line(folder)
    replay = run(["spin", "-t", "-p", *switches_of(model, text), f"{model}.pml"], folder).stdout
    last = None
    for line in replay.splitlines():
        match = re.match(r"\s*(\d+):\s+proc\s+(\d+) \(\S+\) (\S+?):(\d+)", line)
        step = match and steps.get((match[3], match[4]))
        if step and (match[2], step) != last:  # an atomic step shows once for each of its statements
            last = (match[2], step)
            if step != "run guest":
                yield f"    {match[1]:>4}  {NODES.get(match[2], match[2]) if model == 'handover' else '':8} {step}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ci", action="store_true")
    parser.add_argument("--only", metavar="NAME")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--story", action="store_true")
    options = parser.parse_args()

    chosen = QUICK if options.ci else QUICK + LONG
    if options.only:
        chosen = [row for row in QUICK + LONG if row[0] == options.only]
        if not chosen:
            parser.error(f"no configuration {options.only}; there are: " + " ".join(row[0] for row in QUICK + LONG))

    begin = time.monotonic()
    lock = threading.Lock()
    finished = []

    def work(configuration):
        outcome, states, seconds, folder = check(configuration)
        with lock:
            finished.append((configuration, outcome, states, seconds, folder))
            mark = "ok" if outcome == configuration[3] else "WRONG"
            print(f"verify: {len(finished):2}/{len(chosen)} {configuration[0]:26} {mark:5} {outcome} ({seconds:.1f} s)",
                  flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(work, chosen))

    wrong = 0
    print(f"\n{'configuration':26} {'rule':9} {'states':>10} {'s':>6}  outcome")
    for configuration, outcome, states, seconds, folder in sorted(finished, key=lambda row: chosen.index(row[0])):
        expected = configuration[3]
        remark = "" if outcome == expected else f"   WRONG, expected: {expected}"
        print(f"{configuration[0]:26} {configuration[4]:9} {states:10} {seconds:6.1f}  {outcome}{remark}")
        wrong += outcome != expected
        if (outcome != expected or options.story) and list(folder.glob("*.trail")):
            print("\n".join(story(configuration, folder)))
    caught = sum(1 for row in finished if row[0][3] != HOLDS and row[1] == row[0][3])
    print(f"\nverify: {len(finished)} configurations in {time.monotonic() - begin:.0f} s: "
          f"{len(finished) - wrong - caught} hold, {caught} caught as they must be, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
