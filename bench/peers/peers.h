// Whom the bus is measured beside, and how each is set: as its makers ship it, but for limits that would make it lose what is measured.
#pragma once

#include <string>
#include <vector>

#include "bench/peers/peer_server.h"
#include "bench/peers/peer_store.h"
#include "bench/peers/peer_wire.h"

namespace supercloud {

struct Peer {
  std::string name;     // as its rows have it
  std::string program;  // its server
  std::string library;  // the package with its client library
  ServerPlan plan;
  // The one or the other; empty: this program was built without the library.
  Connect connect;
  OpenStore open_store;
};

std::vector<Peer> passing_peers();  // pass on what is published
std::vector<Peer> keeping_peers();  // keep it

}  // namespace supercloud
