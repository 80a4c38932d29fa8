// In the place of all that is Redis's, where its library (libhiredis-dev) is not there.
#include "bench/peers/peer_store.h"
#include "bench/peers/peer_wire.h"

namespace supercloud {

Connect redis_wires() { return nullptr; }
OpenStore redis_stream_stores() { return nullptr; }

}  // namespace supercloud
