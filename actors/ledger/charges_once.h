// Which charges count: who takes the ledger's role over may say one again.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "core/event.h"
#include "core/schema/event.capnp.h"
#include "core/text.h"

namespace supercloud {

// A charge's key is the instance and the start of its hour or, for what a move sent, the migration. It grows with what it counted.
class ChargesOnce {
 public:
  // Once for each key.
  bool counts(schema::Charged::Reader charged) {
    if (charged.getSentBytes() > 0)
      return migrations_.insert(EventId::from(charged.getDecision())).second;
    return hours_.emplace(str(charged.getInstance()), charged.getFromNs()).second;
  }

 private:
  std::set<EventId> migrations_;
  std::set<std::pair<std::string, std::int64_t>> hours_;
};

}  // namespace supercloud
