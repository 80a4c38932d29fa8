// A domain without rights, as the daemon sees one: requests through the page that they share. For what no socket can show, quotas and
// rights of guests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <string_view>

#include "hypercall/xen/wire.h"
#include "tests/hypercall/xen/stand_in.h"

namespace supercloud {

// Introduce it to the daemon after it is made.
class GuestRing {
 public:
  GuestRing(XenStandIn& xen, DomainId id) : xen_(xen), id_(id) {
    xen.set_domain(id);
    const int fd = ::open(xen.make_ring(id).c_str(), O_RDWR | O_CLOEXEC);
    ring_ = static_cast<xenstore_domain_interface*>(
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    ::close(fd);
    notices_ = ::open((xen.folder() / "notices").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  ~GuestRing() {
    ::munmap(ring_, 4096);
    ::close(notices_);
  }
  GuestRing(const GuestRing&) = delete;
  GuestRing& operator=(const GuestRing&) = delete;

  struct Answer {
    xen_wire::Type type = xen_wire::Type::error;
    std::string body;
    // "": no error; else its name.
    std::string error() const {
      return type == xen_wire::Type::error ? body.substr(0, body.find('\0')) : "";
    }
  };
  // Watch events that come meanwhile are dropped.
  Answer ask(xen_wire::Type type, std::string_view body, std::uint32_t transaction = 0) {
    std::string request;
    xen_wire::encode({type, ++request_, transaction, body}, request);
    put(request);
    while (true) {
      std::string_view rest = in_;
      const auto message = xen_wire::decode(rest);
      EXPECT_TRUE(message.ok()) << message.status();
      if (!message.ok()) return {};
      if (*message) {
        const Answer answer{(*message)->type, std::string((*message)->body)};
        const bool mine =
            (*message)->request == request_ && answer.type != xen_wire::Type::watch_event;
        in_.erase(0, in_.size() - rest.size());
        if (mine) return answer;
        continue;
      }
      if (!take() && !wait()) return {xen_wire::Type::error, "no answer"};
    }
  }
  Answer write(const std::string& path, const std::string& value, std::uint32_t transaction = 0) {
    return ask(xen_wire::Type::write, path + '\0' + value, transaction);
  }

 private:
  using Index = std::atomic_ref<XENSTORE_RING_IDX>;

  void put(std::string_view bytes) {
    while (!bytes.empty()) {
      const XENSTORE_RING_IDX made = ring_->req_prod;
      const XENSTORE_RING_IDX room =
          XENSTORE_RING_SIZE - (made - Index(ring_->req_cons).load(std::memory_order_acquire));
      if (room == 0) {
        if (!wait()) return;
        continue;
      }
      const std::size_t count = std::min<std::size_t>(room, bytes.size());
      for (std::size_t i = 0; i < count; ++i) ring_->req[MASK_XENSTORE_IDX(made + i)] = bytes[i];
      Index(ring_->req_prod)
          .store(made + static_cast<XENSTORE_RING_IDX>(count), std::memory_order_release);
      bytes.remove_prefix(count);
      xen_.raise_ring(id_);
    }
  }
  bool take() {
    const XENSTORE_RING_IDX end = Index(ring_->rsp_prod).load(std::memory_order_acquire);
    const XENSTORE_RING_IDX begin = ring_->rsp_cons;
    for (XENSTORE_RING_IDX at = begin; at != end; ++at) in_ += ring_->rsp[MASK_XENSTORE_IDX(at)];
    Index(ring_->rsp_cons).store(end, std::memory_order_release);
    if (begin != end) xen_.raise_ring(id_);  // there is room again
    return begin != end;
  }
  // Until the daemon has done something.
  bool wait() {
    pollfd ready = {.fd = notices_, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, 20'000) <= 0) return false;
    char ports[4096];
    return ::read(notices_, ports, sizeof ports) > 0;
  }

  XenStandIn& xen_;
  DomainId id_;
  xenstore_domain_interface* ring_ = nullptr;
  int notices_ = -1;
  std::uint32_t request_ = 0;
  std::string in_;
};

}  // namespace supercloud
