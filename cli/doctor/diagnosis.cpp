#include "cli/doctor/diagnosis.h"

#include <cstdlib>

namespace supercloud {
namespace {

constexpr std::uint64_t free_bytes_min = std::uint64_t{1} << 30;
constexpr const char* backports =
    "echo 'deb http://deb.debian.org/debian bookworm-backports main' > "
    "/etc/apt/sources.list.d/backports.list && apt-get update && "
    "apt-get install -t bookworm-backports qemu-system-x86";

std::string mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20U) + " MiB"; }

Finding qemu(const MachineFacts& facts) {
  Finding finding{
      .name = "QEMU", .standing = Standing::missing, .found = "", .costs = "", .cure = ""};
  if (facts.qemu.path.empty()) {
    finding.found = "no qemu-system program in PATH";
    finding.costs = "no real guests; simulated ones work";
    finding.cure = backports;
    return finding;
  }
  finding.found = (facts.qemu.version.empty() ? "version unknown" : facts.qemu.version) + " (" +
                  facts.qemu.path + ")";
  if (corrupts_guests(facts.qemu.version)) {
    finding.standing = Standing::wrong;
    finding.costs =
        "before 8.2, QEMU's own translation (TCG) corrupts a guest that writes while its memory is "
        "copied: nodes with real guests refuse it";
    finding.cure = backports;
    return finding;
  }
  finding.standing = Standing::present;
  return finding;
}

Finding kvm(const MachineFacts& facts) {
  if (facts.kvm.usable)
    return {.name = "KVM",
            .standing = Standing::present,
            .found = "ran a guest of a few instructions",
            .costs = "",
            .cure = ""};
  const bool denied = facts.kvm.problem.find("Permission") != std::string::npos;
  return {.name = "KVM",
          .standing = Standing::missing,
          .found = facts.kvm.problem,
          .costs = "real guests run under QEMU's own translation (TCG), which is much slower",
          .cure = denied             ? "usermod -aG kvm $USER, and log in again"
                  : facts.kvm.device ? "no command: this machine's KVM grants no guests"
                                     : "modprobe kvm_intel || modprobe kvm_amd; in a virtual "
                                       "machine: switch on nested virtualization"};
}

std::string below_words(const MachineFacts::Below& below) {
  if (!below.hypervisor) return "none that shows itself";
  std::string words = below.signature.empty() ? "one without a name" : below.signature;
  if (!below.leaves.empty()) words += ", CPUID leaves " + below.leaves;
  if (!below.xen_version.empty()) words += ", Xen " + below.xen_version;
  return words;
}

std::string listed(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + word;
  return list;
}

Finding below(const MachineFacts& facts) {
  return {.name = "hypervisor below",
          .standing = Standing::present,
          .found = below_words(facts.below),
          .costs = "",
          .cure = ""};
}

Finding xen(const MachineFacts& facts) {
  Finding finding{
      .name = "Xen", .standing = Standing::missing, .found = "", .costs = "", .cure = ""};
  const bool control = facts.xen.capabilities.find("control_d") != std::string::npos;
  if (control) {
    finding.standing = Standing::present;
    finding.found = "this is a control domain";
    if (!facts.xen.version.empty()) finding.found += " of Xen " + facts.xen.version;
    return finding;
  }
  finding.found = facts.xen.capabilities.empty() && facts.below.xen_version.empty()
                      ? "no Xen below"
                      : "a Xen guest, no control domain";
  finding.costs = "no Xen domains on this machine";
  finding.cure = "apt-get install xen-system-amd64, and boot into it";
  return finding;
}

Finding xen_library(const MachineFacts& facts) {
  return {.name = "libxenctrl",
          .standing = Standing::present,
          .found = "that of Xen " + facts.xen.library + ", part of this program",
          .costs = "",
          .cure = ""};
}

