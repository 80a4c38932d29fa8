#include "hypercall/qemu/way_probe.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

using qemu_handshake::Frame;

constexpr char way_ping = 1, way_end = 2;
constexpr std::size_t way_chunk_bytes = 64 << 10;
constexpr int way_chunks_at_once = 8;  // the loop has others to serve
// What is shorter says more about how busy both hosts are.
constexpr Duration way_sample_min = absl::Milliseconds(50);
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

Way way_of(const WayReport& report, Duration round_trip, Duration filled, Duration blocked) {
  Way way{.round_trip = round_trip};
  if (report.bytes == 0 || report.nanoseconds == 0) return way;
  const Duration took = absl::Nanoseconds(static_cast<std::int64_t>(report.nanoseconds));
  way.bytes_per_second =
      static_cast<std::uint64_t>(static_cast<double>(report.bytes) / absl::ToDoubleSeconds(took));
  way.at_least =
      took < way_sample_min || took < round_trip * round_trips_until_fast || blocked < filled / 2;
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
  if (grants_ == 0 || now - granted_ >= grant_every) {
    granted_ = now;
    grants_ = 0;
  }
  if (probe.measure && grants_ < grants_max) {
    ++grants_;
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
  tried->timer = loop_.at(loop_.clock().now() + probe_max, [this, fd] {
    const std::shared_ptr<Tried> late = tried_.at(fd);
    late->timer = 0;
    if (late->filler > 0) report(fd, loop_.clock().now());
    end(fd);
  });
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
    report(fd, tried.last);
    return end(fd);
  }
}

