#include "storage/replica_protocol.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace supercloud::replica_protocol {
namespace {

constexpr std::uint32_t magic = 0x31524353;  // "SCR1"

enum : std::uint8_t {
  tag_hello = 0x01,
  tag_blocks = 0x02,
  tag_synced = 0x03,
  tag_writes = 0x04,
  tag_flushed = 0x05,
  tag_inventory = 0x81,
  tag_ack = 0x82,
  tag_refuse = 0x83,
};

class Writer {
 public:
  explicit Writer(std::uint8_t tag) { u8(tag); }
  void u8(std::uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void u32(std::uint64_t value) { integer(value, 4); }
  void u64(std::uint64_t value) { integer(value, 8); }
  void text(std::string_view value) {
    u32(value.size());
    bytes_.append(value);
  }
  void block(const Block& block) {
    u64(block.index);
    u64(block.epoch);
    u64(block.version);
    u8(block.present ? 1 : 0);
    if (block.present) text(block.content);
  }
  void blocks(const std::vector<Block>& list) {
    u32(list.size());
    for (const Block& each : list) block(each);
  }
  std::string take() { return std::move(bytes_); }

 private:
  void integer(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes_.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  }
  std::string bytes_;
};

// Remembers the first failure; after it every read yields zero.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  void in(const char* message) { message_ = message; }
  std::uint8_t u8(const char* field) { return static_cast<std::uint8_t>(integer(1, field)); }
  std::uint32_t u32(const char* field) { return static_cast<std::uint32_t>(integer(4, field)); }
  std::uint64_t u64(const char* field) { return integer(8, field); }
  std::string text(std::size_t max, const char* field) {
    const std::size_t size = u32(field);
    if (size > max) fail(field, "is too long");
    if (size > rest_.size()) fail(field, "is cut off");
    if (!status_.ok()) return {};
    std::string value(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return value;
  }
  // So that a count alone makes nobody reserve memory, it is checked against the bytes that are left.
  std::size_t count(std::size_t entry_bytes_min, const char* field) {
    const std::size_t n = u32(field);
    if (n > entries_max) fail(field, "is too large");
    if (n * entry_bytes_min > rest_.size()) fail(field, "is cut off");
    return status_.ok() ? n : 0;
  }
  std::vector<Block> blocks() {
    std::vector<Block> list(count(25, "count"));
    for (Block& block : list) {
      block.index = u64("block index");
      block.epoch = u64("block epoch");
      block.version = u64("block version");
      const std::uint8_t present = u8("block presence");
      if (present > 1) fail("block presence", "is neither 0 nor 1");
      block.present = present == 1;
      if (block.present) block.content = text(content_bytes_max, "block content");
      if (!status_.ok()) return {};
    }
    return list;
  }
  void fail(const char* field, const char* why) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(absl::StrCat("replica ", message_, ": ", field, " ", why));
  }
  absl::Status finish() {
    if (!rest_.empty()) fail("end", "has bytes left over");
    return status_;
  }

 private:
  std::uint64_t integer(std::size_t size, const char* field) {
    if (rest_.size() < size) fail(field, "is cut off");
    if (!status_.ok()) return 0;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
    }
    rest_.remove_prefix(size);
    return value;
  }
  std::string_view rest_;
  const char* message_ = "message";
  absl::Status status_;
};

struct Encoder {
  std::string operator()(const Hello& m) const {
    Writer out(tag_hello);
    out.u32(magic);
    out.text(m.vm);
    out.text(m.source);
    out.u64(m.epoch);
    out.u64(m.bytes);
    out.u64(m.version);
    out.u32(m.history.size());
    for (const Span& span : m.history) {
      out.u64(span.epoch);
      out.u64(span.first);
    }
    return out.take();
  }
  std::string operator()(const Blocks& m) const {
    Writer out(tag_blocks);
    out.blocks(m.blocks);
    return out.take();
  }
  std::string operator()(const Synced& m) const {
    Writer out(tag_synced);
    out.u64(m.version);
    out.u64(m.digest);
    out.u64(m.flushed);
    return out.take();
  }
  std::string operator()(const Writes& m) const {
    Writer out(tag_writes);
    out.blocks(m.blocks);
    return out.take();
  }
  std::string operator()(const Flushed& m) const {
    Writer out(tag_flushed);
    out.u64(m.version);
    return out.take();
  }
  std::string operator()(const Inventory& m) const {
    Writer out(tag_inventory);
    out.u8(static_cast<std::uint8_t>((m.first ? 1 : 0) | (m.last ? 2 : 0)));
    out.u32(m.entries.size());
    for (const Inventory::Entry& entry : m.entries) {
      out.u64(entry.index);
      out.u64(entry.epoch);
      out.u64(entry.version);
      out.u64(entry.check);
    }
    return out.take();
  }
  std::string operator()(const Ack& m) const {
    Writer out(tag_ack);
    out.u64(m.received);
    out.u64(m.stable);
    return out.take();
  }
  std::string operator()(const Refuse& m) const {
    Writer out(tag_refuse);
    out.u64(m.fence);
    out.text(m.why);
    return out.take();
  }
};

