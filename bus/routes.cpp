#include "bus/routes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {

void Routes::find(const std::string& node, const std::vector<std::string>& relays, Instant deadline,
                  std::function<void(absl::StatusOr<std::string> relay)> found) {
  if (relays.size() == 1) return found(relays[0]);
  const auto known = routes_.find(node);
  if (known != routes_.end() &&
      std::find(relays.begin(), relays.end(), known->second) != relays.end())
    return found(known->second);
  struct Search {
    std::size_t open = 0;
    std::function<void(absl::StatusOr<std::string>)> found;
  };
  const auto search = std::make_shared<Search>(Search{relays.size(), std::move(found)});
  if (relays.empty())
    return search->found(absl::UnavailableError(absl::StrCat("no hub is reachable, for ", node)));
  for (const std::string& relay : relays) {
    ask_(relay, node,
         Reply<std::string>(deadline, [this, alive = std::weak_ptr<char>(alive_), search, relay,
                                       node](const absl::StatusOr<std::string>& has) {
           --search->open;
           if (!search->found || alive.expired()) return;
           if (has.ok()) {
             if (routes_.size() >= routes_max) routes_.clear();
             routes_.insert_or_assign(node, relay);
             std::exchange(search->found, nullptr)(relay);
           } else if (search->open == 0) {
             std::exchange(search->found, nullptr)(absl::UnavailableError(
                 absl::StrCat("no node named \"", node, "\" is reachable through any hub")));
           }
         }));
  }
}

void Routes::forget(std::string_view node) {
  const auto found = routes_.find(node);
  if (found != routes_.end()) routes_.erase(found);
}

}  // namespace supercloud
