#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "cli/doctor/probes.h"
#include "core/event_loop.h"
#include "hypercall/xen/control.h"
#include "hypercall/xen/store_client.h"

namespace supercloud {
namespace {

constexpr const char* xen_interface_files[] = {"/dev/xen/privcmd", "/dev/xen/evtchn",
                                               "/dev/xen/gntdev",  "/dev/xen/gntalloc",
                                               "/dev/xen/xenbus",  "/proc/xen/privcmd"};
constexpr Duration probe_patience = absl::Seconds(2);

}  // namespace

void probe_xen_interfaces(MachineFacts::Xen& xen) {
  for (const char* file : xen_interface_files) {
    if (::access(file, F_OK) != 0) continue;
    (::access(file, R_OK | W_OK) == 0 ? xen.interfaces : xen.closed).emplace_back(file);
  }
}

void probe_xen_control(MachineFacts::Xen& xen) {
  xen.library = XenControl::library_version();
  const auto control = XenControl::open();
  if (!control.ok()) {
    xen.control_problem = std::string(control.status().message());
    return;
  }
  const auto version = (*control)->version();
  xen.version = version.value_or("");
  // Many an answer is there for whoever asks; a list of domains only where there is control.
  const absl::Status listed = version.ok() ? (*control)->list().status() : version.status();
  xen.control = listed.ok();
  if (!listed.ok()) xen.control_problem = std::string(listed.message());
}

void probe_xen_store(MachineFacts::Xen& xen) {
  EventLoop loop;
  XenStoreClient client(loop, {.silence_max = probe_patience});
  std::optional<absl::StatusOr<std::vector<std::string>>> root;
  client.list(0, XenPath::root(),
              Reply<std::vector<std::string>>(far_future,
                                              [&](absl::StatusOr<std::vector<std::string>> names) {
                                                root = std::move(names);
                                              }));
  loop.run_until([&] { return root.has_value(); }, probe_patience * 2);
  if (!root || !root->ok()) {
    xen.store_problem =
        root ? std::string(root->status().message()) : "the XenStore does not answer";
    xen.store_closed = root && absl::IsPermissionDenied(root->status());
    return;
  }
  xen.store = client.path();
  // No request asks for it, but the OCaml daemon shows its special watches as nodes.
  if (std::ranges::count(**root, "@introduceDomain") > 0)
    xen.store_daemon = "oxenstored";
  else if (xen.store.find("/dev/") == std::string::npos)
    xen.store_daemon = "xenstored";
}

}  // namespace supercloud
