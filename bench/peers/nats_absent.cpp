// In the place of all that is NATS's, where its library (libnats-dev) is not there.
#include "bench/peers/peer_store.h"
#include "bench/peers/peer_wire.h"

namespace supercloud {

Connect nats_wires() { return nullptr; }
OpenStore jetstream_stores() { return nullptr; }

}  // namespace supercloud
