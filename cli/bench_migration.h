// supercloud bench migration: what a cluster adds to a move of a real guest, measured on one's own machine beside QEMU alone.
#pragma once

namespace CLI {
class App;
}

namespace supercloud {

struct Program;

void add_bench_migration(CLI::App& bench, Program& program);

}  // namespace supercloud
