#include "hypercall/qemu/way_probe.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

using qemu_handshake::Frame;

constexpr char way_ping = 1, way_end = 2;
constexpr std::size_t way_chunk_bytes = 64 << 10;
constexpr int way_chunks_at_once = 8;  // the loop has others to serve
// A connection comes up to its speed by doubling what is under way, once in a round trip: from ten packets to a thousand times as many.
constexpr int round_trips_until_fast = 10;

std::uint64_t way_number(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i)
    value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return value;
}

}  // namespace

std::string encode(const WayReport& report) {
  std::string bytes;
  for (const std::uint64_t value : {report.bytes, report.nanoseconds})
    for (std::size_t i = 0; i < sizeof value; ++i)
      bytes.push_back(static_cast<char>(value >> (8 * i) & 0xffU));
  return bytes;
}

absl::StatusOr<WayReport> decode_way_report(std::string_view bytes) {
  if (bytes.size() != way_report_bytes)
    return absl::InvalidArgumentError(
        absl::StrCat("a report of a way has ", way_report_bytes, " bytes, not ", bytes.size()));
  const WayReport report{way_number(bytes.substr(0, 8)), way_number(bytes.substr(8))};
  if (report.bytes > way_bytes_max ||
      report.nanoseconds >
          static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(WayTarget::probe_max)))
    return absl::InvalidArgumentError("a report of a way tells more than was tried");
  return report;
}

Way way_of(const WayReport& report, Duration round_trip) {
  Way way{.round_trip = round_trip};
  if (report.bytes == 0 || report.nanoseconds == 0) return way;
  const Duration took = absl::Nanoseconds(static_cast<std::int64_t>(report.nanoseconds));
  way.bytes_per_second =
      static_cast<std::uint64_t>(static_cast<double>(report.bytes) / absl::ToDoubleSeconds(took));
  way.at_least = took < round_trip * round_trips_until_fast;
  return way;
}

// ---- the target ------------------------------------------------------------------------------------------------------

struct WayTarget::Tried {
  OwnFd fd;
  std::uint64_t granted = 0;
  TimerId timer = 0;
  bool pinged = false;
  std::uint64_t first = 0, filler = 0;  // bytes: that came at once at first, and in all
  Instant begun{}, last{};
};

WayTarget::~WayTarget() {
  for (const auto& [token, offer] : offers_) loop_.cancel(offer.timer);
  while (!tried_.empty()) end(tried_.begin()->first);
}

absl::StatusOr<qemu_handshake::WayOffer> WayTarget::offer(const qemu_handshake::Probe& probe,
                                                          const std::string& address,
                                                          std::string token) {
  if (offers_.size() + tried_.size() >= offers_max)
    return absl::ResourceExhaustedError("too many try the way to this host at once; try again");
  const Instant now = loop_.clock().now();
  Offer open;
  if (probe.measure && (!granted_once_ || now - granted_ >= grant_every)) {
    granted_once_ = true;
    granted_ = now;
    open.bytes = way_bytes_max;
  }
  open.timer = loop_.at(now + qemu_handshake::token_max, [this, token] { offers_.erase(token); });
  offers_[token] = open;
  return qemu_handshake::WayOffer{address, std::move(token), open.bytes};
}

bool WayTarget::take(const std::string& token, OwnFd& stream) {
  const auto offer = offers_.find(token);
  if (offer == offers_.end()) return false;
  auto tried = std::make_shared<Tried>();
  tried->granted = offer->second.bytes;
  loop_.cancel(offer->second.timer);
  offers_.erase(offer);
  tried->fd = std::move(stream);
  const int fd = tried->fd.get();
  if (!loop_.watch_fd(fd, EPOLLIN, [this, fd](std::uint32_t) { read(fd); }).ok()) return true;
  tried->timer = loop_.at(loop_.clock().now() + probe_max, [this, fd] { end(fd); });
  tried_[fd] = std::move(tried);
  return true;
}

