// Every check that can be made of a move before a byte moves (choreography, rule 19). Pure functions of what is known.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "actors/migration/node_directory.h"
#include "actors/network/fabric.h"
#include "core/time.h"
#include "hypercall/hypervisor.h"

namespace supercloud {

struct Failure {
  std::string name, detail, cure;
  bool there = false;  // the target said so, or said nothing: another may not
};

// As many as `list` has room for.
void write_failures(const std::vector<Failure>& failures, capnp::List<schema::Check>::Builder list);

// What can be checked at the source about a move of this VM to that node.
std::vector<Failure> preflight_here(schema::VmSpec::Reader spec, const std::string& state,
                                    const NodeFacts* here, const NodeFacts* target,
                                    bool session_valid, Duration time_left);

// What speaks against the way of memory to the target, as it was tried: it is not reached, as the other end or the network said, or cannot
// carry so much in that time. Where that was not found out nothing is said.
std::vector<Failure> preflight_way(const absl::StatusOr<Way>& way, const NodeFacts& target,
                                   std::uint64_t memory_bytes, Duration time_left);
// What a dry run that has found no failure tells of it: a check with a detail, and no cure.
Failure way_told(const Way& way);

// What a target finds at its own, as it is asked.
struct TargetState {
  const NodeFacts* facts = nullptr;
  absl::Status made;  // Hypervisor::check
  std::uint64_t memory_free_bytes = 0;
  std::uint64_t disk_free_bytes = 0;
  bool volume_here =
      false;  // of this VM: a replica, or what is left of one and is brought up to date
  bool copy_here = false;  // of this VM, in memory
  bool session_valid = false;
  bool draining = false;  // its user wants it empty
  std::vector<AddressOwner> owners;
};

// ... and at the target.
std::vector<Failure> preflight_there(schema::VmSpec::Reader spec, const TargetState& target);

// ... and about a move to a machine that would have to be rented first: it will be like the node `here`, with the labels and
// devices of a node that is or was at its place. Where no node ever was, the place's id says some labels, and devices nobody.
std::vector<Failure> preflight_rented(schema::VmSpec::Reader spec, const std::string& state,
                                      const NodeDirectory& nodes, const std::string& here,
                                      const std::string& place, bool session_valid,
                                      Duration time_left);

}  // namespace supercloud
