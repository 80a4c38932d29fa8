// Room on this node that was found for a VM, and is held for it until it is here: who looks for room at the same moment does not find
// the same. Lost with its node's process: then both may come, and one of them is sent away. Pure: told the time.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/time.h"

namespace supercloud {

class HeldRoom {
 public:
  struct Room {
    std::uint64_t memory_bytes = 0;
    std::uint64_t disk_bytes = 0;
  };

  // For the VM, in place of what was held for it before.
  void hold(const std::string& vm, Room room, Instant until) { held_[vm] = {room, until}; }
  void drop(const std::string& vm) { held_.erase(vm); }
  // Its memory is taken, or its disk: what is free has that subtracted already.
  void memory_came(const std::string& vm);
  void disk_came(const std::string& vm);
  // What is held for VMs other than this one.
  Room for_others(const std::string& vm, Instant now);

 private:
  struct Held {
    Room room;
    Instant until;
  };
  std::map<std::string, Held> held_;  // by VM
};

}  // namespace supercloud
