#!/usr/bin/env python3
"""Where backports come from is derived from the sources that a machine has, in either format."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import backports_source


class BackportsSource(unittest.TestCase):
    def derive(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                file = Path(folder) / name
                file.parent.mkdir(exist_ok=True)
                file.write_text(text)
            return backports_source.derived(Path(folder), "bookworm")

    def test_of_a_line(self):
        self.assertEqual(
            self.derive({"sources.list": "# deb http://old/ bookworm main\ndeb-src http://a/ bookworm main\n"
                                         "deb [arch=amd64 signed-by=/k.gpg] http://b/ bookworm main contrib # ours\n"}),
            "Architectures: amd64\nSigned-By: /k.gpg\nTypes: deb\nUris: http://b/\nSuites: bookworm bookworm-backports\n"
            "Components: main\n")

    def test_of_a_stanza_with_the_key_in_it(self):
        self.assertEqual(
            self.derive({"sources.list.d/debian.sources":
                         "Types: deb\nURIs: http://other/\nSuites: nodistro\nComponents: main\n\n"
                         "# the second\nTypes: deb deb-src\nURIs: http://a/\nSuites: bookworm bookworm-updates\n"
                         "Components: main\nSigned-By:\n -----BEGIN\n .\n END-----\n"}),
            "Types: deb\nUris: http://a/\nSuites: bookworm bookworm-backports\nComponents: main\n"
            "Signed-By:\n -----BEGIN\n .\n END-----\n")

    def test_of_nothing_that_is_switched_on(self):
        self.assertIsNone(self.derive({"sources.list": "deb http://a/ bookworm-security main\n",
                                       "sources.list.d/off.sources": "Types: deb\nURIs: http://a/\nSuites: bookworm\n"
                                                                     "Components: main\nEnabled: no\n"}))


if __name__ == "__main__":
    unittest.main()
