#include "actors/gateway/hub.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/gateway/cloud_event.h"
#include "actors/gateway/reader_queue.h"
#include "actors/reading/log_page.h"
#include "core/text.h"

namespace supercloud {
namespace {

ReadingHost::Page understood_page(absl::StatusOr<std::string> bytes) {
  if (!bytes.ok()) return bytes.status();
  auto response = Message<schema::Response>::parse(*bytes);
  if (response.ok() && response->reader().getCode() != 0)
    return absl::Status(static_cast<absl::StatusCode>(response->reader().getCode()),
                        absl_view(text(response->reader().getMessage())));
  return response;
}

}  // namespace

class GatewayHub::Reader final : public ReadingSink {
 public:
  Reader(GatewayHub& hub, ReadingId id, Reading::Begin begin, std::shared_ptr<Outlet> outlet,
         Queueing::Full queue)
      : reading(id, hub, *this, begin), hub_(hub), outlet_(std::move(outlet)) {
    if (queue == Queueing::Full::fail) return;
    queue_.emplace(queue, begin.cursor, hub.options_.waiting_events_max,
                   hub.options_.waiting_bytes_max);
  }

  bool has_room() override { return outlet_->has_room(); }
  bool offer(const Cursor& stands, const Event& event) override {
    // The past waits for its reader.
    if (!queue_ || !reading.live()) return give(stands, event);
    return (queue_->empty() && give(stands, event)) || queue_->push(stands, event);
  }
  bool offer(const Cursor& stands, const MissedEvents& missed) override {
    if (missed.perhaps) return true;  // what the bus lost, it says itself
    if (!queue_ || !reading.live()) return give(stands, missed);
    return (queue_->empty() && give(stands, missed)) || queue_->push(stands, missed);
  }
  // Its outlet has room again.
  void go_on() {
    if (queue_)
      queue_->drain(
          {.event = [this](const auto& stands, const auto& event) { return give(stands, event); },
           .missed = [this](const auto& stands,
                            const auto& missed) { return give(stands, missed); }});
    reading.step();
  }
  void end(const Cursor& stands, std::optional<SlowReader> slow) override {
    outlet_->end(stands.text(), slow);
  }

  Reading reading;

 private:
  bool give(const Cursor& stands, const Event& event) {
    if (!outlet_->offer(stands.text(), cloud_event_type(event), hub_.json_of(event))) return false;
    ++hub_.metrics_.sent;
    if (queue_) queue_->passed(event.origin(), {event.incarnation(), event.sequence()});
    return true;
  }
  bool give(const Cursor& stands, const MissedEvents& missed) {
    if (!outlet_->offer(stands.text(), gap_type, hub_.gap(missed))) return false;
    ++hub_.metrics_.gaps;
    return true;
  }

