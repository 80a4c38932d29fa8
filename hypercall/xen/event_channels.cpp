#include "hypercall/xen/event_channels.h"

#include <poll.h>

#include <cerrno>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "hypercall/xen/libraries.h"
#include "hypercall/xen/quiet.h"
#include "hypercall/xen_error.h"

namespace supercloud {
namespace {

absl::StatusOr<EventPort> port_with(DomainId remote, const char* call,
                                    absl::FunctionRef<xenevtchn_port_or_error_t()> make) {
  const xenevtchn_port_or_error_t port = is_domain(remote) ? make() : -1;
  if (port < 0) return xen_error(call, errno, absl::StrCat("with domain ", remote));
  return static_cast<EventPort>(port);
}

absl::Status outcome_at(int result, const char* call, EventPort port) {
  return result < 0 ? xen_error(call, errno, absl::StrCat("of port ", port)) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<EventChannels> EventChannels::open() {
  errno = 0;
  xenevtchn_handle* handle = xenevtchn_open(quiet_logger(), 0);
  if (handle == nullptr) return xen_absent("Xen", "xenevtchn_open", errno == 0 ? ENODEV : errno);
  return EventChannels(handle);
}

void EventChannels::Close::operator()(xenevtchn_handle* handle) const { xenevtchn_close(handle); }

absl::StatusOr<EventPort> EventChannels::offer(DomainId remote) {
  return port_with(remote, "xenevtchn_bind_unbound_port",
                   [&] { return xenevtchn_bind_unbound_port(handle_.get(), remote); });
}

absl::StatusOr<EventPort> EventChannels::bind(DomainId remote, EventPort remote_port) {
  return port_with(remote, "xenevtchn_bind_interdomain",
                   [&] { return xenevtchn_bind_interdomain(handle_.get(), remote, remote_port); });
}

absl::Status EventChannels::unbind(EventPort port) {
  return outcome_at(xenevtchn_unbind(handle_.get(), port), "xenevtchn_unbind", port);
}

absl::Status EventChannels::notify(EventPort port) {
  return outcome_at(xenevtchn_notify(handle_.get(), port), "xenevtchn_notify", port);
}

int EventChannels::fd() const { return xenevtchn_fd(handle_.get()); }

// The library's own call waits where nothing is pending.
absl::StatusOr<std::optional<EventPort>> EventChannels::pending() {
  pollfd ready = {.fd = fd(), .events = POLLIN, .revents = 0};
  const int polled = ::poll(&ready, 1, 0);
  if (polled < 0 && errno != EINTR) return xen_error("poll", errno, "of the event channels");
  if (polled <= 0) return std::nullopt;
  const xenevtchn_port_or_error_t port = xenevtchn_pending(handle_.get());
  if (port < 0 && errno == EAGAIN) return std::nullopt;
  if (port < 0) return xen_error("xenevtchn_pending", errno);
  return static_cast<EventPort>(port);
}

absl::Status EventChannels::unmask(EventPort port) {
  return outcome_at(xenevtchn_unmask(handle_.get(), port), "xenevtchn_unmask", port);
}

}  // namespace supercloud