void WayTarget::report(int fd, Instant until) {
  const Tried& tried = *tried_.at(fd);
  const Duration took = std::min(until - tried.begun, probe_max);
  const std::string said = encode(WayReport{
      tried.filler - tried.first, static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(took))});
  (void)::send(fd, said.data(), said.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void WayTarget::end(int fd) {
  const auto found = tried_.find(fd);
  if (found == tried_.end()) return;
  loop_.unwatch_fd(fd);
  loop_.cancel(found->second->timer);
  tried_.erase(found);
}

// ---- the source ------------------------------------------------------------------------------------------------------

// One try.
class WaySource : public std::enable_shared_from_this<WaySource> {
 public:
  // `over`: it has replied, and may be destroyed.
  WaySource(EventLoop& loop, std::string endpoint, bool measure, Reply<Way> reply,
            std::function<void()> over)
      : loop_(loop),
        endpoint_(std::move(endpoint)),
        measure_(measure),
        reply_(std::move(reply)),
        over_(std::move(over)) {}

  void begin(LinkNetwork& network) {
    link_ = network.connect(endpoint_, qemu_handshake::service);
    const std::weak_ptr<WaySource> weak = weak_from_this();
    timer_ = loop_.at(loop_.clock().now() + WaySources::try_max, [weak] {
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

  void end(absl::StatusOr<Way> way) {
    if (std::exchange(ended_, true)) return;
    loop_.cancel(timer_);
    loop_.cancel(filling_timer_);
    if (stop_connecting_) stop_connecting_();
    if (fd_.get() >= 0) loop_.unwatch_fd(fd_.get());
    fd_ = OwnFd();
    over_();
    reply_(std::move(way));
  }

 private:
  void on_closed(const absl::Status& why) {
    if (ended_ || offered_) return;  // the way itself is being tried
    end(cannot_reach(endpoint_, why));
  }

  void on_frame(const std::string& bytes) {
    if (ended_ || offered_) return;
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
    const std::weak_ptr<WaySource> weak = weak_from_this();
    auto stop = connect_stream(loop_, offer->address, offer->token,
                               Reply<OwnFd>(far_future, [weak](absl::StatusOr<OwnFd> stream) {
                                 if (const auto alive = weak.lock())
                                   alive->connected(std::move(stream));
                               }));
    if (!ended_) stop_connecting_ = std::move(stop);
  }

  void connected(absl::StatusOr<OwnFd> stream) {
    if (ended_) return;
    if (!stream.ok()) return end(cannot_reach(address_, stream.status()));
    fd_ = *std::move(stream);
    // Of a slow way little waits here: else it would be filled for long after the time is over.
    const int unsent_max = way_chunk_bytes;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof unsent_max);
    pinged_ = loop_.clock().now();
    if (::send(fd_.get(), &way_ping, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) return lost();
    watch(EPOLLIN);
  }

  void watch(std::uint32_t events) {
    const std::weak_ptr<WaySource> weak = weak_from_this();
    loop_.unwatch_fd(fd_.get());
    const absl::Status watched = loop_.watch_fd(fd_.get(), events, [weak](std::uint32_t ready) {
      if (const auto alive = weak.lock()) alive->ready(ready);
    });
    if (!watched.ok())
      end(absl::InternalError(absl::StrCat("the way to ", address_, ": ", watched.message())));
  }

  void ready(std::uint32_t events) {
    if (ended_) return;
    if (!reached_) return ponged();
    if ((events & ~std::uint32_t{EPOLLOUT}) != 0) read_report();
    if (!ended_ && !said_all_ && (events & EPOLLOUT) != 0) fill();
  }

  // A target whose patience is over reports before all is said.
  void read_report() {
    std::array<char, way_report_bytes> bytes{};
    const ssize_t got =
        ::recv(fd_.get(), bytes.data(), bytes.size() - report_.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return end(way_);
    report_.append(bytes.data(), static_cast<std::size_t>(got));
    if (report_.size() < way_report_bytes) return;
    const Instant now = loop_.clock().now();
    count_blocked(now);
    if (!said_all_) filled_ = now - filling_since_;
    if (const auto report = decode_way_report(report_); report.ok())
      way_ = way_of(*report, way_.round_trip, filled_, blocked_);
    end(way_);
  }

  void ponged() {
    char pong = 0;
    const ssize_t got = ::recv(fd_.get(), &pong, 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got != 1 || pong != way_ping) return lost();
    reached_ = true;
    filling_since_ = loop_.clock().now();
    way_.round_trip = filling_since_ - pinged_;
    if (!measure_ || granted_ == 0) return end(way_);
    filling_until_ = filling_since_ + way_time_max;
    const std::weak_ptr<WaySource> weak = weak_from_this();
    filling_timer_ = loop_.at(filling_until_, [weak] {
      const auto alive = weak.lock();
      if (alive == nullptr || alive->ended_) return;
      alive->filling_timer_ = 0;
      if (!alive->said_all_) alive->fill();
    });
    watch(EPOLLIN | EPOLLOUT);
  }

  // As long as there is room: what has been taken and not sent yet is little when the time is over.
  void fill() {
    static constexpr std::array<char, way_chunk_bytes> filler{};
    for (int chunk = 0; chunk < way_chunks_at_once; ++chunk) {
      const Instant now = loop_.clock().now();
      count_blocked(now);
      const bool all = granted_ == 0 || now >= filling_until_;
      const ssize_t sent = ::send(fd_.get(), all ? &way_end : filler.data(),
                                  all ? 1 : std::min<std::uint64_t>(filler.size(), granted_),
                                  MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
        full_since_ = now;
        return;
      }
      if (sent <= 0) return end(way_);
      if (all) {
        said_all_ = true;
        filled_ = now - filling_since_;
        return watch(EPOLLIN);
      }
      granted_ -= static_cast<std::uint64_t>(sent);
    }
  }

  // There is room again, or it is over. If nothing is under way, room was there before this loop looked: then the way was not waited for.
  void count_blocked(Instant now) {
    const std::optional<Instant> since = std::exchange(full_since_, std::nullopt);
    int under_way = 0;
    if (since && ::ioctl(fd_.get(), SIOCOUTQ, &under_way) == 0 && under_way > 0)
      blocked_ += now - *since;
  }

  static absl::Status cannot_reach(const std::string& where, const absl::Status& why) {
    return {why.code(), absl::StrCat("cannot reach ", where, " from here: ", why.message())};
  }

  void lost() {
    end(cannot_reach(address_,
                     absl::UnavailableError("who takes the connection there does not answer as a "
                                            "host of this cluster")));
  }

  void late() {
    timer_ = 0;
    if (reached_) return end(way_);
    end(cannot_reach(offered_ ? address_ : endpoint_,
                     absl::DeadlineExceededError(absl::StrCat(
                         "no answer within ", absl::FormatDuration(WaySources::try_max)))));
  }

  EventLoop& loop_;
  const std::string endpoint_;
  const bool measure_;
  Reply<Way> reply_;
  std::function<void()> over_, stop_connecting_;
  std::unique_ptr<Link> link_;
  TimerId timer_ = 0, filling_timer_ = 0;
  bool offered_ = false, reached_ = false, said_all_ = false, ended_ = false;
  std::string address_, report_;
  std::uint64_t granted_ = 0;
  OwnFd fd_;
  Instant pinged_{}, filling_since_{}, filling_until_{};
  std::optional<Instant> full_since_;
  Duration filled_, blocked_;
  Way way_;
};

WaySources::~WaySources() {
  for (const auto& [number, source] : Tries(*tries_))
    source->end(absl::CancelledError("this host stops"));
}

void WaySources::try_way(const std::string& endpoint, bool measure, Reply<Way> reply) {
  const std::uint64_t number = ++last_;
  // Its link is not destroyed inside the link's own call.
  auto over = [this, number] {
    loop_.post([kept = std::weak_ptr<Tries>(tries_), number] {
      if (const auto tries = kept.lock()) tries->erase(number);
    });
  };
  const auto source =
      std::make_shared<WaySource>(loop_, endpoint, measure, std::move(reply), std::move(over));
  (*tries_)[number] = source;
  source->begin(network_);
}

}  // namespace supercloud