  GatewayHub& hub_;
  const std::shared_ptr<Outlet> outlet_;
  std::optional<ReaderQueue> queue_;
};

GatewayHub::GatewayHub(Scheduler& scheduler, Bus& bus, EventPool& pool, GatewayMetrics& metrics,
                       GatewayHubOptions options)
    : scheduler_(scheduler),
      bus_(bus),
      pool_(pool),
      metrics_(metrics),
      options_(std::move(options)),
      began_us_(absl::ToUnixMicros(scheduler.clock().wall())) {
  for (const std::string& node : options_.nodes) nodes_[node] = false;
}

GatewayHub::~GatewayHub() = default;

void GatewayHub::start(Reply<Done> joined) {
  bus_.start(*this, {});
  bus_.subscribe("", std::move(joined));
}

void GatewayHub::open(ReadingId id, Reading::Begin begin, std::shared_ptr<Outlet> outlet,
                      Queueing::Full queue) {
  const auto at = readings_
                      .emplace(id, std::make_unique<Reader>(*this, id, std::move(begin),
                                                            std::move(outlet), queue))
                      .first;
  at->second->reading.step();
  reap(id);
}

void GatewayHub::go_on(ReadingId id) {
  const auto at = readings_.find(id);
  if (at == readings_.end()) return;
  at->second->go_on();
  reap(id);
}

void GatewayHub::close(ReadingId id) {
  readings_.erase(id);
  std::erase_if(wanted_, [id](const Wanted& wanted) { return wanted.reading == id; });
  metrics_.pages_waiting = wanted_.size();
}

void GatewayHub::reap(ReadingId id) {
  const auto at = readings_.find(id);
  if (at != readings_.end() && at->second->reading.done()) close(id);
}

void GatewayHub::on_event(Event event) {
  metrics_.saw(event.type());
  recent_bytes_ += event.bytes().size();
  recent_.push_back(event);
  while (recent_.size() > options_.recent_events_max || recent_bytes_ > options_.recent_bytes_max) {
    recent_bytes_ -= recent_.front().bytes().size();
    recent_.pop_front();
  }
  for (auto at = readings_.begin(); at != readings_.end();) {
    at->second->reading.hear(event);
    const ReadingId id = (at++)->first;
    reap(id);
  }
}

void GatewayHub::on_gap(const BusGap& gap) {
  ++metrics_.bus_gaps;
  for (auto at = readings_.begin(); at != readings_.end();) {
    at->second->reading.missed(gap);
    const ReadingId id = (at++)->first;
    reap(id);
  }
}

void GatewayHub::on_request(std::string, std::string, Reply<std::string> answer) {
  answer(absl::NotFoundError("a gateway serves nothing on the bus"));
}

void GatewayHub::on_rejected(std::string, std::string) {}

void GatewayHub::on_peer(std::string node, bool alive) {
  nodes_[std::move(node)] = alive;
  std::uint64_t living = 0;
  for (const auto& [name, lives] : nodes_) living += lives ? 1 : 0;
  metrics_.nodes = living;
}

void GatewayHub::page(std::uint64_t reading, const Source& source, LogQuestion question,
                      std::function<void(Page)> then) {
  wanted_.push_back({reading, source, std::move(question), std::move(then)});
  metrics_.pages_waiting = wanted_.size();
  ask();
}

void GatewayHub::ask() {
  while (!wanted_.empty() && under_way_ < options_.pages_under_way_max) {
    Wanted wanted = std::move(wanted_.front());
    wanted_.pop_front();
    metrics_.pages_waiting = wanted_.size();
    ++metrics_.pages;
    ++under_way_;
    const auto request = read_log_request(wanted.question, options_.page_events);
    const Address to = wanted.source.address();
    // In a turn of its own: a bus may answer at once, from within a reading's call.
    const auto then = [this, alive = std::weak_ptr(alive_),
                       wanted = std::move(wanted)](absl::StatusOr<std::string> bytes) mutable {
      if (alive.expired()) return;
      scheduler_.post([this, alive = std::move(alive), wanted = std::move(wanted),
                       bytes = std::move(bytes)]() mutable {
        if (!alive.expired()) answered(std::move(wanted), understood_page(std::move(bytes)));
      });
    };
    bus_.request(to, str(request.bytes()),
                 Reply<std::string>(scheduler_.clock().now() + options_.page_deadline, then));
  }
}

void GatewayHub::answered(Wanted wanted, const Page& page) {
  --under_way_;
  if (!page.ok() && !(wanted.source.archive && absl::IsNotFound(page.status())))
    ++metrics_.pages_failed;
  if (readings_.contains(wanted.reading)) {
    wanted.then(page);
    reap(wanted.reading);
  }
  ask();
}

const std::string& GatewayHub::json_of(const Event& event) {
  if (!rendered_ || rendered_.bytes().data() != event.bytes().data()) {
    rendered_json_ = cloud_event_json(event);
    rendered_ = event;
  }
  return rendered_json_;
}

std::string GatewayHub::gap(const MissedEvents& missed) {
  return gap_json(missed, absl::StrCat(began_us_, ".", ++gaps_), options_.name,
                  scheduler_.clock().wall());
}

}  // namespace supercloud
