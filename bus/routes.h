// Beyond which relay a node is found: asked once of those there are, and remembered. Pure, but for what `ask` does.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/reply.h"

namespace supercloud {

class Routes {
 public:
  // Whether `relay` has `node` beyond it: anything but an error says so.
  using Ask = std::function<void(const std::string& relay, const std::string& node,
                                 Reply<std::string> reply)>;
  explicit Routes(Ask ask) : ask_(std::move(ask)) {}

  // Replies with one of `relays`, those that are alive. Unavailable: none of them has it. Where there is but one, it is that one.
  void find(const std::string& node, const std::vector<std::string>& relays, Instant deadline,
            std::function<void(absl::StatusOr<std::string> relay)> found);
  // It is not there, or not any more.
  void forget(std::string_view node);

 private:
  static constexpr std::size_t routes_max = 16384;

  Ask ask_;
  std::map<std::string, std::string, std::less<>> routes_;  // by node
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace supercloud
