// Every check that can be made of a move before a byte moves (choreography, rule 19). Pure functions of what is known.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actors/migration/node_directory.h"
#include "actors/network/fabric.h"
#include "core/time.h"

namespace supercloud {

struct Failure {
  std::string name, detail, cure;
};

// As many as `list` has room for.
void write_failures(const std::vector<Failure>& failures, capnp::List<schema::Check>::Builder list);

// What can be checked at the source about a move of this VM to that node.
std::vector<Failure> preflight_here(schema::VmSpec::Reader spec, const std::string& state,
                                    const NodeFacts* here, const NodeFacts* target,
                                    bool session_valid, Duration time_left);

// ... and at the target.
std::vector<Failure> preflight_there(schema::VmSpec::Reader spec, const NodeFacts* here,
                                     std::uint64_t memory_free_bytes, bool session_valid,
                                     bool other_copy_here, const std::vector<AddressOwner>& owners);

// ... and about a move to a machine that would have to be rented first: it will be like the node `here`, with the labels of the
// nodes that are or were at its place. Where no node ever was, it is judged by what the place's id says.
std::vector<Failure> preflight_rented(schema::VmSpec::Reader spec, const std::string& state,
                                      const NodeDirectory& nodes, const std::string& here,
                                      const std::string& place, bool session_valid,
                                      Duration time_left);

}  // namespace supercloud