Finding xen_interfaces(const MachineFacts& facts) {
  Finding finding{.name = "Xen interfaces",
                  .standing = Standing::missing,
                  .found = "",
                  .costs = "no hypercalls: domains are neither listed, nor paused, nor moved",
                  .cure = ""};
  if (facts.xen.control) {
    finding.standing = Standing::present;
    finding.found = "the hypervisor answers through " + listed(facts.xen.interfaces);
    finding.costs = "";
    return finding;
  }
  if (!facts.xen.version.empty()) {
    finding.found = "the hypervisor, Xen " + facts.xen.version +
                    ", does not list its domains: " + facts.xen.control_problem;
    finding.cure = "start it as root in the control domain; if Xen is not " + facts.xen.library +
                   ": install its libxen-dev, and build this program with that";
  } else if (!facts.xen.closed.empty()) {
    finding.found = listed(facts.xen.closed) + " may not be used by this process";
    finding.cure = "sudo supercloud ...";
  } else if (!facts.xen.interfaces.empty()) {
    finding.found = listed(facts.xen.interfaces) + "; " + facts.xen.control_problem;
    finding.cure = "start it in the control domain: what this one may not, no command changes";
  } else {
    finding.found = facts.xen.control_problem.empty() ? "none" : facts.xen.control_problem;
    finding.cure =
        "apt-get install xen-system-amd64, and boot into it; in a Xen machine: modprobe "
        "xen-privcmd xen-evtchn xen-gntdev";
  }
  return finding;
}

Finding xen_store(const MachineFacts& facts) {
  if (!facts.xen.store.empty())
    return {.name = "XenStore",
            .standing = Standing::present,
            .found = facts.xen.store +
                     (facts.xen.store_daemon.empty() ? "" : ", by " + facts.xen.store_daemon),
            .costs = "",
            .cure = ""};
  return {.name = "XenStore",
          .standing = Standing::missing,
          .found = facts.xen.store_problem.empty() ? "nobody answers" : facts.xen.store_problem,
          .costs = "nothing can be told to, or learned from, Xen domains",
          .cure = facts.xen.store_closed
                      ? "sudo supercloud ..."
                      : "systemctl start xenstored (apt-get install xenstore-utils xen-utils)"};
}

Finding vxlan(const MachineFacts& facts) {
  if (facts.network.vxlan)
    return {.name = "kernel VXLAN",
            .standing = Standing::present,
            .found = "made one in a namespace of its own",
            .costs = "",
            .cure = ""};
  return {.name = "kernel VXLAN",
          .standing = Standing::missing,
          .found = facts.network.vxlan_problem,
          .costs = "guests' networks are not carried between nodes by the kernel",
          .cure = "modprobe vxlan (as root)"};
}

Finding ovs(const MachineFacts& facts) {
  Finding finding{
      .name = "Open vSwitch", .standing = Standing::missing, .found = "", .costs = "", .cure = ""};
  if (facts.network.ovs_runs) {
    finding.standing = Standing::present;
    finding.found = "its database answers";
    return finding;
  }
  finding.costs = "no guest networks through Open vSwitch; kernel VXLAN does not need it";
  if (facts.network.ovs_vsctl.empty()) {
    finding.found = "not installed";
    finding.cure = "apt-get install openvswitch-switch";
  } else {
    finding.found = facts.network.ovs_vsctl + ", but its database does not answer";
    finding.cure = "systemctl start openvswitch-switch";
  }
  return finding;
}

Finding net_admin(const MachineFacts& facts) {
  const std::string who = facts.rights.root ? "root" : "not root";
  if (facts.rights.net_admin)
    return {.name = "CAP_NET_ADMIN",
            .standing = Standing::present,
            .found = who,
            .costs = "",
            .cure = ""};
  return {.name = "CAP_NET_ADMIN",
          .standing = Standing::missing,
          .found = who,
          .costs = "no real networks for guests; simulated ones work",
          .cure = facts.rights.root
                      ? "docker run --cap-add NET_ADMIN, or what starts this container"
                      : "sudo supercloud ..."};
}