Hello read_hello(Reader& in) {
  in.in("hello");
  if (in.u32("magic") != magic)
    in.fail("magic", "is not SCR1: another protocol, or another version of this one");
  Hello m;
  m.vm = in.text(name_bytes_max, "vm");
  m.source = in.text(name_bytes_max, "source");
  m.epoch = in.u64("epoch");
  m.bytes = in.u64("bytes");
  m.version = in.u64("version");
  m.history.resize(in.count(16, "history count"));
  const Span* previous = nullptr;
  for (Span& span : m.history) {
    span.epoch = in.u64("history epoch");
    span.first = in.u64("history version");
    if (span.first == 0) in.fail("history version", "is 0");
    if (span.epoch == 0 || (previous != nullptr && span.epoch <= previous->epoch)) {
      in.fail("history epoch", "does not ascend");
    }
    if (previous != nullptr && span.first < previous->first) in.fail("history version", "descends");
    previous = &span;
  }
  if (m.vm.empty()) in.fail("vm", "is empty");
  if (m.epoch == 0) in.fail("epoch", "is 0");
  if (!m.history.empty() && m.history.back().epoch > m.epoch)
    in.fail("history epoch", "lies beyond the hello's");
  return m;
}

Writes read_writes(Reader& in) {
  in.in("writes");
  Writes m{in.blocks()};
  std::uint64_t previous = 0;
  for (const Block& block : m.blocks) {
    if (!block.present) in.fail("block", "has no content");
    if (block.version <= previous) in.fail("block version", "does not ascend");
    if (block.epoch == 0) in.fail("block epoch", "is 0");
    previous = block.version;
  }
  return m;
}

Inventory read_inventory(Reader& in) {
  in.in("inventory");
  Inventory m;
  const std::uint8_t flags = in.u8("flags");
  if (flags > 3) in.fail("flags", "has unknown bits");
  m.first = (flags & 1) != 0;
  m.last = (flags & 2) != 0;
  m.entries.resize(in.count(32, "count"));
  const Inventory::Entry* previous = nullptr;
  for (Inventory::Entry& entry : m.entries) {
    entry.index = in.u64("index");
    entry.epoch = in.u64("epoch");
    entry.version = in.u64("version");
    entry.check = in.u64("check");
    if (previous != nullptr && entry.index <= previous->index) in.fail("index", "does not ascend");
    previous = &entry;
  }
  return m;
}

}  // namespace

std::string encode(const Frame& frame) { return std::visit(Encoder{}, frame); }

absl::StatusOr<Frame> decode(std::string_view bytes) {
  Reader in(bytes);
  Frame frame;
  switch (in.u8("tag")) {
    case tag_hello:
      frame = read_hello(in);
      break;
    case tag_blocks:
      in.in("blocks");
      frame = Blocks{in.blocks()};
      break;
    case tag_synced: {
      in.in("synced");
      Synced m;
      m.version = in.u64("version");
      m.digest = in.u64("digest");
      m.flushed = in.u64("flushed");
      frame = m;
      break;
    }
    case tag_writes:
      frame = read_writes(in);
      break;
    case tag_flushed:
      in.in("flushed");
      frame = Flushed{in.u64("version")};
      break;
    case tag_inventory:
      frame = read_inventory(in);
      break;
    case tag_ack: {
      in.in("ack");
      Ack m;
      m.received = in.u64("received");
      m.stable = in.u64("stable");
      if (m.stable > m.received) in.fail("stable", "is beyond what was received");
      frame = m;
      break;
    }
    case tag_refuse: {
      in.in("refuse");
      Refuse m;
      m.fence = in.u64("fence");
      m.why = in.text(name_bytes_max, "why");
      frame = std::move(m);
      break;
    }
    default:
      in.fail("tag", "is unknown");
  }
  if (absl::Status status = in.finish(); !status.ok()) return status;
  return frame;
}

std::uint64_t branch_point(const History& source, std::uint64_t source_version,
                           const History& replica, std::uint64_t replica_version) {
  // Newest first: the last version that `history` wrote in its span at `i`.
  const auto end = [](const History& history, std::size_t i, std::uint64_t version) {
    return i + 1 < history.size() ? std::min(version, history[i + 1].first - 1) : version;
  };
  for (std::size_t s = source.size(); s-- > 0;) {
    for (std::size_t r = replica.size(); r-- > 0;) {
      if (source[s].epoch != replica[r].epoch || source[s].first != replica[r].first) continue;
      return std::min(end(source, s, source_version), end(replica, r, replica_version));
    }
  }
  return 0;
}

}  // namespace supercloud::replica_protocol
