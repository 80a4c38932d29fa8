// What this machine has, as found by looking; judged in diagnosis.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace supercloud {

struct MachineFacts {
  struct Qemu {
    std::string path;     // empty: not found
    std::string version;  // "10.0.2"; empty: it did not say
  } qemu;
  struct Kvm {
    bool device = false;  // /dev/kvm is there
    bool usable = false;  // it ran a guest: hypercall/qemu/kvm_probe.h
    std::string problem;  // else, what failed
  } kvm;
  struct Below {
    bool hypervisor = false;  // this machine is itself a guest
    std::string signature;    // of CPUID leaf 0x40000000: "KVMKVMKVM", "XenVMMXenVMM", ...
    std::string leaves;       // which there are: "0x40000000 to 0x40000001"
    std::string
        xen_version;  // of Xen's own leaves, wherever they begin: "4.17"; empty: no Xen below
  } below;
  struct Xen {
    std::string library;  // the version of Xen whose control library this program has: "4.17.0"
    std::string capabilities;  // of /proc/xen: "control_d" in a control domain; empty: no Xen below
    std::vector<std::string>
        interfaces;  // files of the kernel by which Xen is called, that this process may use
    std::vector<std::string> closed;  // likewise, that it may not
    std::string version;  // the hypervisor's, asked through that library; empty: it cannot be asked
    bool control = false;         // it lists its domains
    std::string control_problem;  // else, why not
    std::string store;            // socket or device of the XenStore that answers; empty: none
    std::string store_daemon;     // "xenstored", "oxenstored", as far as its tree tells; else empty
    std::string store_problem;
    bool store_closed = false;  // the problem: this process may not use it
  } xen;
  struct Network {
    bool vxlan = false;  // made one in a network namespace of its own
    std::string vxlan_problem;
    std::string ovs_vsctl;  // path; empty: not found
    bool ovs_runs = false;  // its database answers at a socket
  } network;
  struct Rights {
    bool root = false;
    bool net_admin = false;  // CAP_NET_ADMIN
    bool freezer = false;    // a cgroup of version 2 could be made, and can be frozen
    std::string freezer_problem;
  } rights;
  struct State {
    std::filesystem::path folder;  // where clusters keep their logs
    bool writable = false;         // it, or the nearest folder above it that exists
    std::uint64_t free_bytes = 0;
  } state;
  struct Cluster {
    std::string name;  // empty: none has run here
    bool running = false;
    bool table_answers = false;
    bool leases_on_etcd = false;
    std::string problem;  // with several that run, or one that cannot be asked
  } cluster;
};

// Everything but `cluster`. Takes a moment; leaves nothing behind. Call it while the process has one thread: it forks.
MachineFacts look_at_machine(const std::filesystem::path& state_folder);

}  // namespace supercloud
