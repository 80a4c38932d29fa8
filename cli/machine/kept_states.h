// The states of volumes of no bytes, each as a file in a folder of the node: fences are known after every restart, and never go back.
// A file that is damaged stays as it is, and is told in the log: nobody knows at which epoch that VM's disk was fenced here, so this
// node has none of it, and makes none, until a person has removed the file.
//
//   VOLUMES/tenant.name = JSON: vm, boot, role, fence, closed, lineage, complete, crashed, history [[epoch, version] ...], sync_peers
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "storage/simulated/memory_disk.h"

namespace supercloud {

// Thread-bound. Writes block: some tenths of a millisecond.
class KeptStates final : public StateKeeper {
 public:
  // `boot`: of the machine. `on_fatal`: what it was to keep is not kept; nothing must rest on it.
  KeptStates(std::filesystem::path folder, std::string boot,
             std::function<void(absl::Status)> on_fatal);

  // Once, at first: what earlier processes kept. What was served before the machine's last boot has crashed.
  absl::Status load(MemoryDisk& disk);

  void keep(const std::string& vm, std::uint64_t bytes, const VolumeState& state) override;
  void drop(const std::string& vm) override;
  absl::Status admits(const std::string& vm) const override;

 private:
  struct Damaged {
    std::filesystem::path file;
    std::string why;
  };
  std::filesystem::path file_of(const std::string& vm) const;

  const std::filesystem::path folder_;
  const std::string boot_;
  const std::function<void(absl::Status)> on_fatal_;
  std::map<std::filesystem::path, Damaged> damaged_;  // by where the VM's state would be
};

}  // namespace supercloud
