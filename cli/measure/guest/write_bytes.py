#!/usr/bin/env python3
"""write_bytes.py KERNEL OUTPUT.cpp: the file KERNEL as supercloud::tiny_guest_kernel() (guest_bytes.h)."""

import sys
from pathlib import Path

kernel = Path(sys.argv[1]).read_bytes()
lines = [", ".join(str(byte) for byte in kernel[at : at + 32]) for at in range(0, len(kernel), 32)]
Path(sys.argv[2]).write_text(
    '#include "cli/measure/guest/guest_bytes.h"\n\n'
    "namespace supercloud {\nnamespace {\n"
    "constexpr unsigned char kernel[] = {\n" + ",\n".join(lines) + "};\n"
    "}  // namespace\n\n"
    "std::string_view tiny_guest_kernel() {\n"
    "  return {reinterpret_cast<const char*>(kernel), sizeof kernel};\n"
    "}\n\n"
    "}  // namespace supercloud\n",
    encoding="utf-8",
)
