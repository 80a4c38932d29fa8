#include "tests/process/torture/judge.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace supercloud::torture {
namespace {

using Id = std::pair<std::uint64_t, std::uint64_t>;  // incarnation, sequence
Id id_of(const Record& record) { return {record.incarnation, record.sequence}; }
std::string text_of(Id id) { return absl::StrCat(id.first, ":", id.second); }

std::uint8_t bit(Kind kind) { return static_cast<std::uint8_t>(1U << static_cast<unsigned>(kind)); }

// The kinds that share the first `tokens` tokens with it.
std::uint8_t chain_of(Kind kind, std::size_t tokens) {
  if (tokens == 0) return (1U << kinds) - 1;
  if (tokens == 2) return bit(kind);
  return kind == Kind::price ? bit(Kind::price)
                             : bit(Kind::started) | bit(Kind::paused) | bit(Kind::dirty_rate);
}

bool names(const Record& gap, Id id, std::uint8_t chain) {
  return gap.incarnation == id.first && gap.sequence < id.second && id.second <= gap.previous &&
         (gap.kinds_mask & chain) == chain;
}

// One origin as one life saw it.
class Look {
 public:
  Look(Verdict& verdict, const OriginTruth& origin, const SubscriberLife& life)
      : verdict_(verdict), origin_(origin), life_(life) {}

  void take(const Record& record) {
    if (record.note == Note::ready) ready(record.at_ns);
    if (record.note == Note::gap) gaps_.push_back(record);
    if (record.note == Note::received) received_.push_back(record);
  }
  void judge(std::map<Id, std::uint64_t>& digests) {
    order();
    content(digests);
    if (!owed_from_) return;
    durable_events();
    predecessors();
  }

 private:
  void ready(std::int64_t at_ns) {
    for (const Record& record : origin_.acknowledged) {
      if (record.published_ns < at_ns) continue;
      owed_from_ = id_of(record);
      return;
    }
  }

  void wrong(std::size_t& count, const std::string& what, Id id) {
    if (count++ > 0) return;
    verdict_.wrong.push_back(
        absl::StrCat(life_.name, ": ", what, ", first ", origin_.name, ":", text_of(id)));
  }

  void order() {
    verdict_.received += received_.size();
    for (std::size_t i = 1; i < received_.size(); ++i) {
      if (id_of(received_[i]) <= id_of(received_[i - 1]))
        wrong(verdict_.disordered, "received twice or out of order", id_of(received_[i]));
    }
  }

  void content(std::map<Id, std::uint64_t>& digests) {
    std::map<Id, std::uint64_t> logged;
    for (const Record& record : origin_.log) logged[id_of(record)] = record.digest;
    for (const Record& record : received_) {
      const Id id = id_of(record);
      const auto found = logged.find(id);
      if (found == logged.end() && durable(record.kind))
        wrong(verdict_.unlogged, "received a durable event that is in no log", id);
      const std::uint64_t expected = found != logged.end()
                                         ? found->second
                                         : digests.try_emplace(id, record.digest).first->second;
      if (expected != record.digest) wrong(verdict_.altered, "received other bytes", id);
    }
  }

  bool named(Id id, std::uint8_t chain) const {
    return std::any_of(gaps_.begin(), gaps_.end(),
                       [&](const Record& gap) { return names(gap, id, chain); });
  }

  // Those of the log that it was owed.
  void durable_events() {
    if (!life_.to_the_end && received_.empty()) return;
    std::map<Id, std::int64_t> got;
    for (const Record& record : received_) got[id_of(record)] = record.at_ns;
    std::map<Id, std::int64_t> acknowledged;
    for (const Record& record : origin_.acknowledged) acknowledged[id_of(record)] = record.at_ns;
    for (const Record& record : origin_.log) {
      const Id id = id_of(record);
      if (id < *owed_from_ || !durable(record.kind)) continue;
      if (!life_.to_the_end && id > id_of(received_.back())) break;
      ++verdict_.owed;
      const auto arrived = got.find(id);
      const auto known = acknowledged.find(id);
      if (arrived != got.end()) {
        if (known != acknowledged.end())
          verdict_.longest_wait_ns =
              std::max(verdict_.longest_wait_ns, arrived->second - known->second);
        continue;
      }
      if (known != acknowledged.end())
        wrong(verdict_.unreached, "an acknowledged event was not received", id);
      if (named(id, chain_of(record.kind, life_.tokens))) {
        ++verdict_.named;
      } else {
        wrong(verdict_.silent, "an event in the log was neither received nor named by a gap", id);
      }
    }
  }

  // What each event that arrived says was before it under the same subscription.
  void predecessors() {
    std::map<std::uint8_t, Id> last;
    for (const Record& record : received_) {
      const std::uint8_t chain = chain_of(record.kind, life_.tokens);
      const Id before{record.incarnation, record.previous};
      const auto found = last.find(chain);
      const bool missing = record.previous != 0 && before >= *owed_from_ &&
                           (found == last.end() || before > found->second);
      if (missing && !named(before, chain))
        wrong(verdict_.silent,
              "an event that a later one names was neither received nor named by a gap", before);
      last[chain] = id_of(record);
    }
  }

  Verdict& verdict_;
  const OriginTruth& origin_;
  const SubscriberLife& life_;
  std::vector<Record> gaps_;
  std::vector<Record> received_;
  std::optional<Id> owed_from_;
};

}  // namespace

Verdict judge(const std::vector<OriginTruth>& origins, const std::vector<SubscriberLife>& lives) {
  Verdict verdict;
  for (const OriginTruth& origin : origins) {
    std::set<Id> logged;
    for (const Record& record : origin.log) logged.insert(id_of(record));
    for (const Record& record : origin.acknowledged) {
      if (logged.contains(id_of(record))) continue;
      if (verdict.unlogged++ > 0) continue;
      verdict.wrong.push_back(absl::StrCat("acknowledged, and not in the log, first ", origin.name,
                                           ":", text_of(id_of(record))));
    }
  }
  std::vector<std::map<Id, std::uint64_t>> digests(origins.size());
  for (const SubscriberLife& life : lives) {
    std::vector<Look> looks;
    for (const OriginTruth& origin : origins) looks.emplace_back(verdict, origin, life);
    for (const Record& record : life.records) looks[record.origin].take(record);
    for (std::size_t i = 0; i < looks.size(); ++i) looks[i].judge(digests[i]);
  }
  return verdict;
}

}  // namespace supercloud::torture
