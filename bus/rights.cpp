#include "bus/rights.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/event.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t topic_tokens = 4;
constexpr std::size_t kind_tokens = 2;  // "domain.event" of a topic

// "vm.started." and all others that this build can publish.
const std::vector<std::string>& kinds() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> found;
    for (std::uint16_t type = 0; type < 256; ++type) {
      const auto topic = topic_of(static_cast<schema::Payload::Which>(type));
      if (!topic.empty()) found.push_back(std::string(topic) + ".");
    }
    return found;
  }();
  return all;
}

// The tokens that a topic has to begin with. False: no topic matches.
bool lead_of(const Pattern& pattern, std::vector<std::string_view>& tokens) {
  std::string_view rest = pattern.text();
  bool tail = false;
  for (bool more = true; more;) {
    const std::size_t dot = rest.find('.');
    const std::string_view token = rest.substr(0, dot);
    tail = token == ">";
    if (!tail) tokens.push_back(token);
    more = dot != std::string_view::npos;
    if (more) rest.remove_prefix(dot + 1);
  }
  const bool possible = tail ? tokens.size() < topic_tokens : tokens.size() == topic_tokens;
  while (!tokens.empty() && tokens.back() == "*") tokens.pop_back();
  return possible;
}

// Adds to `out` the prefixes of topics that begin with `built` and `begun`, and whose tokens from the `at`th on are `lead`'s.
void narrow(const std::vector<std::string_view>& lead, std::size_t at, const std::string& built,
            std::string_view begun, std::set<std::string>& out) {
  if (at == lead.size()) {
    out.insert(built);
    return;
  }
  if (lead[at] != "*") {
    if (lead[at].starts_with(begun))
      narrow(lead, at + 1, absl::StrCat(built, absl_view(lead[at]), "."), "", out);
    return;
  }
  if (at >= kind_tokens) return;
  std::set<std::string> next;
  for (const std::string& kind : kinds()) {
    if (!kind.starts_with(built)) continue;
    const std::string_view token = topic_token(kind, at);
    if (token.starts_with(begun)) next.insert(absl::StrCat(built, absl_view(token), "."));
  }
  for (const std::string& longer : next) narrow(lead, at + 1, longer, "", out);
}

// True: all of `prefix` is covered. Else adds to `out` what of it is.
bool cover(const Pattern& pattern, std::string_view prefix, std::set<std::string>& out) {
  std::vector<std::string_view> lead;
  if (!lead_of(pattern, lead)) return false;
  std::string_view rest = prefix;
  std::size_t at = 0;
  for (; at < lead.size(); ++at) {
    const std::size_t dot = rest.find('.');
    if (dot == std::string_view::npos) break;
    if (lead[at] != "*" && lead[at] != rest.substr(0, dot)) return false;
    rest.remove_prefix(dot + 1);
  }
  if (at == lead.size()) return true;
  narrow(lead, at, std::string(prefix.substr(0, prefix.size() - rest.size())), rest, out);
  return false;
}

}  // namespace

void Rights::grant(std::string name, NameRights rights) {
  names_.insert_or_assign(std::move(name), std::move(rights));
}

const NameRights* Rights::find(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &found->second;
}

bool Rights::may_publish(std::string_view name, std::string_view topic) const {
  const NameRights* rights = find(name);
  return rights != nullptr &&
         std::any_of(rights->publish.begin(), rights->publish.end(),
                     [&](const Pattern& pattern) { return pattern.matches(topic); });
}

bool Rights::may_request(std::string_view name) const {
  const NameRights* rights = find(name);
  return rights != nullptr && rights->requests;
}

bool Rights::may_relay(std::string_view name) const {
  const NameRights* rights = find(name);
  return rights != nullptr && rights->relays;
}

std::vector<std::string> Rights::allowed(std::string_view name, std::string_view prefix) const {
  const NameRights* rights = find(name);
  if (rights == nullptr || prefix.size() > topic_bytes_max) return {};
  std::set<std::string> found;
  for (const Pattern& pattern : rights->subscribe) {
    if (cover(pattern, prefix, found)) return {std::string(prefix)};
  }
  std::vector<std::string> widest;  // in order a shorter one comes right before those within it
  for (const std::string& each : found) {
    if (widest.empty() || !each.starts_with(widest.back())) widest.push_back(each);
  }
  return widest;
}

absl::Status check_right(const Pattern& pattern) {
  std::vector<std::string_view> lead;
  if (lead_of(pattern, lead)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", pattern.text(),
                   "\" matches no topic, which is domain.event.tenant.subject: end it with \".>\" "
                   "after three tokens at most, or write all four"));
}

}  // namespace supercloud
