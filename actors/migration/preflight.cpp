#include "actors/migration/preflight.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actors/migration/transfer_plan.h"
#include "core/vm_name.h"
#include "core/vm_spec.h"

namespace supercloud {
namespace {

constexpr Duration time_needed = absl::Seconds(1);

// Without what it requires of labels that are not known.
Message<schema::VmSpec> as_far_as_known(schema::VmSpec::Reader spec,
                                        const std::map<std::string, std::string>& labels) {
  std::vector<schema::Label::Reader> known;
  for (const auto label : spec.getRequires())
    if (labels.contains(std::string(text(label.getName())))) known.push_back(label);
  return Message<schema::VmSpec>::build([&](schema::VmSpec::Builder builder) {
    copy_spec(spec, builder);
    auto required = builder.initRequires(static_cast<unsigned>(known.size()));
    for (unsigned i = 0; i < known.size(); ++i) required.setWithCaveats(i, known[i]);
  });
}

Failure is_drained(const std::string& node) {
  return {"drain", node + " is being drained",
          absl::StrCat("choose another target, or `supercloud node undrain ", node, "`")};
}

}  // namespace

void write_failures(const std::vector<Failure>& failures,
                    capnp::List<schema::Check>::Builder list) {
  for (unsigned i = 0; i < list.size(); ++i) {
    list[i].setName(failures[i].name);
    list[i].setDetail(failures[i].detail);
    list[i].setCure(failures[i].cure);
  }
}

std::vector<Failure> preflight_here(schema::VmSpec::Reader spec, const std::string& state,
                                    const NodeFacts* here, const NodeFacts* target,
                                    bool session_valid, Duration time_left) {
  std::vector<Failure> failures;
  if (state != "running")
    failures.push_back({"state",
                        absl::StrCat("the VM is ", state, ", and only a running one moves live"),
                        "start it, or wait until what is under way has ended"});
  if (!session_valid)
    failures.push_back({"lease", "the source's session with the lease table is not valid",
                        "wait until the lease table is reachable again"});
  if (time_left < time_needed)
    failures.push_back({"time", absl::StrCat("only ", absl::FormatDuration(time_left), " are left"),
                        "give a later deadline"});
  if (target == nullptr) {
    failures.push_back({"target", "no such node is known",
                        "see `supercloud events --since start 'node.joined.>'`"});
    return failures;
  }
  if (target->noticed && (here == nullptr || !target->outlives(*here)))
    failures.push_back({"target", absl::StrCat("the cloud has given notice for ", target->name),
                        "choose another target"});
  if (target->draining) failures.push_back(is_drained(target->name));
  if (target->left)
    failures.push_back({"target", target->name + " has left the cluster", "choose another target"});
  if (here != nullptr && target->name == here->name)
    failures.push_back({"target", "the VM runs there already", "choose another target"});
  for (const std::string& why : constraint_failures(spec, *target))
    failures.push_back(
        {"constraints", why, "choose another target, or change the VM's constraints"});
  if (here != nullptr && target->hypervisor != here->hypervisor)
    failures.push_back({"hypervisor",
                        absl::StrCat(here->name, " runs ", here->hypervisor, ", ", target->name,
                                     " runs ", target->hypervisor),
                        "migrate between nodes with the same hypervisor"});
  if (here != nullptr && !here->cpu_model.empty() && target->cpu_model != here->cpu_model)
    failures.push_back({"cpu",
                        absl::StrCat(here->cpu_model, " here, ", target->cpu_model, " there"),
                        "choose a target with the same CPU model"});
  if (here != nullptr && here->mtu != 0 && target->mtu < here->mtu)
    failures.push_back({"mtu",
                        absl::StrCat("the target's network carries ", target->mtu,
                                     " bytes, the guest uses ", here->mtu),
                        "raise the MTU there, or lower the guest's"});
  return failures;
}

std::vector<Failure> preflight_way(const absl::StatusOr<Way>& way, const NodeFacts& target,
                                   std::uint64_t memory_bytes, Duration time_left) {
  if (absl::IsUnavailable(way.status())) {
    const std::string why(way.status().message());
    // Its links, or the streams of its QEMUs.
    const bool links = !target.endpoint.empty() &&
                       absl::StrContains(why, absl::StrCat(" ", target.endpoint, " from here"));
    return {
        {"link", why,
         links ? absl::StrCat("see whether the network reaches the links of ", target.name)
               : absl::StrCat("open that port on ", target.name,
                              ", or name in its file, by streams_reached_at of [host.qemu], where "
                              "it is reached"),
         /*there=*/true}};
  }
  if (!way.ok() || way->at_least) return {};
  TransferProgress progress;
  progress.remaining_bytes = memory_bytes;
  progress.bytes_per_second = way->bytes_per_second;
  const TransferPlan plan =
      plan_transfer(progress, 0, {.total_max = time_left, .left = time_left, .leaves = false},
                    schema::Method::PRE_COPY);
  if (plan.hopeless.empty()) return {};
  return {{"time", plan.hopeless, absl::StrCat("or choose a target nearer than ", target.name),
           /*there=*/true}};
}

Failure way_told(const Way& way) {
  const double mib = static_cast<double>(way.bytes_per_second) / (1 << 20);
  const std::string carries =
      way.bytes_per_second == 0
          ? std::string("what it carries was not measured")
          : absl::StrFormat("it carries %s%.0f MiB/s", way.at_least ? "at least " : "", mib);
  return {"way",
          absl::StrCat("the way of memory has a round trip of ",
                       absl::FormatDuration(absl::Trunc(way.round_trip, absl::Microseconds(1))),
                       "; ", carries),
          ""};
}

std::vector<Failure> preflight_there(schema::VmSpec::Reader spec, const TargetState& target) {
  std::vector<Failure> failures;
  for (const AddressOwner& owner : target.owners)
    if (owner.address == text(spec.getAddress()) && owner.vm != VmName::of(spec).to_string())
      failures.push_back(
          {"address", absl::StrCat(owner.address, " is ", owner.vm, "'s there, on ", owner.node),
           "give one of the two another address"});
  if (target.facts != nullptr)
    for (const std::string& why : constraint_failures(spec, *target.facts))
      failures.push_back(
          {"constraints", why, "choose another target, or change the VM's constraints"});
  if (target.draining && target.facts != nullptr)
    failures.push_back(is_drained(target.facts->name));
  if (!target.made.ok())
    failures.push_back({"guest", std::string(target.made.message()), "or choose another target"});
  if (target.memory_free_bytes < spec.getMemoryBytes())
    failures.push_back({"memory",
                        absl::StrCat("the guest needs ", spec.getMemoryBytes() >> 20U, " MiB, ",
                                     target.memory_free_bytes >> 20U, " MiB are free"),
                        "choose a larger target, or move something away from it"});
  if (!target.volume_here && target.disk_free_bytes < spec.getDiskBytes())
    failures.push_back({"disk",
                        absl::StrCat("its disk needs ", spec.getDiskBytes() >> 20U, " MiB, ",
                                     target.disk_free_bytes >> 20U,
                                     " MiB are free, and no replica of it is there"),
                        "choose a target with more room, or move another VM's disk away from it"});
  if (!target.session_valid)
    failures.push_back({"lease", "the target's session with the lease table is not valid",
                        "wait until the lease table is reachable again"});
  if (target.copy_here)
    failures.push_back({"copy", "a copy of the VM from before is still at the target",
                        "wait until it has been cleaned away"});
  return failures;
}

std::vector<Failure> preflight_rented(schema::VmSpec::Reader spec, const std::string& state,
                                      const NodeDirectory& nodes, const std::string& here,
                                      const std::string& place, bool session_valid,
                                      Duration time_left) {
  const NodeFacts* source = nodes.find(here);
  NodeFacts rented = source != nullptr ? *source : NodeFacts{};
  rented.name = absl::StrCat("a new node at ", place);
  rented.place = place;
  rented.labels.clear();
  rented.devices.clear();
  rented.left = rented.noticed = rented.draining = false;
  for (const auto& [name, node] : nodes.nodes()) {
    if (node.place != place) continue;
    rented.labels = node.labels;
    rented.devices = node.devices;
    return preflight_here(spec, state, source, &rented, session_valid, time_left);
  }
  if (const auto name = PlaceName::parse(place); name.ok()) rented.labels = labels_of(*name);
  const auto known = as_far_as_known(spec, rented.labels);
  return preflight_here(known.reader(), state, source, &rented, session_valid, time_left);
}

}  // namespace supercloud
