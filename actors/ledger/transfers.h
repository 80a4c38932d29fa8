// What moves send out of places, as their ends tell it: each migration owes it once, whoever tells its end, and however often.
//
//   completed   what it says that it sent, or what every move counts as
//   aborted     what it had sent until then, and no more than that
//
// The cloud of the place that the data leaves asks for it, at one price per GiB for all places: see docs/prices.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "actors/recent.h"
#include "core/event.h"
#include "core/time.h"

namespace supercloud {

struct Transfer {
  EventId migration;
  std::string vm;               // its name
  std::string source, target;   // nodes; empty: not known
  std::string instance, place;  // of the source; empty: one's own host, or not known
  absl::Time from, to;          // market time
  std::uint64_t bytes = 0;
  bool aborted = false;
};

struct TransferRules {
  MarketClock market;
  // What each completed move counts as having sent; without it what it says. An aborted one counts as no more either.
  std::optional<std::uint64_t> bytes;
  // So many moves that are charged are remembered; one more, and the first of them would be charged anew if its end were told again.
  std::size_t charged_max = 100'000;
};

// A fold over events of any type, in any order, and each as often as it is told. Takes note of node.joined, node.capacity,
// instance.launched, migration.started, .completed, .aborted, ledger.charged. Thread-bound.
class Transfers {
 public:
  explicit Transfers(const TransferRules& rules);

  void apply(const Event& event);
  // Those that have ended, sent something, and are not charged. Where the source was is not filled in.
  const std::map<EventId, Transfer>& due() const { return due_; }
  // As known by now.
  Transfer with_place(Transfer transfer);
  void charged(const EventId& migration);

 private:
  // Of each so many: nodes, and moves that have begun, the newest ones.
  static constexpr std::size_t begun_max = 10'000;

  struct Machine {
    std::string instance, place;
  };
  struct Begun {
    std::string source, target;
    absl::Time at;  // cluster time
  };
  void joined(schema::NodeJoined::Reader joined);
  void ended(const Event& event);

  const TransferRules rules_;
  RecentMap<std::string, Machine> machines_;  // by node
  RecentMap<EventId, Begun> begun_;
  RecentSet<EventId> charged_;
  std::map<EventId, Transfer> due_;
};

}  // namespace supercloud
