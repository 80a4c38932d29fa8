"""The rules of docs/architecture.md that a machine can check. Change them there and here, in one commit."""

# cli -> simulation -> actors -> bus, storage, hypercall -> core; tests and bench see everything.
SEAM_FOLDERS = ["bus", "storage", "hypercall"]
MAY_INCLUDE = {
    "core": ["core"],
    "bus": ["bus", "core"],
    "storage": ["storage", "core"],
    "hypercall": ["hypercall", "core"],
    "actors": ["actors", *SEAM_FOLDERS, "core"],
    "simulation": ["simulation", "actors", *SEAM_FOLDERS, "core"],
    "cli": ["cli", "simulation", "actors", *SEAM_FOLDERS, "core"],
    "bench": ["bench", "tests", "cli", "simulation", "actors", *SEAM_FOLDERS, "core"],
    "tests": ["tests", "bench", "cli", "simulation", "actors", *SEAM_FOLDERS, "core"],
}

# Libraries that belong to one place: (how their headers begin, folders that may include them). Tests and benchmarks of such
# a folder (tests/bus, bench/bus) may as well.
OWNED_LIBRARIES = [
    ("absl/", list(MAY_INCLUDE)),
    ("capnp/", ["core"]),
    ("kj/", ["core"]),
    ("zmq", ["bus", "actors/policy/plugin"]),
    ("sodium", ["bus"]),
    ("rocksdb/", ["storage"]),
    ("curl/", ["core/http"]),
    ("pugixml", ["actors/spot/live"]),
    ("boost/crc", ["storage"]),
    ("boost/histogram", ["cli/measure"]),
    ("boost/", ["actors/gateway/http"]),
    ("xen", ["hypercall/xen"]),
    ("libxl", ["hypercall/xen"]),
    ("gtest/", ["tests"]),
    ("gmock/", ["tests"]),
    ("benchmark/", ["bench", "tests/bench"]),
    ("nats/", ["bench/peers"]),
    ("hiredis/", ["bench/peers"]),
    ("mosquitto", ["bench/peers"]),
]

# Libraries for any folder whose meson.build lists them (by this name), but never in a header that another folder includes.
GENERAL_LIBRARIES = [
    ("CLI/", "cli11_dep"),
    ("toml++/", "toml_dep"),
    ("nlohmann/", "json_dep"),
    ("openssl/", "openssl_dep"),
]

# Implementations of a seam that bring a library along: folder -> the folders that may include it, besides itself.
CHOSEN_BY = {
    "core/http": ["actors/spot/live", "storage/etcd", "cli", "tests", "bench"],
    "actors/gateway/http": ["cli", "tests", "bench"],
    "actors/spot/live": ["cli", "tests", "bench"],
    "storage/etcd": ["cli", "tests", "bench"],
    "hypercall/qemu": ["cli", "tests", "bench"],
    "hypercall/xen": ["cli", "tests", "bench"],
}

# The operating system's own headers. Those of the C++ library have no dot and need no list.
SYSTEM_FOLDERS = ("arpa/", "asm/", "linux/", "net/", "netinet/", "sys/", "valgrind/", "sanitizer/")
SYSTEM_HEADERS = """
    cpuid.h dirent.h dlfcn.h endian.h errno.h execinfo.h fcntl.h ftw.h getopt.h grp.h ifaddrs.h immintrin.h inttypes.h
    limits.h malloc.h math.h netdb.h poll.h pthread.h pty.h pwd.h sched.h semaphore.h signal.h spawn.h stddef.h stdint.h stdio.h stdlib.h
    string.h syscall.h syslog.h termios.h threads.h time.h ucontext.h unistd.h utmp.h wait.h
""".split()

# Words that stay in one folder (its tests and benchmarks too).
OWNED_WORDS = [("kj::", "core")]

# Containers in the order of addresses, in what a simulation runs: the same seed would be another run. Even one that nobody walks is
# destroyed in that order.
ORDERED_BY_ADDRESS = r"\b(?:map|set|priority_queue)<(?:const )?[\w:]+(?:<[^<>]*>)? ?\*"
SIMULATED = ["core", *SEAM_FOLDERS, "actors", "simulation"]

# What the test programs of a folder never have on their link line, so that simulation and actors stay free of the outside. The
# longest folder that is listed counts.
FORBIDDEN_LINKS = {
    "core": ["zmq", "rocksdb", "xen", "curl", "sodium"],
    "core/http": ["zmq", "rocksdb", "xen", "sodium"],
    "bus": ["rocksdb", "xen", "curl"],
    "storage": ["zmq", "xen", "curl", "sodium"],
    "storage/etcd": ["zmq", "rocksdb", "xen", "sodium"],
    "hypercall": ["zmq", "rocksdb", "curl", "sodium"],
    "actors": ["zmq", "rocksdb", "xen", "curl", "sodium"],
    "actors/archive": ["zmq", "xen", "curl", "sodium"],  # over the log on disk, too
    "actors/live": ["zmq", "rocksdb", "xen"],
    "actors/policy/plugin": ["rocksdb", "xen"],
    "simulation": ["zmq", "rocksdb", "xen", "curl", "sodium"],
}

# Programs that are linked with nothing but the C++ library, and the files they are made of, which include no others of ours: what must work when
# all else fails.
ALONE = {
    "hypercall/keeper/supercloud-keeper":
        ["hypercall/keeper/keeper.cpp", "hypercall/keeper/freezer.h", "hypercall/keeper/protocol.h"],
}

# Folders that exist on the machines this is written on, and nowhere else.
FOREIGN_FOLDERS = ["wo" "rk", "fa" "rm"]
