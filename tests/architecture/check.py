#!/usr/bin/env python3
"""check.py includes|paths ROOT, check.py links ROOT BUILD: what architecture.md demands, as a test.

Prints one line per breach, "file:line: what. Rule: which. Cure: how.", and exits 1 if there is any.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import rules

INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')
COMMENT = re.compile(r"//.*|/\*.*?\*/")


def source_files(root):
    """Every file that git tracks or would track; without git, every file outside of build folders."""
    listing = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True)
    if listing.returncode == 0:
        names = [name for name in listing.stdout.split("\0") if name]
    else:
        names = [os.path.relpath(os.path.join(folder, name), root)
                 for folder, _, found in os.walk(root) for name in found]
        names = [name for name in names if not name.startswith(("build", ".git/"))]
    return sorted(name for name in set(names) if (Path(root) / name).is_file())


def is_inside(file, folder):
    """bus/zmq.cpp is inside bus; so are tests/bus/x.cpp and bench/bus/x.cpp, its mirrors."""
    mirrors = [f"{mirror}/{folder}" for mirror in ("tests", "bench")]
    return any(file.startswith(place + "/") for place in [folder, *mirrors])


def lists_dependency(root, file, dependency):
    """True if the meson.build of the file's folder, or of one above it, names the dependency."""
    for folder in list(Path(file).parents)[:-1]:
        build = Path(root) / folder / "meson.build"
        if build.is_file() and re.search(rf"\b{dependency}\b", build.read_text()):
            return True
    return False


def is_system(header):
    return "." not in header or header in rules.SYSTEM_HEADERS or header.startswith(rules.SYSTEM_FOLDERS)


def check_own_include(root, file, header):
    """`header` is one of ours, as it stands in `file`."""
    folder, target = file.split("/")[0], header.split("/")[0]
    if target not in rules.MAY_INCLUDE[folder]:
        yield (f'{folder}/ includes "{header}"',
               f"{folder} may include only {', '.join(rules.MAY_INCLUDE[folder])}",
               f"put a seam into a folder that both may include, or move the code to where {target} is seen")
    for chosen, choosers in rules.CHOSEN_BY.items():
        if header.startswith(chosen + "/") and not file.startswith(tuple(place + "/" for place in [chosen, *choosers])):
            yield (f'{folder}/ includes "{header}"', f"{chosen} may be included only by {', '.join(choosers)}",
                   "speak to the seam, and let cli choose its implementation")
    for program, files in rules.ALONE.items():
        if file in files and header not in files:
            yield (f'{file} includes "{header}"', f"{program} is made of {', '.join(files)} and nothing else",
                   "do without, or list it with the program in tests/architecture/rules.py")
    generated = header.endswith(".capnp.h") and (Path(root) / header[:-2]).is_file()
    if not generated and not (Path(root) / header).is_file():
        yield f'no such header "{header}"', "includes give the path from the root", "correct the path"


def check_library_include(root, file, header):
    """`header` belongs to a library or to the system."""
    alone = any(file in files for files in rules.ALONE.values())
    for prefix, folders in rules.OWNED_LIBRARIES:
        if header.startswith(prefix):
            if alone:
                yield (f"<{header}> is included here", "this file is part of a program that depends on no library",
                       "do without")
            if not any(is_inside(file, folder) for folder in folders):
                yield (f"<{header}> is included here", f"{prefix}* belongs to {', '.join(folders)}",
                       "speak to the outside through the seam, and leave the library behind it")
            return
    for prefix, dependency in rules.GENERAL_LIBRARIES:
        if header.startswith(prefix):
            if not lists_dependency(root, file, dependency):
                yield (f"<{header}> is included here",
                       f"{prefix}* may be used where the folder's meson.build lists {dependency}",
                       f"add {dependency} to the target's dependencies, or do without")
            return
    if not is_system(header):
        yield (f"<{header}> belongs to no listed library", "each library is listed with its folder",
               "give the path from the root if it is ours, else list it in tests/architecture/rules.py")


