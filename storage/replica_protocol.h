// The replication stream: what two volume stores say to each other over one Link, service "replica".
//
// All integers are little-endian. One link frame is one message:
//
//   message   = hello | blocks | synced | writes | flushed | inventory | ack | refuse
//   hello     = 01 magic:u32 ( "SCR1" ) vm:text source:text epoch:u64 bytes:u64 version:u64 n:u32 n*( epoch:u64 first:u64 )
//   blocks    = 02 n:u32 n*block
//   synced    = 03 version:u64 digest:u64 flushed:u64
//   writes    = 04 n:u32 n*block           each with content, versions ascending
//   flushed   = 05 version:u64
//   inventory = 81 flags:u8 n:u32 n*( index:u64 epoch:u64 version:u64 check:u64 )      flags: 1 first, 2 last
//   ack       = 82 received:u64 stable:u64
//   refuse    = 83 fence:u64 why:text
//   block     = index:u64 epoch:u64 version:u64 present:u8 [ text ]                     present: 0 erased, 1 content
//   text      = n:u32 n*u8
//
//   source                                          replica
//     hello (vm, epoch, history) ────────────────────►  below its fence, or not above what it closed: refuse, close
//                                                       else raises its fence; content beyond the branch point makes it
//                                                       unfit as a base until the next synced
//     ◄──────────────────────────────── inventory ...   what it has now, block by block
//     blocks ... (whatever differs; erased where the source has none), staged by the replica
//     synced (version, digest) ──────────────────────►  applies the stage in one step
//     writes, flushed ... ───────────────────────────►  applies in order: the replica is a prefix of the source at every moment
//     ◄───────────────────────────────────────── ack    after each step, and when more of it is on stable storage
//     ◄────────────────────────── inventory ...         at any time after synced: begins again (its digest was another)
//
// The branch point: `history` lists the source's epochs with the first version each wrote (ascending). The newest version that
// both share lies in the newest epoch that both list, where the shorter of the two ends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "core/link.h"
#include "core/units.h"

namespace supercloud::replica_protocol {

inline constexpr std::string_view service = "replica";
inline constexpr std::size_t name_bytes_max = 512;
inline constexpr std::size_t entries_max = 65536;          // of any list in one message
inline constexpr std::size_t content_bytes_max = 1 << 20;  // of one block

struct Span {
  Epoch epoch = 0;
  std::uint64_t first = 0;  // version of the first write in that epoch, made or to come
  friend bool operator==(const Span&, const Span&) = default;
};
using History = std::vector<Span>;  // epochs ascending

struct Block {
  std::uint64_t index = 0;
  Epoch epoch = 0;
  std::uint64_t version = 0;
  bool present = true;
  std::string content;
  friend bool operator==(const Block&, const Block&) = default;
};

struct Hello {
  std::string vm;
  std::string source;  // node
  Epoch epoch = 0;
  std::uint64_t bytes = 0;
  std::uint64_t version = 0;
  History history;
  friend bool operator==(const Hello&, const Hello&) = default;
};
struct Blocks {
  std::vector<Block> blocks;
  friend bool operator==(const Blocks&, const Blocks&) = default;
};
struct Synced {
  std::uint64_t version = 0;
  std::uint64_t digest = 0;
  std::uint64_t flushed = 0;
  friend bool operator==(const Synced&, const Synced&) = default;
};
struct Writes {
  std::vector<Block> blocks;
  friend bool operator==(const Writes&, const Writes&) = default;
};
struct Flushed {
  std::uint64_t version = 0;
  friend bool operator==(const Flushed&, const Flushed&) = default;
};
struct Inventory {
  struct Entry {
    std::uint64_t index = 0;
    Epoch epoch = 0;
    std::uint64_t version = 0;
    std::uint64_t check = 0;  // hash of the content
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  bool first = false;
  bool last = false;
  std::vector<Entry> entries;
  friend bool operator==(const Inventory&, const Inventory&) = default;
};
struct Ack {
  std::uint64_t received = 0;
  std::uint64_t stable = 0;
  friend bool operator==(const Ack&, const Ack&) = default;
};
struct Refuse {
  Epoch fence = 0;
  std::string why;
  friend bool operator==(const Refuse&, const Refuse&) = default;
};

using Frame = std::variant<Hello, Blocks, Synced, Writes, Flushed, Inventory, Ack, Refuse>;

std::string encode(const Frame& frame);
// InvalidArgument names the message and the field. What it accepts, encode() gives back byte for byte.
absl::StatusOr<Frame> decode(std::string_view bytes);

// The newest version that both lineages share; 0: nothing. A lineage's history ends with the epoch that wrote `version`.
std::uint64_t branch_point(const History& source, std::uint64_t source_version,
                           const History& replica, std::uint64_t replica_version);

}  // namespace supercloud::replica_protocol
