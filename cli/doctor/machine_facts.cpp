#include "cli/doctor/machine_facts.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <fstream>

#include "cli/doctor/probes.h"

namespace supercloud {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

MachineFacts::Qemu look_for_qemu() {
  MachineFacts::Qemu qemu;
#if defined(__aarch64__)
  qemu.path = find_program("qemu-system-aarch64");
#else
  qemu.path = find_program("qemu-system-x86_64");
#endif
  if (!qemu.path.empty()) qemu.version = version_in(first_line_of(qemu.path, "--version"));
  return qemu;
}

MachineFacts::State look_at_state(std::filesystem::path folder) {
  MachineFacts::State state;
  state.folder = folder;
  std::error_code error;
  while (!std::filesystem::exists(folder, error) && folder.has_relative_path())
    folder = folder.parent_path();
  state.writable = ::access(folder.c_str(), W_OK | X_OK) == 0;
  struct statvfs space = {};
  if (::statvfs(folder.c_str(), &space) == 0)
    state.free_bytes = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  return state;
}

}  // namespace

MachineFacts look_at_machine(const std::filesystem::path& state_folder) {
  MachineFacts facts;
  facts.qemu = look_for_qemu();
  facts.kvm = probe_kvm();
  facts.below = probe_hypervisor_below();
  facts.xen.capabilities = first_line("/proc/xen/capabilities");
  if (facts.xen.capabilities.empty() && first_line("/sys/hypervisor/type") == "xen")
    facts.xen.capabilities = "guest";
  probe_xen_interfaces(facts.xen);
  probe_xen_control(facts.xen);
  probe_xen_store(facts.xen);
  facts.network.vxlan_problem = probe_vxlan();
  facts.network.vxlan = facts.network.vxlan_problem.empty();
  facts.network.ovs_vsctl = find_program("ovs-vsctl");
  facts.network.ovs_runs =
      socket_answers("/run/openvswitch/db.sock") || socket_answers("/var/run/openvswitch/db.sock");
  facts.rights.root = ::geteuid() == 0;
  facts.rights.net_admin = has_net_admin();
  facts.rights.freezer_problem = probe_freezer();
  facts.rights.freezer = facts.rights.freezer_problem.empty();
  facts.state = look_at_state(state_folder);
  return facts;
}

}  // namespace supercloud