Finding freezer(const MachineFacts& facts) {
  if (facts.rights.freezer)
    return {.name = "cgroup freezer",
            .standing = Standing::present,
            .found = "made a group that can be frozen",
            .costs = "",
            .cure = ""};
  return {
      .name = "cgroup freezer",
      .standing = Standing::missing,
      .found = facts.rights.freezer_problem,
      .costs =
          "no keeper can stop a real guest whose lease has ended; simulated guests have their own",
      .cure = facts.rights.root ? "mount -t cgroup2 none /sys/fs/cgroup, writable"
                                : "sudo supercloud ..., or systemd-run --user -p Delegate=yes"};
}

Finding state(const MachineFacts& facts) {
  Finding finding{
      .name = "state folder", .standing = Standing::present, .found = "", .costs = "", .cure = ""};
  finding.found = facts.state.folder.string() + ", " + mebibytes(facts.state.free_bytes) + " free";
  if (!facts.state.writable) {
    finding.standing = Standing::wrong;
    finding.found = facts.state.folder.string() + " cannot be written to";
    finding.costs = "no cluster can start here, the demo neither";
    finding.cure = "export XDG_STATE_HOME=FOLDER, one that you may write to";
  } else if (facts.state.free_bytes < free_bytes_min) {
    finding.standing = Standing::wrong;
    finding.costs = "logs and leases stop when the disk is full, and with them every move";
    finding.cure = "make room, or export XDG_STATE_HOME=FOLDER on another disk";
  }
  return finding;
}

Finding cluster(const MachineFacts& facts) {
  Finding finding{
      .name = "cluster", .standing = Standing::missing, .found = "", .costs = "", .cure = ""};
  if (facts.cluster.leases_on_etcd) {
    finding.standing = Standing::present;
    finding.found = facts.cluster.name + " runs, its leases are on etcd, which its nodes speak to";
  } else if (facts.cluster.running && facts.cluster.table_answers) {
    finding.standing = Standing::present;
    finding.found = facts.cluster.name + " runs, its lease table answers";
  } else if (facts.cluster.running) {
    finding.standing = Standing::wrong;
    finding.found =
        facts.cluster.name + " runs, its lease table does not answer: " + facts.cluster.problem;
    finding.costs = "nothing moves, and guests are stopped when their leases end";
    finding.cure = "supercloud events --since 10m --cluster " + facts.cluster.name;
  } else if (!facts.cluster.problem.empty()) {
    finding.found = facts.cluster.problem;
    finding.costs = "it is not known which one is meant";
    finding.cure = "supercloud doctor --cluster NAME";
  } else {
    finding.found = facts.cluster.name.empty() ? "none has run here"
                                               : facts.cluster.name + " ran last, none runs now";
    finding.costs = "supercloud vm has nobody to ask";
    finding.cure = "supercloud demo";
  }
  return finding;
}

}  // namespace

bool corrupts_guests(const std::string& qemu_version) {
  if (qemu_version.empty()) return false;
  char* end = nullptr;
  const long major = std::strtol(qemu_version.c_str(), &end, 10);
  const long minor = *end == '.' ? std::strtol(end + 1, nullptr, 10) : 0;
  return major < 8 || (major == 8 && minor < 2);
}

std::vector<Finding> diagnose(const MachineFacts& facts) {
  return {state(facts), cluster(facts),     qemu(facts),           kvm(facts),       below(facts),
          xen(facts),   xen_library(facts), xen_interfaces(facts), xen_store(facts), vxlan(facts),
          ovs(facts),   net_admin(facts),   freezer(facts)};
}

const char* to_string(Standing standing) {
  switch (standing) {
    case Standing::present:
      return "ok";
    case Standing::missing:
      return "missing";
    case Standing::wrong:
      return "wrong";
  }
  return "";
}

}  // namespace supercloud
