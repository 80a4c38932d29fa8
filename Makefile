# Two commands matter: make demo and make test. make help lists the others.

SHELL := /bin/bash
JOBS ?= $(shell nproc)

.DEFAULT_GOAL := help
.PHONY: help setup build guests demo test torture bench bench-peers lint format verify fuzz clean

help:
	@echo "make demo     build, then watch virtual machines move between clouds for a minute"
	@echo "make test     all tests: release build, then under ASan+UBSan, then under TSan"
	@echo "make torture  the bus under EVENTS (default 100000) durable events over each transport, for minutes"
	@echo "make build    release build in build/, the program at build/cli/supercloud"
	@echo "make guests   unpack QEMU below build/, where the machine has none: the demo's guests are real then"
	@echo "make bench    run the benchmarks, as a table and as JSON"
	@echo "make bench-peers   the bus beside NATS, Redis and Mosquitto on this machine"
	@echo "make verify   model-check the hand-over with Spin (CI=1: what fits into five minutes)"
	@echo "make fuzz     run each fuzz target for FUZZ_SECONDS (default 20)"
	@echo "make lint     clang-format and clang-tidy, warnings are errors"
	@echo "make format   rewrite the sources with clang-format"
	@echo "make setup    install what the build needs (Debian 12 packages, see packages.txt)"
	@echo "make clean    remove everything that was built"

setup: build/.installed-build

# One stamp per group of packages, older than packages.txt when the list has changed since.
build/.installed-%: packages.txt tools/install_packages.sh
	@tools/install_packages.sh $*
	@mkdir -p build && touch $@

# Unpacked, not installed.
build/.unpacked-%: packages.txt tools/unpack_packages.sh
	@tools/unpack_packages.sh $* build/packages
	@touch $@

build/.unpacked-guests: packages.txt tools/unpack_guests.sh tools/backports_source.py
	@tools/unpack_guests.sh build/packages
	@touch $@

# The test guest, out of that.
build/guest/initramfs.cpio.gz: build/.unpacked-guests tests/guest/build_image.py tests/guest/init tests/guest/workload.cpp \
    tests/guest/workload_memory.h tests/guest/workload_protocol.h | build/build.ninja
	@ninja -C build --quiet tests/guest/guest_workload
	@tests/guest/build_image.py build/packages build/tests/guest/guest_workload build/guest

build/build.ninja: | build/.installed-build
	@tools/configure.sh build

build: build/build.ninja
	@echo "build: release build in build/"
	@ninja -C build -j $(JOBS)

guests: build build/guest/initramfs.cpio.gz

demo: build
	@build/cli/supercloud demo

test: setup build build/.unpacked-daemons build/guest/initramfs.cpio.gz build/.installed-sanitizers
	@tools/run_tests.sh

# Longer than a test may be: one run for each transport and length of queues, while processes are killed, stopped and cut off.
torture: build/build.ninja
	@ninja -C build -j $(JOBS) tests/process/torture/torture_tests
	@SUPERCLOUD_TORTURE=$(or $(EVENTS),100000) build/tests/process/torture/torture_tests --gtest_filter='*Torture*'

bench: build build/.unpacked-daemons
	@tools/run_benchmarks.sh

# What Meson has not found it looks for again: the libraries have come since.
build/.configured-peers: build/.installed-peer-clients | build/build.ninja
	@output=$$(meson setup --reconfigure build 2>&1) || { echo "$$output" >&2; exit 1; }
	@touch $@

bench-peers: build/build.ninja build/.configured-peers build/.unpacked-peers
	@ninja -C build -j $(JOBS) bench/peers/peer_bars
	@echo "bench: build/bench/peers/peer_bars"
	@build/bench/peers/peer_bars --servers build/packages --json build/bench/peer_bars.json

lint: build/.installed-build build/.installed-lint
	@tools/lint.sh

format: build/.installed-lint
	@git ls-files -z '*.h' '*.cpp' | xargs -0 clang-format-19 -i
	@echo "format: done"

verify: build/.installed-verify
	@python3 tests/model/verify.py $(if $(filter-out 0 false,$(CI)),--ci)

fuzz: build/.installed-build build/.installed-sanitizers
	@tools/run_fuzzers.sh

clean:
	@rm -rf build build-*
	@echo "clean: done"
