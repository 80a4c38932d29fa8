// Who may publish, subscribe and ask what: patterns of topics (core/topic.h) by name. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/topic.h"

namespace supercloud {

struct NameRights {
  std::vector<Pattern> publish;
  std::vector<Pattern> subscribe;
  bool requests = false;  // to actors; what one may subscribe one may ask the log for in any case
  bool relays = false;    // what nodes beyond it say: a hub

  friend bool operator==(const NameRights&, const NameRights&) = default;
};

// Immutable once made. Who is not in it has no right.
class Rights {
 public:
  void grant(std::string name, NameRights rights);

  bool may_publish(std::string_view name, std::string_view topic) const;
  bool may_request(std::string_view name) const;
  bool may_relay(std::string_view name) const;
  // What of a subscription is granted: `prefix` is any beginning of a topic as it is on the wire (each token with its dot). Itself where a
  // right covers it; else the prefixes within it that are covered, none of them within another; none: nothing is granted.
  // A "*" before a literal token is written out with the topics that this build knows, in the first two tokens; elsewhere no prefix can say it,
  // and a subscription has to be as narrow itself.
  std::vector<std::string> allowed(std::string_view name, std::string_view prefix) const;

  const NameRights* find(std::string_view name) const;
  const std::map<std::string, NameRights, std::less<>>& names() const { return names_; }

 private:
  std::map<std::string, NameRights, std::less<>> names_;
};

// InvalidArgument: no event's topic, which has four tokens, matches it.
absl::Status check_right(const Pattern& pattern);

}  // namespace supercloud
