// What every process of a torture run knows of it: who takes part, where they meet, and how they publish.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bus/trust.h"

namespace supercloud::torture {

struct Plan {
  std::string folder;
  std::string address;  // 127.x.y.z: tcp with keys; empty: ipc
  std::size_t publishers = 3;
  std::size_t subscribers = 3;
  std::uint64_t seed = 1;
  unsigned rate = 200;        // events per second of a publisher, about
  bool short_queues = false;  // of the bus
  bool repair = true;

  std::size_t members() const { return publishers + subscribers; }
  bool publishes(std::size_t member) const { return member < publishers; }
  std::string name(std::size_t member) const;
  // How many tokens the prefixes have to which a subscriber subscribes. With two, it has several subscriptions to one origin.
  std::size_t tokens(std::size_t member) const { return (member - publishers) % 3; }

  // Where a member is bound, and where others reach it, which is at the run's links.
  std::string bound(std::size_t member, bool requests) const;
  std::string reached(std::size_t member, bool requests) const;
  std::string file(std::size_t member, const std::string& of) const {
    return folder + "/" + name(member) + "." + of;
  }
  std::string records(std::size_t member, unsigned life) const;

  // Two of each publisher: one all of whose events are durable, and one of all classes.
  std::vector<std::string> origins() const;

  // With keys: one for each member, and who believes whom.
  absl::Status make_keys() const;
  absl::StatusOr<Credentials> credentials(std::size_t member) const;

  // For the command line of a member.
  std::vector<std::string> arguments(std::size_t member, unsigned life) const;
  static Plan parse(const std::vector<std::string>& arguments, std::size_t& member, unsigned& life);
};

}  // namespace supercloud::torture
