#include "core/actor.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/actor_cell.h"
#include "core/text.h"

namespace supercloud {

void Actor::serve(Message<schema::Request> request, Answer answer) {
  (void)request;
  answer(absl::UnimplementedError("this actor answers no requests"));
}

const Address& Context::self() const { return cell_.address(); }
Instant Context::now() const { return cell_.runtime().now(); }
HybridTime Context::time() const { return cell_.runtime().time(); }
absl::Time Context::wall() const { return cell_.runtime().seams().scheduler.clock().wall(); }
Random& Context::random() { return cell_.random(); }
EventPool& Context::pool() { return cell_.runtime().seams().pool; }

void Context::subscribe(const Pattern& pattern, std::function<void()> ready, Queueing queueing) {
  cell_.subscribe(pattern, std::move(ready), queueing);
}
void Context::unsubscribe(const Pattern& pattern) { cell_.unsubscribe(pattern); }
void Context::taken(const Event& event) { cell_.taken(event); }

void Context::on_gap(std::function<void(const BusGap&)> then) { cell_.on_gap(std::move(then)); }

Draft Context::draft(std::string_view subject, std::string_view tenant) {
  return pool().draft(subject, tenant);
}
Event Context::publish(Draft draft, std::function<void(absl::Status)> logged) {
  return cell_.publish(std::move(draft), std::move(logged));
}

TimerId Context::after(Duration delay, std::function<void()> task) {
  return at(now() + delay, std::move(task));
}
TimerId Context::at(Instant when, std::function<void()> task) {
  return cell_.at(when, std::move(task));
}
void Context::cancel(TimerId timer) { cell_.cancel(timer); }

Context::Expected Context::expect(Duration deadline, Turn turn) {
  return cell_.expect(deadline, std::move(turn));
}

void Context::fail(absl::Status why) { cell_.fail(std::move(why)); }

// ---- history -------------------------------------------------------------------------------------------------------

namespace {

constexpr std::size_t page_events = 256;
// a log that hangs is reported, not waited for
constexpr Duration page_deadline = absl::Seconds(60);

// A walk through the log, one page a turn.
struct HistoryWalk : std::enable_shared_from_this<HistoryWalk> {
  HistoryWalk(Context& in, EventLog& from, Pattern which)
      : context(in), log(from), pattern(std::move(which)) {}

  void read(std::uint64_t position) {
    log.read(position, pattern, page_events,
             context.reply<LogPage>(page_deadline,
                                    [walk = shared_from_this()](absl::StatusOr<LogPage> page) {
                                      if (!page.ok()) {
                                        walk->done(page.status());
                                        return;
                                      }
                                      for (const Event& event : page->events) walk->each(event);
                                      if (page->end) {
                                        walk->done(absl::OkStatus());
                                      } else {
                                        walk->read(page->next);
                                      }
                                    }));
  }

  Context& context;
  EventLog& log;
  Pattern pattern;
  std::function<void(const Event&)> each;
  std::function<void(absl::Status)> done;
};

}  // namespace

void Context::history(const Pattern& pattern, std::function<void(const Event&)> each,
                      std::function<void(absl::Status)> done) {
  auto walk = std::make_shared<HistoryWalk>(*this, cell_.runtime().seams().log, pattern);
  walk->each = std::move(each);
  walk->done = std::move(done);
  walk->read(0);
}

// ---- requests ------------------------------------------------------------------------------------------------------

std::shared_ptr<Call> Context::request(
    Address to, Message<schema::Request> request, Duration deadline,
    std::function<void(absl::StatusOr<Message<schema::Response>>)> then,
    Call::OnProgress on_progress) {
  auto answered = [then = std::move(then), to](const absl::StatusOr<std::string>& bytes) {
    if (!bytes.ok()) {
      then(bytes.status());
      return;
    }
    absl::StatusOr<Message<schema::Response>> response = Message<schema::Response>::parse(*bytes);
    if (response.ok() && response->reader().getCode() != 0) {
      const std::uint16_t code = response->reader().getCode();
      const std::string_view message = text(response->reader().getMessage());
      const bool known = code <= static_cast<std::uint16_t>(absl::StatusCode::kUnauthenticated);
      then(absl::Status(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
                        absl_view(message)));
      return;
    }
    then(std::move(response));
  };
  const std::string_view bytes = request.bytes();
  std::shared_ptr<Call> call = cell_.call(std::move(on_progress));
  Reply<std::string> reply = this->reply<std::string>(deadline, std::move(answered), call);
  cell_.made(call);
  cell_.runtime().seams().bus.request(std::move(to), std::string(bytes), std::move(reply));
  return call;
}

}  // namespace supercloud