void WayTarget::read(int fd) {
  Tried& tried = *tried_.at(fd);
  std::array<char, way_chunk_bytes> bytes{};
  for (int chunk = 0; chunk < way_chunks_at_once; ++chunk) {
    const ssize_t got = ::recv(fd, bytes.data(), tried.pinged ? bytes.size() : 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return end(fd);
    if (!tried.pinged) {
      if (bytes[0] != way_ping || ::send(fd, &way_ping, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        return end(fd);
      tried.pinged = true;
      continue;
    }
    tried.last = loop_.clock().now();
    if (tried.filler == 0) {
      tried.begun = tried.last;
      tried.first = static_cast<std::uint64_t>(got);
    }
    tried.filler += static_cast<std::uint64_t>(got);
    const bool said_all = bytes[static_cast<std::size_t>(got) - 1] == way_end;
    if (tried.filler > tried.granted + (said_all ? 1 : 0)) return end(fd);
    if (!said_all) continue;
    const auto took =
        static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(tried.last - tried.begun));
    const std::string report = encode(WayReport{tried.filler - tried.first, took});
    (void)::send(fd, report.data(), report.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return end(fd);
  }
}

void WayTarget::end(int fd) {
  const auto found = tried_.find(fd);
  if (found == tried_.end()) return;
  loop_.unwatch_fd(fd);
  loop_.cancel(found->second->timer);
  tried_.erase(found);
}

// ---- the source ------------------------------------------------------------------------------------------------------

namespace {

// One try. Lives until it has replied.
class WaySource : public std::enable_shared_from_this<WaySource> {
 public:
  WaySource(EventLoop& loop, std::string endpoint, bool measure, Reply<Way> reply)
      : loop_(loop), endpoint_(std::move(endpoint)), measure_(measure), reply_(std::move(reply)) {}

  void begin(LinkNetwork& network) {
    self_ = shared_from_this();
    link_ = network.connect(endpoint_, qemu_handshake::service);
    const std::weak_ptr<WaySource> weak = self_;
    timer_ = loop_.at(loop_.clock().now() + WayTarget::probe_max, [weak] {
      if (const auto alive = weak.lock()) alive->late();
    });
    Link::Handler handler;
    handler.on_frame = [weak](const std::string& bytes) {
      if (const auto alive = weak.lock()) alive->on_frame(bytes);
    };
    handler.on_closed = [weak](const absl::Status& why) {
      if (const auto alive = weak.lock()) alive->on_closed(why);
    };
    link_->set_handler(std::move(handler));
    link_->send(encode(Frame(qemu_handshake::Probe{measure_})));
  }

 private:
  void on_closed(const absl::Status& why) {
    if (offered_) return;  // the way itself is being tried
    end(absl::UnavailableError(
        absl::StrCat("cannot reach ", endpoint_, " from here: ", std::string(why.message()))));
  }

  void on_frame(const std::string& bytes) {
    if (offered_) return;
    const auto frame = qemu_handshake::decode(bytes);
    const auto* offer = frame.ok() ? std::get_if<qemu_handshake::WayOffer>(&*frame) : nullptr;
    if (offer == nullptr)
      return end(absl::UnimplementedError(
          absl::StrCat(endpoint_,
                       " does not tell about the way there: it is busy, or of an "
                       "earlier release")));
    offered_ = true;
    address_ = offer->address;
    granted_ = std::min(offer->bytes, way_bytes_max);
    const std::weak_ptr<WaySource> weak = self_;
    connect_stream(loop_, offer->address, offer->token,
                   Reply<OwnFd>(far_future, [weak](absl::StatusOr<OwnFd> stream) {
                     if (const auto alive = weak.lock()) alive->connected(std::move(stream));
                   }));
  }

  void connected(absl::StatusOr<OwnFd> stream) {
    if (self_ == nullptr) return;  // it is over meanwhile
    if (!stream.ok())
      return end(absl::UnavailableError(
          absl::StrCat("cannot reach ", address_, " from here: ", stream.status().message())));
    fd_ = *std::move(stream);
    // Of a slow way little waits here: else it would be filled for long after the time is over.
    const int unsent_max = way_chunk_bytes;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof unsent_max);
    pinged_ = loop_.clock().now();
    if (::send(fd_.get(), &way_ping, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) return lost();
    watch(EPOLLIN);
  }

  void watch(std::uint32_t events) {
    const std::weak_ptr<WaySource> weak = self_;
    loop_.unwatch_fd(fd_.get());
    const absl::Status watched = loop_.watch_fd(fd_.get(), events, [weak](std::uint32_t) {
      if (const auto alive = weak.lock()) alive->ready();
    });
    if (!watched.ok()) end(watched);
  }

  void ready() {
    if (!reached_) return ponged();
    if (!said_all_) return fill();
    std::array<char, way_report_bytes> bytes{};
    const ssize_t got =
        ::recv(fd_.get(), bytes.data(), bytes.size() - report_.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return end(way_);
    report_.append(bytes.data(), static_cast<std::size_t>(got));
    if (report_.size() < way_report_bytes) return;
    if (const auto report = decode_way_report(report_); report.ok())
      way_ = way_of(*report, way_.round_trip);
    end(way_);
  }

  void ponged() {
    char pong = 0;
    const ssize_t got = ::recv(fd_.get(), &pong, 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got != 1 || pong != way_ping) return lost();
    reached_ = true;
    way_.round_trip = loop_.clock().now() - pinged_;
    if (!measure_ || granted_ == 0) return end(way_);
    filling_until_ = loop_.clock().now() + way_time_max;
    const std::weak_ptr<WaySource> weak = self_;
    filling_timer_ = loop_.at(filling_until_, [weak] {
      const auto alive = weak.lock();
      if (alive == nullptr) return;
      alive->filling_timer_ = 0;
      if (!alive->said_all_) alive->fill();
    });
    watch(EPOLLOUT);
  }

  // A chunk whenever there is room for it: what has been taken and not sent yet is little when the time is over.
  void fill() {
    static constexpr std::array<char, way_chunk_bytes> filler{};
    if (granted_ == 0 || loop_.clock().now() >= filling_until_) {
      if (::send(fd_.get(), &way_end, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) {
        said_all_ = true;
        return watch(EPOLLIN);
      }
      return errno == EAGAIN || errno == EINTR ? void() : end(way_);
    }
    const ssize_t sent =
        ::send(fd_.get(), filler.data(), std::min<std::uint64_t>(filler.size(), granted_),
               MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (sent <= 0) return end(way_);
    granted_ -= static_cast<std::uint64_t>(sent);
  }

  void lost() {
    end(absl::UnavailableError(absl::StrCat("cannot reach ", address_,
                                            " from here: who takes the connection there does "
                                            "not answer as a host of this cluster")));
  }

  void late() {
    timer_ = 0;
    if (reached_) return end(way_);
    end(absl::UnavailableError(absl::StrCat("cannot reach ", offered_ ? address_ : endpoint_,
                                            " from here: no answer within ",
                                            absl::FormatDuration(WayTarget::probe_max))));
  }

  void end(absl::StatusOr<Way> way) {
    if (self_ == nullptr) return;
    const std::shared_ptr<WaySource> alive = std::exchange(self_, nullptr);
    loop_.cancel(timer_);
    loop_.cancel(filling_timer_);
    if (fd_.get() >= 0) loop_.unwatch_fd(fd_.get());
    loop_.post([alive] { alive->link_.reset(); });  // not inside its own call
    reply_(std::move(way));
  }

  EventLoop& loop_;
  const std::string endpoint_;
  const bool measure_;
  Reply<Way> reply_;
  std::shared_ptr<WaySource> self_;
  std::unique_ptr<Link> link_;
  TimerId timer_ = 0, filling_timer_ = 0;
  bool offered_ = false, reached_ = false, said_all_ = false;
  std::string address_, report_;
  std::uint64_t granted_ = 0;
  OwnFd fd_;
  Instant pinged_{}, filling_until_{};
  Way way_;
};

}  // namespace

void try_way_to(EventLoop& loop, LinkNetwork& network, const std::string& endpoint, bool measure,
                Reply<Way> reply) {
  std::make_shared<WaySource>(loop, endpoint, measure, std::move(reply))->begin(network);
}

}  // namespace supercloud
