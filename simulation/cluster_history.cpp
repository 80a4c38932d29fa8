// What a cluster's logs and archives have, as simulation/cluster.h tells it.
#include <algorithm>
#include <utility>

#include "simulation/cluster.h"

namespace supercloud {

std::vector<const MemoryLogDisk*> SimulatedCluster::log_disks() const {
  std::vector<const MemoryLogDisk*> disks;
  for (const NodeLog& log : node_logs()) disks.push_back(log.disk);
  return disks;
}

std::vector<SimulatedCluster::NodeLog> SimulatedCluster::node_logs() const {
  std::vector<NodeLog> logs;
  for (const auto& [node, disk] : lost_logs_) logs.push_back({node, &disk, true});
  logs.push_back({site_node, &site_log_});
  for (const auto& machine : machines_)
    if (!lost(*machine)) logs.push_back({machine->name(), &machine->log_disk()});
  return logs;
}

bool SimulatedCluster::logged(const Event& event) const {
  const Bytes span = event.bytes();
  const std::string_view bytes(reinterpret_cast<const char*>(span.data()), span.size());
  const std::string_view node = node_of(event.origin());
  return std::ranges::any_of(node_logs(), [&](const NodeLog& log) {
    if (log.node != node) return false;
    const auto places = log.disk->by_origin.find(event.origin());
    if (places == log.disk->by_origin.end()) return false;
    const auto key = std::pair(event.incarnation(), event.sequence());
    const auto place =
        std::ranges::lower_bound(places->second, key, {}, [](const MemoryLogDisk::Place& each) {
          return std::pair(each.incarnation, each.sequence);
        });
    return place != places->second.end() && place->incarnation == key.first &&
           place->sequence == key.second && log.disk->events[place->position - 1].bytes == bytes;
  });
}

std::map<std::string, const MemoryLogDisk*> SimulatedCluster::archives() const {
  std::map<std::string, const MemoryLogDisk*> archives;
  if (options_.archive) archives[site_node] = &site_archive_;
  for (const auto& machine : machines_)
    if (machine->options().archive && !lost(*machine))
      archives[machine->name()] = &machine->archive_disk();
  return archives;
}

std::map<std::string, std::uint64_t> SimulatedCluster::archive_disks() const {
  std::map<std::string, std::uint64_t> disks;
  for (const auto& [name, archive] : archives()) {
    const auto machine = machines_by_name_.find(name);
    disks[name] = machine == machines_by_name_.end() ? 1 : machine->second->disks();
  }
  return disks;
}

std::vector<const MemoryLogDisk::Stored*> SimulatedCluster::stored_history(
    const std::function<bool(std::string_view topic)>& wanted) {
  std::vector<const MemoryLogDisk::Stored*> history;
  for (const MemoryLogDisk* disk : log_disks())
    for (const MemoryLogDisk::Stored& stored : disk->events)
      if (!wanted || wanted(stored.topic)) history.push_back(&stored);
  std::sort(history.begin(), history.end(), [this](const auto* a, const auto* b) {
    if (a->time != b->time) return a->time < b->time;
    return pool_.restore(a->span()).id() < pool_.restore(b->span()).id();
  });
  return history;
}

std::vector<Event> SimulatedCluster::history(
    const std::function<bool(std::string_view topic)>& wanted) {
  std::vector<Event> events;
  for (const MemoryLogDisk::Stored* stored : stored_history(wanted))
    events.push_back(pool_.restore(stored->span()));
  return events;
}

LogImage SimulatedCluster::log_image() {
  LogImage image;
  for (const MemoryLogDisk::Stored* stored : stored_history(nullptr))
    image.events.push_back(stored->span());
  for (const MemoryLogDisk* disk : log_disks()) image.origins.add(disk->origins);
  return image;
}

std::uint64_t SimulatedCluster::logged() const {
  std::uint64_t events = 0;
  for (const MemoryLogDisk* disk : log_disks()) events += disk->events.size();
  return events;
}

std::uint64_t SimulatedCluster::log_digest() const {
  std::uint64_t digest = 0xcbf29ce484222325U;  // FNV-1a
  for (const MemoryLogDisk* disk : log_disks())
    for (const MemoryLogDisk::Stored& stored : disk->events)
      for (const char c : stored.bytes)
        digest = (digest ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return digest;
}

}  // namespace supercloud
