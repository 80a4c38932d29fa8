// Single looks at this machine. Each one works without what it looks for, and leaves nothing behind.
#pragma once

#include <string>
#include <vector>

#include "cli/doctor/machine_facts.h"

namespace supercloud {

// The first of PATH that may be executed; empty: none.
std::string find_program(const std::string& name);
// The first line that it prints; empty: it could not be run.
std::string first_line_of(const std::string& program, const std::string& argument);
// "QEMU emulator version 10.0.2 (Debian ...)" -> "10.0.2"; empty: no version in it.
std::string version_in(const std::string& line);

MachineFacts::Kvm probe_kvm();
MachineFacts::Below probe_hypervisor_below();
// The files by which the kernel lets Xen be called, and whether this process may use each.
void probe_xen_interfaces(MachineFacts::Xen& xen);
// Asks the hypervisor for its version and its domains; the daemon of the XenStore for its root.
void probe_xen_control(MachineFacts::Xen& xen);
void probe_xen_store(MachineFacts::Xen& xen);
// Empty: a VXLAN device could be made. In a child process, in a network namespace of its own.
std::string probe_vxlan();
// Whether something accepts connections at a Unix socket.
bool socket_answers(const std::string& path);
bool has_net_admin();
// Empty: a cgroup could be made and has a freezer.
std::string probe_freezer();

}  // namespace supercloud
