// What the test guest's workload (workload.cpp) says to its host, and what it leaves on its disk. In the byte order of both.
//
// Pings, over TCP and UDP: ping_port
//   request := sequence:u64                                    a TCP connection may have many under way
//   answer  := sequence:u64 served:u64 ticks:u64 monotonic_ns:u64
//   `served` counts all answers to pings, `ticks` the milliseconds in which the guest got to execute.
//
// Commands, a line each: line_port over TCP and UDP (a datagram is a line), the first virtio-serial port, and the serial console
//   answer  := ("key=value" (" " "key=value")* | "error: " what and cure) "\n"
//   counter                         served= ticks= monotonic_ns=
//   set dirty MIB_PER_S [MIB]       so many pages are written a second, all over the working set of so many MiB (default 16); 0 stops
//   set disk WRITES_PER_S           each of them flushed before the next; 0 stops
//   check                           memory= disk= clock=, each "ok" or what is wrong, in words joined by "_"; and figures
//   damage                          flips one bit of the working set: so that a check can be seen to fail
//   off                             the guest powers itself off
//
// The disk, if there is one: blocks of 4 KiB. Write number s goes to block s % (blocks - 1) + 1 and fills it with stamps.
//   block   := stamp[128]                                      block 0 is never written
//   stamp   := magic:u64 write:u64 monotonic_ns:u64 (write ^ index):u64
#pragma once

#include <cstddef>
#include <cstdint>

namespace supercloud::workload {

inline constexpr std::uint16_t ping_port = 7000;
inline constexpr std::uint16_t line_port = 7001;
inline constexpr std::size_t line_bytes_max = 512;
// What the console shows when all ports are open.
inline constexpr char ready[] = "WORKLOAD-READY";

struct Ping {
  std::uint64_t sequence = 0;
  std::uint64_t served = 0;
  std::uint64_t ticks = 0;
  std::uint64_t monotonic_ns = 0;
};

struct Stamp {
  std::uint64_t magic = 0;
  std::uint64_t write = 0;
  std::uint64_t monotonic_ns = 0;
  std::uint64_t check = 0;
};
inline constexpr std::uint64_t stamp_magic = 0x5355'5045'5243'4c44;
inline constexpr std::size_t block_bytes = 4096;
inline constexpr std::size_t stamps = block_bytes / sizeof(Stamp);
inline constexpr std::uint64_t blocks_used_max = 1024;  // of a larger disk

struct Block {
  Stamp stamp[stamps];

  void fill(std::uint64_t write, std::uint64_t monotonic_ns) {
    for (std::size_t i = 0; i < stamps; ++i)
      stamp[i] = {stamp_magic, write, monotonic_ns, write ^ i};
  }
  bool empty() const { return stamp[0].magic != stamp_magic; }
  // All of it is of one write.
  bool whole() const {
    for (std::size_t i = 0; i < stamps; ++i)
      if (stamp[i].magic != stamp_magic || stamp[i].write != stamp[0].write ||
          stamp[i].check != (stamp[i].write ^ i))
        return false;
    return true;
  }
};
static_assert(sizeof(Block) == block_bytes);

}  // namespace supercloud::workload
