#!/usr/bin/env python3
"""backports_source.py APT_FOLDER CODENAME: a source of that release of Debian and of its backports, derived from the sources that a
machine has (/etc/apt, in either format), as a stanza of a .sources file: the same archive, the same options.
"""

import re
import sys
from pathlib import Path


def stanzas(folder):
    """The fields of each source, name (in small letters) -> value."""
    for file in sorted((folder / "sources.list.d").glob("*.sources")):
        for text in re.split(r"\n\s*\n", file.read_text()):
            text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
            fields = {name.lower(): value for name, value in re.findall(r"^(\S+?):(.*(?:\n[ \t].*)*)", text, re.M)}
            if fields.get("enabled", "").strip() != "no":
                yield fields
    for file in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]:
        for line in file.read_text().splitlines() if file.is_file() else []:
            match = re.match(r"\s*deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line)
            if match:
                options = dict(option.split("=", 1) for option in (match[1] or "").split())
                fields = {{"arch": "architectures"}.get(name, name): " " + value.replace(",", " ")
                          for name, value in options.items()}
                yield fields | {"types": "deb", "uris": " " + match[2], "suites": match[3], "components": match[4]}


def derived(folder, codename):
    for fields in stanzas(folder):
        if all(word in fields.get(name, "").split()
               for name, word in (("types", "deb"), ("suites", codename), ("components", "main"))):
            fields |= {"types": " deb", "suites": f" {codename} {codename}-backports", "components": " main"}
            return "".join(f"{name.title()}:{value}\n" for name, value in fields.items())
    return None


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    stanza = derived(Path(sys.argv[1]), sys.argv[2])
    if stanza is None:
        sys.exit(f"setup: no source of {sys.argv[2]} main in {sys.argv[1]}; add one, or install QEMU >= 8.2")
    print(stanza, end="")
