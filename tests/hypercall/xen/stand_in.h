// A hypervisor that is a folder (stand_in.cpp reads it), and the real daemons of Xen on top of it: on any Linux, without privileges,
// each with a folder of its own.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "hypercall/domains.h"

namespace supercloud {

class XenStandIn {
 public:
  XenStandIn();
  ~XenStandIn();  // removes the folder
  XenStandIn(const XenStandIn&) = delete;
  XenStandIn& operator=(const XenStandIn&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  // `state`: running, paused, shutdown, suspended, crashed or dying. Nobody is told.
  void set_domain(DomainId id, const std::string& state = "running",
                  std::uint64_t memory_bytes = std::uint64_t{1} << 30U, std::uint32_t cpus = 2);
  void remove_domain(DomainId id);
  // Whether the hypervisor refuses to list its domains.
  void deny_list(bool denied);
  // What each domain is said to have as its highest frame, instead of 99.
  void set_highest_frame(std::uint64_t number);
  // The file of the page that the domain shares with the daemon, zeros at first.
  std::filesystem::path make_ring(DomainId id);

  // What the hypervisor tells the daemon: to look at its domains, or at a domain's ring.
  void raise_domain_exception() { raise(1); }
  void raise_ring(DomainId id) { raise(1000 + static_cast<std::int32_t>(id)); }

 private:
  void raise(std::int32_t port);
  std::filesystem::path folder_;
};

// Thread-bound. Dies with its test, even if that is killed.
class XenDaemon {
 public:
  enum class Kind { c, ocaml };
  static const char* name(Kind kind);  // of its program

  XenDaemon(Kind kind, XenStandIn& xen) : kind_(kind), xen_(xen) {}
  ~XenDaemon() { kill(); }
  XenDaemon(const XenDaemon&) = delete;
  XenDaemon& operator=(const XenDaemon&) = delete;

  // Whether this machine has such a daemon: unpacked by make build/.unpacked-daemons, or installed.
  static bool available(Kind kind);

  // Waits for its first answer.
  absl::Status start();
  void kill();               // -9; its socket file stays
  void freeze(bool frozen);  // SIGSTOP, SIGCONT

  std::string socket() const { return (xen_.folder() / "xenstored" / "socket").string(); }
  std::uint64_t memory_bytes() const;  // resident, or 0: it does not run

 private:
  Kind kind_;
  XenStandIn& xen_;
  pid_t process_ = -1;
};

}  // namespace supercloud
