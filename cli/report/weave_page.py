#!/usr/bin/env python3
"""weave_page.py OUTPUT.cpp PAGE.html LICENSE.txt DYGRAPHS.js DYGRAPHS.css OURS...: weaves one HTML page out of its parts.

OURS are our own .css and .js files; scripts run in the order given, in one function. In PAGE.html stand {{style}},
{{library}} and {{script}} for the contents of style and script elements, {{policy}} for a content security policy that
allows exactly these and no network, and {{title}} and {{data}}, which the program fills in. The output defines
supercloud::page_parts (page_parts.h). The same input gives the same bytes.
"""

import base64
import hashlib
import re
import sys
from pathlib import Path

PIECE_BYTES = 8000  # of a string literal: compilers need not take long ones


def text_of(path):
    return Path(path).read_text(encoding="utf-8")


def stripped(library):
    """Without the place of its source map, which a browser's tools would look for."""
    return re.sub(r"(//# sourceMappingURL=.*|/\*# sourceMappingURL=.*?\*/)\s*$", "", library).rstrip() + "\n"


def source_hash(content):
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"


def literal(piece):
    escaped = []
    for byte in piece:
        if byte in b'"\\?':
            escaped.append("\\" + chr(byte))
        elif 32 <= byte < 127:
            escaped.append(chr(byte))
        else:
            escaped.append(f"\\{byte:03o}")
    return '"' + "".join(escaped) + '"'


def array(name, content):
    content = content.encode()
    pieces = [content[i:i + PIECE_BYTES] for i in range(0, len(content), PIECE_BYTES)]
    lines = ",\n".join(f"    std::string_view({literal(piece)}, {len(piece)})" for piece in pieces)
    return f"constexpr std::string_view {name}[] = {{\n{lines}}};\n"


def main():
    output, page, license_text, library, library_style, *ours = sys.argv[1:]
    parts = {
        "style": stripped(text_of(library_style)) + "".join(text_of(each) for each in ours if each.endswith(".css")),
        "library": "/*!\n" + text_of(license_text) + "*/\n" + stripped(text_of(library)),
        "script": '"use strict";\n(() => {\n' + "".join(map(text_of, (each for each in ours if each.endswith(".js")))) + "})();\n",
    }
    for name, part in parts.items():
        if re.search(r"</(script|style)|<!--", part, re.IGNORECASE):
            sys.exit(f"{page}: what stands for {{{{{name}}}}} would end its element; write '<\\/script' instead")
    parts["policy"] = ("default-src 'none'; base-uri 'none'; form-action 'none'; "
                       f"style-src {source_hash(parts['style'])}; "
                       f"script-src {source_hash(parts['library'])} {source_hash(parts['script'])}")
    woven = re.sub(r"\{\{(style|library|script|policy)\}\}", lambda match: parts[match.group(1)], text_of(page))
    before_title, title, rest = woven.partition("{{title}}")
    before_data, data, after_data = rest.partition("{{data}}")
    if not title or not data:
        sys.exit(f"{page}: needs {{{{title}}}} and then {{{{data}}}}, once each")
    Path(output).write_text(
        '// Made by cli/report/weave_page.py.\n#include "cli/report/page_parts.h"\n\nnamespace supercloud {\nnamespace {\n\n'
        + array("before_title", before_title) + array("before_data", before_data) + array("after_data", after_data)
        + "\n}  // namespace\n\nconst PageParts page_parts = {before_title, before_data, after_data};\n\n}  // namespace supercloud\n",
        encoding="ascii")


main()
