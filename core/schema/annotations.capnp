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

enum Retention {
  aged @0;    # forgotten with its age
  latest @1;  # the newest of each topic stays, however old it is
}

annotation retention @0xb4d2a1f07c9e6385 (field) :Retention;
# What a log that does not keep all for ever leaves of what is older than it keeps.
