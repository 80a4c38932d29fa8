#include "core/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"

namespace supercloud {

namespace {

// Keys of the loop's own descriptors in epoll; watches count from above them.
constexpr std::uint64_t timer_key = 0;
constexpr std::uint64_t event_key = 1;
constexpr std::uint64_t first_watch = 2;

std::int64_t nanoseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void add_own(int epoll, int fd, std::uint64_t key) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = key;
  ABSL_RAW_CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll takes no descriptor");
}

}  // namespace

Instant LiveClock::now() const { return {nanoseconds(CLOCK_BOOTTIME)}; }
absl::Time LiveClock::wall() const { return absl::FromUnixNanos(nanoseconds(CLOCK_REALTIME)); }

EventLoop::EventLoop()
    : epoll_fd_(epoll_create1(EPOLL_CLOEXEC)),
      timer_fd_(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC)),
      event_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      last_watch_(first_watch),
      thread_(std::this_thread::get_id()) {
  ABSL_RAW_CHECK(epoll_fd_ >= 0 && timer_fd_ >= 0 && event_fd_ >= 0,
                 "no descriptors for an event loop: raise the limit of open files (ulimit -n)");
  add_own(epoll_fd_, timer_fd_, timer_key);
  add_own(epoll_fd_, event_fd_, event_key);
}

EventLoop::~EventLoop() {
  stop();
  close(event_fd_);
  close(timer_fd_);
  close(epoll_fd_);
}

TimerId EventLoop::at(Instant when, Task task) {
  return timers_.arm(when, ++timer_order_, std::move(task));
}

void EventLoop::post(Task task) {
  const bool own = thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  bool first = false;
  {
    std::unique_lock lock(mutex_);
    if (!own && posted_.size() >= posted_max) {
      room_.wait(lock, [this] { return posted_.size() < posted_max || stopping_; });
      if (posted_.size() >= posted_max) return;
    }
    if (stopping_) return;  // nothing runs any more
    first = posted_.empty();
    posted_.push(std::move(task));
  }
  if (first && !own) wake();
}

void EventLoop::wake() const {
  const std::uint64_t one = 1;
  // Fails only when the counter is full: then the loop wakes anyway.
  [[maybe_unused]] const ssize_t written = write(event_fd_, &one, sizeof one);
}

void EventLoop::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  room_.notify_all();
  wake();
}

void EventLoop::run() {
  thread_ = std::this_thread::get_id();
  while (!stopping_) {
    const bool more = work();
    if (!stopping_) wait(!more);
  }
  // What still waits will never run: it goes now, while what it holds on to (events, and so their pool) is there.
  while (true) {
    std::exchange(turn_end_, {});
    Task dropped;
    const std::lock_guard lock(mutex_);
    if (!running_.empty())
      dropped = running_.pop();
    else if (!posted_.empty())
      dropped = posted_.pop();
    else
      return;
  }
}

bool EventLoop::run_until(absl::FunctionRef<bool()> done, Duration limit) {
  thread_ = std::this_thread::get_id();
  bool late = false;
  const TimerId alarm = at(clock_.now() + limit, [&late] { late = true; });
  bool reached = done();
  while (!reached && !late && !stopping_) {
    const bool more = work();
    reached = done();
    if (reached || late || stopping_) break;
    wait(!more);
    reached = done();
  }
  cancel(alarm);
  return reached;
}

// True: more has been posted meanwhile.
bool EventLoop::work() {
  end_turn();
  const bool before = run_posted();
  if (!stopping_) run_due();
  if (before) return true;
  const std::lock_guard lock(mutex_);
  return !posted_.empty();
}

// Runs what had been posted when it was called. True: more has been posted since.
bool EventLoop::run_posted() {
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    full = posted_.size() >= posted_max;
    if (running_.empty()) std::swap(posted_, running_);
  }
  if (full) room_.notify_all();
  while (!running_.empty() && !stopping_) {
    Task task = running_.pop();
    std::move(task)();
    end_turn();
  }
  const std::lock_guard lock(mutex_);
  return !posted_.empty() || !running_.empty();
}

void EventLoop::run_due() {
  if (timers_.size() == 0) return;
  const Instant now = clock_.now();
  const std::uint64_t newest = timer_order_;  // what these timers arm waits for the next round
  while (!stopping_) {
    const std::optional<TimerQueue::Key> first = timers_.first();
    if (!first || first->when > now || first->order > newest) return;
    Task task = timers_.take();
    std::move(task)();
    end_turn();
  }
}

void EventLoop::end_turn() {
  while (!turn_end_.empty() && !stopping_) {
    std::swap(turn_end_, ending_);
    for (Task& task : ending_)
      if (!stopping_) std::move(task)();
    ending_.clear();
  }
}

void EventLoop::arm_timerfd() {
  const std::optional<TimerQueue::Key> first = timers_.first();
  const std::optional<Instant> when = first ? std::optional<Instant>(first->when) : std::nullopt;
  if (when == timer_fd_at_) return;
  timer_fd_at_ = when;
  itimerspec spec{};  // all zero: disarmed
  if (when) {
    const std::int64_t ns = std::max<std::int64_t>(when->ns, 1);
    spec.it_value.tv_sec = ns / 1'000'000'000;
    spec.it_value.tv_nsec = ns % 1'000'000'000;
  }
  timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &spec, nullptr);
}

void EventLoop::wait(bool block) {
  arm_timerfd();
  if (block) {  // the condition of run_until() may have posted
    const std::lock_guard lock(mutex_);
    block = posted_.empty() && turn_end_.empty();
  }
  std::array<epoll_event, 64> events{};
  const int count =
      epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), block ? -1 : 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 >= first_watch) {
      if (!stopping_) on_ready(event.data.u64, event.events);
      end_turn();
      continue;
    }
    std::uint64_t ignored = 0;
    const int fd = event.data.u64 == timer_key ? timer_fd_ : event_fd_;
    [[maybe_unused]] const ssize_t got = read(fd, &ignored, sizeof ignored);
    // it is disarmed; due timers run in the next round
    if (event.data.u64 == timer_key) timer_fd_at_.reset();
  }
}

// ---- descriptors ---------------------------------------------------------------------------------------------------

absl::Status EventLoop::watch_fd(int fd, std::uint32_t events, Ready ready) {
  auto watch = std::make_shared<Watch>(Watch{++last_watch_, events, std::move(ready)});
  epoll_event event{};
  event.events = events;
  event.data.u64 = watch->id;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot watch descriptor ", fd));
  }
  watches_by_id_[watch->id] = watch;
  watches_[fd] = std::move(watch);
  return absl::OkStatus();
}

void EventLoop::change_fd(int fd, std::uint32_t events) {
  const auto found = watches_.find(fd);
  if (found == watches_.end() || found->second->events == events) return;
  found->second->events = events;
  epoll_event event{};
  event.events = events;
  event.data.u64 = found->second->id;
  epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::unwatch_fd(int fd) {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
  watches_by_id_.erase(found->second->id);
  watches_.erase(found);
}

void EventLoop::on_ready(std::uint64_t id, std::uint32_t events) {
  const auto found = watches_by_id_.find(id);
  if (found == watches_by_id_.end()) return;           // unwatched in this round
  const std::shared_ptr<Watch> watch = found->second;  // it may unwatch itself
  watch->ready(events);
}

}  // namespace supercloud
