#!/usr/bin/env python3
"""Shows on small trees that the checks of check.py can fail, and that they leave good code alone."""

import tempfile
import unittest
from pathlib import Path

import check
import rules


class Tree(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = self.folder.name
        self.write("core/event.h", "#pragma once\n#include <string>\n")
        self.write("core/schema/event.capnp", "")
        self.write("bus/transport.h", "#pragma once\n")

    def write(self, path, text):
        file = Path(self.root) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def breaches(self, checker, *arguments):
        return [f"{file}:{line}: {what}" for file, line, what, _, _ in checker(self.root, *arguments)]

    def assert_breach(self, path, text, expected):
        self.write(path, text)
        self.assertEqual(self.breaches(check.check_includes), [expected])


class Includes(Tree):
    def test_good_code_passes(self):
        self.write("actors/policy/policy.cpp", '#include <sys/eventfd.h>\n#include <vector>\n'
                   '#include "absl/time/time.h"\n#include "bus/transport.h"\n#include "core/schema/event.capnp.h"\n')
        self.write("bus/transport.cpp", '#include <zmq.hpp>\n#include "core/event.h"\n')
        self.write("tests/bus/transport_test.cpp", '#include <zmq.hpp>\n#include "gtest/gtest.h"\n')
        self.assertEqual(self.breaches(check.check_includes), [])

    def test_a_lower_folder_includes_a_higher_one(self):
        self.assert_breach("core/node.cpp", '\n#include "bus/transport.h"\n',
                           'core/node.cpp:2: core/ includes "bus/transport.h"')

    def test_a_seam_includes_another(self):
        self.assert_breach("storage/site.cpp", '#include "bus/transport.h"\n',
                           'storage/site.cpp:1: storage/ includes "bus/transport.h"')

    def test_a_container_in_the_order_of_addresses(self):
        self.assert_breach("storage/store.h", "#pragma once\nstd::map<Stream*, std::unique_ptr<Stream>> streams;\n",
                           "storage/store.h:2: a container in the order of addresses")
        self.write("storage/store.h", "#pragma once\nstd::map<std::string, Stream*> streams;  // not set<Stream*>\n")
        self.assertEqual(self.breaches(check.check_includes), [])

    def test_a_library_outside_of_its_folder(self):
        self.assert_breach("actors/spot/feed.cpp", "#include <zmq.hpp>\n",
                           "actors/spot/feed.cpp:1: <zmq.hpp> is included here")

    def test_curl_outside_of_its_folder(self):
        self.assert_breach("actors/spot/csv_feed.cpp", "#include <curl/curl.h>\n",
                           "actors/spot/csv_feed.cpp:1: <curl/curl.h> is included here")

    def test_an_implementation_that_only_cli_chooses(self):
        self.write("actors/spot/live/aws_feed.h", "#pragma once\n#include \"core/event.h\"\n")
        self.write("core/http/http.h", "#pragma once\n")
        self.write("core/http/curl_http.cpp", '#include "core/http/http.h"\n#include <curl/curl.h>\n')
        self.write("actors/spot/live/aws_feed.cpp", '#include "actors/spot/live/aws_feed.h"\n#include "core/http/http.h"\n')
        self.write("cli/live_prices.cpp", '#include "actors/spot/live/aws_feed.h"\n')
        self.write("tests/actors/live/aws_test.cpp", '#include "actors/spot/live/aws_feed.h"\n')
        self.assert_breach("actors/spot/watcher.cpp", '#include "actors/spot/live/aws_feed.h"\n',
                           'actors/spot/watcher.cpp:1: actors/ includes "actors/spot/live/aws_feed.h"')

    def test_xen_outside_of_its_folder(self):
        self.assert_breach("hypercall/qemu/qmp.cpp", "#include <xenctrl.h>\n",
                           "hypercall/qemu/qmp.cpp:1: <xenctrl.h> is included here")

    def test_a_program_that_stands_alone(self):
        self.write("hypercall/keeper/protocol.h", "#pragma once\n")
        self.write("hypercall/keeper/freezer.h", '#include <sys/stat.h>\n')
        self.write("hypercall/keeper/client.cpp", '#include "core/event.h"\n#include "hypercall/keeper/protocol.h"\n')
        self.write("hypercall/keeper/keeper.cpp", '#include "hypercall/keeper/protocol.h"\n#include "core/event.h"\n'
                   '#include "absl/time/time.h"\n')
        self.assertEqual(self.breaches(check.check_includes),
                         ['hypercall/keeper/keeper.cpp:2: hypercall/keeper/keeper.cpp includes "core/event.h"',
                          "hypercall/keeper/keeper.cpp:3: <absl/time/time.h> is included here"])

    def test_capnp_headers_outside_of_core(self):
        self.assert_breach("bus/frame.cpp", "#include <capnp/message.h>\n",
                           "bus/frame.cpp:1: <capnp/message.h> is included here")

    def test_kj_outside_of_core(self):
        self.assert_breach("bus/frame.cpp", "// kj::Array here is talk\nkj::Array<int> a;\n",
                           "bus/frame.cpp:2: 'kj::' is used here")

    def test_an_unlisted_library(self):
        self.assert_breach("core/node.cpp", "#include <fmt/core.h>\n",
                           "core/node.cpp:1: <fmt/core.h> belongs to no listed library")

    def test_a_path_that_is_not_from_the_root(self):
        self.assert_breach("core/node.cpp", '#include "event.h"\n',
                           "core/node.cpp:1: <event.h> belongs to no listed library")

    def test_a_header_that_is_not_there(self):
        self.assert_breach("core/node.cpp", '#include "core/evnt.h"\n', 'core/node.cpp:1: no such header "core/evnt.h"')

    def test_a_general_library_must_be_listed(self):
        self.assert_breach("cli/config.cpp", "#include <toml++/toml.h>\n",
                           "cli/config.cpp:1: <toml++/toml.h> is included here")
        self.write("cli/meson.build", "executable('a', dependencies: toml_dep)")
        self.assertEqual(self.breaches(check.check_includes), [])

    def test_a_general_library_shows_in_a_header_of_another_folder(self):
        self.write("actors/meson.build", "json_dep")
        self.write("actors/view.h", "#include <nlohmann/json.hpp>\n")
        self.assert_breach("cli/show.cpp", '#include "actors/view.h"\n',
                           'cli/show.cpp:1: "actors/view.h" brings in <nlohmann/json.hpp>')


class Paths(Tree):
    def test_a_path_of_one_machine(self):
        folder = "/" + rules.FOREIGN_FOLDERS[0]
        self.write("docs/a.md", f"see {folder}/shared/x\nnot {folder}ers/, not frame{folder}/ nor a{folder}\n")
        self.assertEqual(self.breaches(check.check_paths), [f"docs/a.md:1: names {folder}"])


class Links(Tree):
    def test_a_simulation_program_with_a_live_library(self):
        self.write("build/build.ninja", "build tests/simulation/simulation_tests: cpp_LINKER a.o | b.a\n"
                   " LINK_ARGS = -Wl,--as-needed /usr/lib/libzmq.so -lrocksdb -lpthread\n"
                   "build tests/actors/actors_tests: cpp_LINKER a.o\n LINK_ARGS = -lcurl\n"
                   "build tests/actors/live/actors_live_tests: cpp_LINKER a.o\n LINK_ARGS = -lcurl\n"
                   "build cli/supercloud: cpp_LINKER a.o\n LINK_ARGS = -lrocksdb -lcurl\n")
        self.addCleanup(setattr, check, "simulation_programs", check.simulation_programs)
        check.simulation_programs = lambda build: []
        self.assertEqual(self.breaches(check.check_links, self.root + "/build"),
                         ["tests/simulation/simulation_tests:1: is linked with /usr/lib/libzmq.so",
                          "tests/simulation/simulation_tests:1: is linked with -lrocksdb",
                          "tests/actors/actors_tests:1: is linked with -lcurl"])

    def test_a_target_with_rules_of_its_own_below_a_folder(self):
        for folder in ["tests/actors", "tests/actors/policy/plugin"]:
            with open(Path(self.root) / "rules.ninja", "a") as build:
                build.write(f"build {folder}/tests: cpp_LINKER a.o\n LINK_ARGS = -lzmq -lrocksdb\n")
        self.write("build/build.ninja", (Path(self.root) / "rules.ninja").read_text())
        self.addCleanup(setattr, check, "simulation_programs", check.simulation_programs)
        check.simulation_programs = lambda build: []
        self.assertEqual(self.breaches(check.check_links, self.root + "/build"),
                         ["tests/actors/tests:1: is linked with -lzmq", "tests/actors/tests:1: is linked with -lrocksdb",
                          "tests/actors/policy/plugin/tests:1: is linked with -lrocksdb"])


if __name__ == "__main__":
    unittest.main()
