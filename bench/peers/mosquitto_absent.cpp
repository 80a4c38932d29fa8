// In the place of all that is Mosquitto's, where its library (libmosquitto-dev) is not there.
#include "bench/peers/peer_store.h"
#include "bench/peers/peer_wire.h"

namespace supercloud {

Connect mosquitto_wires() { return nullptr; }
OpenStore mosquitto_session_stores() { return nullptr; }

}  // namespace supercloud
