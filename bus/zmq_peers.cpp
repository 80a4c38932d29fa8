#include "bus/zmq_peers.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <zmq.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "core/text.h"

namespace supercloud {
namespace {

// Whether it is a connection, and not another file or what is listened on, of that port.
bool is_connection(int descriptor, std::uint16_t port) {
  int listens = 0;
  socklen_t size = sizeof listens;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens != 0)
    return false;
  sockaddr_storage address{};
  size = sizeof address;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  in_port_t own = 0;
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    own = v4.sin_port;
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    own = v6.sin6_port;
  } else {
    return false;
  }
  return ntohs(own) == port;
}

}  // namespace

const int ZmqPeers::events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED;

ZmqPeers::ZmqPeers(std::size_t connections_max, std::function<void()> crowded)
    : connections_max_(connections_max), crowded_(std::move(crowded)) {}

void ZmqPeers::bound(std::string_view endpoint) {
  int port = 0;
  if (!absl::SimpleAtoi(absl_view(endpoint.substr(endpoint.rfind(':') + 1)), &port)) return;
  port_ = static_cast<std::uint16_t>(port);
}

void ZmqPeers::on_event(int event, int descriptor) {
  if (event == ZMQ_EVENT_DISCONNECTED) {
    peers_.erase(descriptor);
    ended_.insert(descriptor);
    return;
  }
  peers_[descriptor] = {++accepted_, "", {}};
  if (peers_.size() <= connections_max_) return;
  int oldest = descriptor;
  for (const auto& [each, peer] : peers_) {
    if (peer.user.empty() && peer.order < peers_[oldest].order) oldest = each;
  }
  cut(oldest);
  crowded_();
}

bool ZmqPeers::said(int descriptor, std::string_view user) {
  if (ended_.count(descriptor) > 0) return false;
  const auto found = peers_.find(descriptor);
  if (found != peers_.end() && found->second.user.empty()) found->second.user = std::string(user);
  return true;
}

std::size_t ZmqPeers::hold(int descriptor, std::string_view topic, bool wanted) {
  const auto found = peers_.find(descriptor);
  if (found == peers_.end()) return 0;
  auto& held = found->second.held;
  if (wanted) {
    held.emplace(topic);
  } else if (const auto it = held.find(topic); it != held.end()) {
    held.erase(it);
  }
  return held.size();
}

bool ZmqPeers::holds(int descriptor, std::string_view topic) const {
  const auto found = peers_.find(descriptor);
  return found != peers_.end() && found->second.held.contains(topic);
}

bool ZmqPeers::any_meets(std::string_view lead, std::string_view topic) const {
  return std::any_of(peers_.begin(), peers_.end(), [&](const auto& entry) {
    const auto& held = entry.second.held;
    for (auto each = held.lower_bound(lead); each != held.end() && each->starts_with(lead); ++each)
      if (each->starts_with(topic) || topic.starts_with(*each)) return true;
    return false;
  });
}

void ZmqPeers::cut(int descriptor) {
  if (port_ == 0 || !is_connection(descriptor, port_)) return;
  // What has not left yet never will.
  const linger none{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  ::shutdown(descriptor, SHUT_RDWR);
  peers_.erase(descriptor);
  ended_.insert(descriptor);
}

void ZmqPeers::cut_unless(const std::function<bool(std::string_view user)>& stays) {
  std::vector<int> gone;
  for (const auto& [descriptor, peer] : peers_) {
    if (peer.user.empty() || !stays(peer.user)) gone.push_back(descriptor);
  }
  for (const int descriptor : gone) cut(descriptor);
}

}  // namespace supercloud
