#include "actors/migration/held_room.h"

namespace supercloud {

void HeldRoom::memory_came(const std::string& vm) {
  if (const auto found = held_.find(vm); found != held_.end()) found->second.room.memory_bytes = 0;
}

void HeldRoom::disk_came(const std::string& vm) {
  if (const auto found = held_.find(vm); found != held_.end()) found->second.room.disk_bytes = 0;
}

HeldRoom::Room HeldRoom::for_others(const std::string& vm, Instant now) {
  std::erase_if(held_, [now](const auto& entry) { return entry.second.until <= now; });
  Room sum;
  for (const auto& [name, held] : held_) {
    if (name == vm) continue;
    sum.memory_bytes += held.room.memory_bytes;
    sum.disk_bytes += held.room.disk_bytes;
  }
  return sum;
}

}  // namespace supercloud
