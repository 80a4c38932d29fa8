@0xd6c8f3a1b27e4590;
# What the runtime must know of an event type besides its fields.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("supercloud::schema");

enum Delivery {
  volatile @0;  # telemetry: delivered at once, never logged
  durable @1;   # on the publisher's disk first, then delivered
  noted @2;     # delivered at once, logged with the next group commit
}

annotation topic @0xe1a9c4d27b6f8053 (field) :Text;
# The first two topic tokens of the event, "domain.event".

annotation delivery @0x93f0b5e8d1c62a47 (field) :Delivery;
# How the event reaches subscribers and the log; durable where it is not given.
