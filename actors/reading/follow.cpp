#include "actors/reading/follow.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/reading/log_page.h"
#include "core/text.h"

namespace supercloud {
namespace {

// Between the first sign of a node and a look into its log: until the subscription is in effect there.
constexpr Duration introduction = absl::Seconds(1);

constexpr std::size_t gaps_max = 1024;
constexpr Duration pause_max = absl::Minutes(5);

Stand end_of(std::uint64_t incarnation, std::optional<std::uint64_t> up_to) {
  return {incarnation, up_to.value_or(std::numeric_limits<std::uint64_t>::max())};
}

}  // namespace

From From::time(absl::Time time) {
  From from(Kind::past);
  from.start_ = HybridTime::at(time);
  return from;
}

From From::behind(EventId event) {
  From from(Kind::past);
  from.behind_ = std::move(event);
  return from;
}

Follow::Follow(Context& context, FollowOptions options, FollowCallbacks callbacks)
    : context_(context),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      prefix_(options_.pattern.wire_prefix()),
      began_(context.time()) {
  nodes_[context_.node()] = true;
  for (const char* pattern : {"node.joined.>", "node.capacity.>"})
    context_.subscribe(Pattern::of(pattern));
  context_.on_gap([this](const BusGap& gap) { note_gap(gap); });
  context_.subscribe(Pattern::of(prefix_ + ">"), [this] {
    if (!options_.durable.empty()) return find_position();
    if (options_.from.kind_ == From::Kind::now) return open();
    context_.after(options_.patience, [this] { open(); });
  });
}

Follow::~Follow() = default;

// ---- the position of an earlier run ----------------------------------------------------------------------------------

std::string Follow::position_subject() const {
  return absl::StrCat(context_.self().to_string(), "/", options_.durable);
}

std::string Follow::position_pattern() const {
  return absl::StrCat(absl_view(topic_of(schema::Payload::SUBSCRIPTION_POSITION)), ".",
                      absl_view(default_tenant), ".", encode_token(position_subject()));
}

void Follow::find_position() {
  const auto pattern = Pattern::parse(position_pattern());
  if (!pattern.ok()) return context_.fail(pattern.status());
  context_.history(
      *pattern, [this](const Event& event) { consider(event); },
      [this](const absl::Status& read) {
        if (!read.ok()) return context_.fail(read);
        context_.after(options_.patience, [this] {
          if (position_) return open();
          archives_ = nodes_.size();
          for (const auto& [node, alive] : nodes_) ask_archive(node, 0);
        });
      });
}

void Follow::ask_archive(const std::string& node, std::uint64_t from) {
  ask(Source{node, true}.address(),
      read_log_request({.from = from, .pattern = position_pattern()}, options_.page_events),
      options_.tries, [this, node, from](const Page& response) {
        if (response.ok() && response->reader().isLog()) {
          const auto log = response->reader().getLog();
          for (const auto data : log.getEvents()) {
            const auto event =
                parse({reinterpret_cast<const std::byte*>(data.begin()), data.size()});
            if (event.ok()) consider(*event);
          }
          if (!log.getEnd() && log.getNext() > from) return ask_archive(node, log.getNext());
        }
        if (--archives_ == 0) open();
      });
}

void Follow::consider(const Event& event) {
  if (event.origin() != context_.self().to_string()) return;
  if (!event.payload().isSubscriptionPosition()) return;
  if (!position_ || order_of(position_) < order_of(event)) position_ = event;
}

// ---- reading ---------------------------------------------------------------------------------------------------------

void Follow::open() {
  const From& from = options_.from;
  const bool now = from.kind_ == From::Kind::now;
  Cursor cursor(options_.pattern, now ? began_ : from.start_);
  if (!from.behind_.empty())
    cursor.pass(from.behind_.origin, {from.behind_.incarnation, from.behind_.sequence});
  bool past = !now || !options_.durable.empty();  // until its position was looked for
  bool known = false;
  if (position_) {
    auto stood = Cursor::parse(text(position_.payload().getSubscriptionPosition().getCursor()));
    known = stood.ok() && stood->pattern == options_.pattern;
    if (known) cursor = *std::move(stood);
    past = past || known;
  }
  position_ = Event();
  collecting_ = !known && from.kind_ == From::Kind::newest_of_topic;
  reading_ = std::make_unique<Reading>(0, static_cast<ReadingHost&>(*this),
                                       static_cast<ReadingSink&>(*this),
                                       Reading::Begin{.cursor = std::move(cursor),
                                                      .past = past,
                                                      .limit = std::nullopt,
                                                      .pending_max = options_.pending_max});
  if (!known && !collecting_) dirty();  // since when, too, is remembered
  drive([this, past] { past ? reading_->step() : caught_up(); });
}

void Follow::drive(absl::FunctionRef<void()> call) {
  given_in_turn_ = 0;
  call();
  bool more = !reading_->live() && !has_room();
  if (std::exchange(again_, false)) {
    more = true;
    ++round_;
    node_is_new_ = false;
    std::deque<Event> heard = reading_->again();
    for (Event& event : recent_) heard.push_back(std::move(event));
    recent_ = std::move(heard);
  }
  if (reading_->attached()) recent_.clear();
  if (!more || step_timer_ != 0) return;
  step_timer_ = context_.after(absl::ZeroDuration(), [this] {
    step_timer_ = 0;
    drive([this] { reading_->step(); });
  });
}

void Follow::page(std::uint64_t, const Source& source, LogQuestion question,
                  std::function<void(Page)> then) {
  ask(source.address(), read_log_request(question, options_.page_events), options_.tries,
      [this, round = round_, then = std::move(then)](const Page& page) {
        if (round == round_) drive([&] { then(page); });
      });
}

// What is lost on the way is asked for again.
void Follow::ask(const Address& to, Message<schema::Request> request, std::uint32_t tries,
                 std::function<void(const Page&)> then) {
  context_.request(to, request, options_.deadline,
                   [this, to, request, tries, then = std::move(then)](const Page& page) {
                     if (absl::IsDeadlineExceeded(page.status()) && tries > 1)
                       return ask(to, request, tries - 1, then);
                     then(page);
                   });
}

void Follow::hear(const Event& event) {
  note_node(event);
  if (!event.topic().starts_with(prefix_)) return;
  if (reading_ != nullptr && reading_->attached())
    return drive([&] {
      reading_->hear(event);
      if (again_) recent_.push_back(event);  // it was not taken
    });
  recent_.push_back(event);
  while (recent_.size() > options_.recent_max) recent_.pop_front();
}

// What a node said before it was heard of is in its log alone.
void Follow::note_node(const Event& event) {
  const std::string node = str(node_of(event.origin()));
  const bool is_new = nodes_.try_emplace(node, true).second;
  // Of who is gone others may tell.
  const bool here = event.type() == schema::Payload::NODE_JOINED ||
                    event.type() == schema::Payload::NODE_CAPACITY;
  bool is_back = false;
  if (const auto absent = without_.find(node); here && absent != without_.end()) {
    is_back = absent->second.told && absent->second.again <= context_.now();
    if (is_back) absent->second.told = false;
  }
  if ((!is_new && !is_back) || reading_ == nullptr) return;
  node_is_new_ = true;
  look_again();
}

void Follow::look_again() {
  if (look_timer_ != 0) return;
  look_timer_ = context_.after(introduction, [this] {
    look_timer_ = 0;
    // Else when it is live.
    if (reading_->live()) drive([this] { again_ = true; });
  });
}

void Follow::note_gap(const BusGap& gap) {
  if (!gap.prefix.starts_with(prefix_) && !prefix_.starts_with(gap.prefix)) return;
  // Without one, the logs are still to be read.
  if (reading_ == nullptr || reading_->accounts_for(gap)) return;
  gaps_.push_back({gap, round_});
  if (gaps_.size() > gaps_max) gaps_.pop_front();
  look_again();
}

// A gap under a subscription of others here may have nothing of what this one asked for: the log, that has been read, tells, but of what is behind
// an event that was handed out.
bool Follow::may_miss(const BusGap& gap) const {
  const Stand* const stand = reading_->stand(gap.origin);
  if (stand != nullptr && Stand{gap.incarnation, gap.up_to} <= *stand) return true;
  return gap.up_to == BusGap::unknown || gap.prefix.starts_with(prefix_) || reading_->passing() ||
         without_.contains(str(node_of(gap.origin)));
}

bool Follow::offer(const Cursor& stands, const Event& event) {
  ++given_in_turn_;
  if (collecting_) {
    const std::string topic = str(event.topic());
    const auto known = newest_.find(topic);
    if (known != newest_.end()) {
      if (order_of(known->second) < order_of(event)) known->second = event;
      return true;
    }
    if (newest_.size() < options_.topics_max) {
      newest_.emplace(topic, event);
      return true;
    }
    // There are too many. What was kept back goes first, as all that follows is behind it.
    hand_out_newest();
  }
  callbacks_.on_event(event);
  // A position is no progress, nor is the checkpoint of it: they would call forth each other for ever.
  if (collecting_ || event.type() == schema::Payload::SUBSCRIPTION_POSITION ||
      event.type() == schema::Payload::BUS_CHECKPOINT)
    return true;
  if (++unsaved_ >= options_.save_events) {
    save(stands);
  } else {
    dirty();
  }
  return true;
}

bool Follow::offer(const Cursor&, const MissedEvents& missed) {
  if (missed.heard && !telling_) {
    Stand& tried = tried_[missed.origin];
    const Stand end = end_of(missed.incarnation, missed.up_to);
    if (tried < end) {
      tried = end;
      again_ = true;
      return false;
    }
  }
  // Of a node that cannot be read: once, until it can be.
  if (!is_origin(missed.origin)) {
    Unreadable& absent = without_[missed.origin];
    if (std::exchange(absent.told, true)) return true;
    absent.again = context_.now() + absent.pause;
    absent.pause = std::min(absent.pause * 2, pause_max);
  }
  if (callbacks_.on_gap) callbacks_.on_gap(missed);
  return true;
}

void Follow::caught_up() {
  std::deque<NoticedGap> later;
  telling_ = true;
  for (NoticedGap& noticed : std::exchange(gaps_, {})) {
    if (reading_->accounts_for(noticed.gap)) continue;
    if (noticed.round == round_) {
      later.push_back(std::move(noticed));
    } else if (may_miss(noticed.gap)) {
      reading_->missed(noticed.gap);
    }
  }
  telling_ = false;
  gaps_ = std::move(later);
  if (look_timer_ == 0 && (!gaps_.empty() || node_is_new_)) {
    again_ = true;
    return;
  }
  hand_out_newest();
  if (!std::exchange(went_live_, true) && callbacks_.on_live) callbacks_.on_live();
}

void Follow::hand_out_newest() {
  if (!std::exchange(collecting_, false)) return;
  std::vector<Event> events;
  for (auto& [topic, event] : std::exchange(newest_, {})) events.push_back(std::move(event));
  std::ranges::sort(events,
                    [](const Event& a, const Event& b) { return order_of(a) < order_of(b); });
  for (const Event& event : events) callbacks_.on_event(event);
  dirty();
}

// ---- positions -------------------------------------------------------------------------------------------------------

void Follow::dirty() {
  if (options_.durable.empty() || save_timer_ != 0) return;
  save_timer_ = context_.after(options_.save_interval, [this] {
    save_timer_ = 0;
    save();
  });
}

void Follow::save() {
  if (reading_ != nullptr && !collecting_) save(reading_->cursor());
}

void Follow::save(const Cursor& stands) {
  unsaved_ = 0;
  if (options_.durable.empty()) return;
  context_.cancel(std::exchange(save_timer_, 0));
  Draft draft = context_.draft(position_subject());
  auto position = draft.payload().initSubscriptionPosition();
  position.setActor(context_.self().to_string());
  position.setSubscription(options_.durable);
  position.setCursor(stands.text());
  context_.publish(std::move(draft), [this](const absl::Status& logged) {
    if (!logged.ok()) dirty();  // its log is full: later
  });
}

}  // namespace supercloud