def check_includes(root):
    general_headers = {}  # our header -> general library that it shows
    includers = []  # (file, line, our header)
    for file in source_files(root):
        folder = file.split("/")[0]
        if folder not in rules.MAY_INCLUDE or not file.endswith((".h", ".cpp")):
            continue
        for number, line in enumerate((Path(root) / file).read_text(errors="replace").splitlines(), 1):
            match = INCLUDE.match(line)
            if match:
                header = match[2]
                if header.split("/")[0] in rules.MAY_INCLUDE and "/" in header:
                    includers.append((file, number, header))
                    problems = check_own_include(root, file, header)
                else:
                    problems = check_library_include(root, file, header)
                    if file.endswith(".h") and any(header.startswith(p) for p, _ in rules.GENERAL_LIBRARIES):
                        general_headers[file] = header
                for problem in problems:
                    yield file, number, *problem
                continue
            if folder in rules.SIMULATED and re.search(rules.ORDERED_BY_ADDRESS, COMMENT.sub("", line)):
                yield (file, number, "a container in the order of addresses",
                       "what a simulation runs does not depend on where memory lies",
                       "order by a name or a number, or keep the order of arrival")
            for word, owner in rules.OWNED_WORDS:
                if not is_inside(file, owner) and re.search(rf"(?<![\w:]){word}", COMMENT.sub("", line)):
                    yield (file, number, f"'{word}' is used here", f"{word} stays in {owner}/",
                           f"let {owner}/ give the value as a type of ours or of the standard library")
    for file, number, header in includers:
        if header in general_headers and file.split("/")[0] not in (header.split("/")[0], "tests", "bench"):
            yield (file, number, f'"{header}" brings in <{general_headers[header]}>',
                   "a general library never shows in a header that another folder includes",
                   f"hide it in the .cpp of {header}")


def check_paths(root):
    foreign = re.compile(r"(?<![\w.)\]}*-])/(?:" + "|".join(rules.FOREIGN_FOLDERS) + r")(?=[/\s\"'`),;:]|$)")
    for file in source_files(root):
        content = (Path(root) / file).read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            match = foreign.search(line)
            if match:
                yield (file, number, f"names {match[0]}", "nothing depends on the machine it was written on",
                       "use a path from the root of the repository, or an argument")


def link_lines(build):
    """Output of the link step -> its libraries, for every program in build.ninja."""
    program = None
    for line in (Path(build) / "build.ninja").read_text().splitlines():
        match = re.match(r"build (\S+): \w+_LINKER\w* ", line)
        if match:
            program = match[1]
        elif not line.startswith(" "):
            program = None
        elif program and line.lstrip().startswith("LINK_ARGS ="):
            yield program, line.split("=", 1)[1].split()


def simulation_programs(build):
    """Programs that a test of suite 'simulation' runs, wherever they are built."""
    listing = subprocess.run(["meson", "introspect", "--tests", build], capture_output=True, text=True, check=True)
    for test in json.loads(listing.stdout):
        if any(suite.split(":")[-1] == "simulation" for suite in test["suite"]):
            yield os.path.relpath(test["cmd"][0], build)


def listed_folder(program):
    """The longest folder above the program that the rules list; else its first."""
    above = [str(folder) for folder in Path(program).parents]
    return next((folder for folder in above if folder in rules.FORBIDDEN_LINKS), program.split("/")[0])


def check_links(root, build):
    in_simulation = set(simulation_programs(build))
    for program, arguments in link_lines(build):
        folder = "simulation" if program in in_simulation else listed_folder(re.sub(r"^tests/", "", program))
        for argument in arguments:
            if program in rules.ALONE and re.match(r"-l|.*\.(a|so)\b", argument):
                yield (program, 1, f"is linked with {argument}", "it depends on no library", "do without")
            library = re.match(r"(?:-l|(?:.*/)?lib)(zmq|rocksdb|xen|curl)", argument)
            if library and library[1] in rules.FORBIDDEN_LINKS.get(folder, []):
                yield (program, 1, f"is linked with {argument}",
                       f"programs of {folder} never link {', '.join(rules.FORBIDDEN_LINKS[folder])}",
                       "depend on the simulated target of the seam, not on the live one")


def main(arguments):
    check = {"includes": check_includes, "paths": check_paths, "links": check_links}[arguments[0]]
    problems = list(check(*arguments[1:]))
    for file, line, what, rule, cure in problems:
        print(f"{file}:{line}: {what}. Rule: {rule}. Cure: {cure}.")
    print(f"{arguments[0]}: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
