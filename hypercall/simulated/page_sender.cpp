#include "hypercall/simulated/page_sender.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr std::size_t backlog_max = 4 << 20;
constexpr Duration backlog_wait = absl::Milliseconds(5);
constexpr Duration idle_wait =
    absl::Milliseconds(20);  // between passes once converged, or with nothing dirty
constexpr std::size_t batch_pages_max = 1024;
constexpr std::uint64_t batches_per_second = 100;
constexpr std::uint64_t second_us = 1'000'000;
constexpr Duration recover_every = absl::Milliseconds(500);
constexpr std::uint32_t throttle_step = 33, throttle_max = 99;  // percent

}  // namespace

PageSender::PageSender(Scheduler& scheduler, LinkNetwork& network, SimulatedGuest& guest,
                       TransferOptions options, std::function<std::uint64_t()> share, Epoch epoch,
                       std::function<void(absl::Status why)> ended)
    : scheduler_(scheduler),
      network_(network),
      epoch_(epoch),
      guest_(guest),
      options_(std::move(options)),
      share_(std::move(share)),
      ended_(std::move(ended)),
      reported_(scheduler.clock().now()) {
  connect(false);
}

void PageSender::connect(bool again) {
  link_ = network_.connect(options_.endpoint, "pages");
  link_->set_handler({.on_frame = [this](std::string frame) { on_frame(frame); },
                      .on_closed =
                          [this](absl::Status why) {
                            fail(absl::UnavailableError(absl::StrCat(
                                "the page stream of ", guest_.vm(), " to ", options_.endpoint,
                                " was lost: ", std::string(why.message()))));
                          }});
  transfer::Hello hello;
  hello.again = again;
  hello.epoch = epoch_;
  hello.vm = guest_.vm();
  hello.migration = options_.migration;
  hello.page_count = static_cast<std::uint32_t>(guest_.memory().pages());
  hello.page_bytes = guest_.page_bytes();
  link_->send(transfer::encode(hello));
}

PageSender::~PageSender() {
  scheduler_.cancel(timer_);
  guest_.throttle(0);
}

void PageSender::slow_down() {
  if (throttle_percent_ != 0 || converged_ || failed_) return;
  throttle();
}

void PageSender::start_post_copy() {
  if (!options_.post_copy || converged_ || failed_ || !accepted_) return;
  follow_asked_ = converged_ = true;
  converged_reply_(measure());
}

void PageSender::throttle() {
  throttle_percent_ = std::min(throttle_percent_ + throttle_step, throttle_max);
  guest_.throttle(throttle_percent_);
}

void PageSender::report_to(Progress progress, Reply<TransferProgress> converged) {
  progress_ = std::move(progress);
  converged_reply_ = std::move(converged);
  if (converged_) converged_reply_(measure());
}

void PageSender::finish(Reply<TransferProgress> reply) {
  if (confirmed_) return reply(measure());
  finish_replies_.push_back(std::move(reply));
  if (finishing_) return;
  finishing_ = true;
  // A batch under way ends first; an idle wait does not have to.
  if (idle_) schedule(absl::ZeroDuration());
}

void PageSender::cancel(const absl::Status& why) {
  converged_reply_(why);
  std::vector<Reply<TransferProgress>> waiting;
  waiting.swap(finish_replies_);
  for (Reply<TransferProgress>& reply : waiting) reply(why);
}

void PageSender::on_frame(const std::string& bytes) {
  if (failed_ || lost_ || whole_) return;
  absl::StatusOr<transfer::Frame> frame = transfer::decode(bytes);
  if (!frame.ok()) return fail(frame.status());
  if (std::holds_alternative<transfer::Accept>(*frame) && !accepted_) {
    accepted_ = true;
    guest_.memory().mark_all_dirty();
    pump();
  } else if (const auto* refuse = std::get_if<transfer::Refuse>(&*frame)) {
    fail(absl::FailedPreconditionError(absl::StrCat(options_.endpoint, " refuses the memory of ",
                                                    guest_.vm(), ": ", refuse->why)));
  } else if (std::holds_alternative<transfer::Confirm>(*frame) && final_sent_ && !confirmed_) {
    if (!follows_) percent_ = 100;
    confirm();
    if (follows_) schedule(absl::ZeroDuration());
  } else if (const auto* rest = std::get_if<transfer::Rest>(&*frame); rest != nullptr && broken_) {
    take_rest(rest->pages);
  } else if (const auto* want = std::get_if<transfer::Want>(&*frame); want != nullptr && follows_) {
    // What is sent already is on its way.
    if (std::erase(rest_, want->index) > 0) rest_.push_back(want->index);
  } else if (std::holds_alternative<transfer::Whole>(*frame) && follows_) {
    whole_ = true;
    broken_ = false;
    percent_ = 100;
    scheduler_.cancel(std::exchange(timer_, 0));
    confirm();
    if (changed_) changed_();
  } else {
    fail(absl::InternalError(absl::StrCat(options_.endpoint, " broke the page stream protocol")));
  }
}

void PageSender::confirm() {
  confirmed_ = true;
  report();
  std::vector<Reply<TransferProgress>> waiting;
  waiting.swap(finish_replies_);
  for (Reply<TransferProgress>& reply : waiting) reply(measure());
}

void PageSender::fail(absl::Status why) {
  if (failed_ || lost_ || whole_) return;
  if (follows_) return absl::IsFailedPrecondition(why) ? lose(why) : break_off(why);
  failed_ = true;
  guest_.throttle(0);
  scheduler_.cancel(timer_);
  timer_ = 0;
  cancel(why);
  // A confirmed transfer has nothing left to lose.
  if (confirmed_) return;
  scheduler_.post([this, alive = std::weak_ptr<bool>(alive_), why] {
    if (alive.expired()) return;
    const auto ended = std::move(ended_);  // the call destroys this object
    ended(why);
  });
}

void PageSender::schedule(Duration delay) {
  scheduler_.cancel(timer_);
  timer_ = scheduler_.at(scheduler_.clock().now() + delay, [this] {
    timer_ = 0;
    pump();
  });
}

void PageSender::pump() {
  if (failed_) return;
  if (broken_) return recover();
  if (final_sent_) return send_rest();
  if (finishing_ && follow_asked_) return finish_by_parts();
  const bool rested = std::exchange(idle_, false);
  if (scheduler_.clock().now() - reported_ >= absl::Seconds(1)) report();
  if (next_ < queue_.size()) return send_batch();
  if (!queue_.empty()) end_pass();

  GuestMemory& memory = guest_.memory();
  if (finishing_ && memory.dirty_pages() == 0) {
    link_->send(transfer::encode(transfer::Final{guest_.device_state()}));
    final_sent_ = true;
    return;
  }
  // Once converged, passes are paced: each one would be short, and the pause is near.
  const bool rest = converged_ && !finishing_ && !rested;
  if (rest || memory.dirty_pages() == 0) {
    idle_ = true;
    return schedule(idle_wait);
  }
  ++pass_;
  queue_ = memory.take_dirty();
  next_ = 0;
  send_batch();
}

// ---- post-copy ----------------------------------------------------------------------------------

GuestStatus::Memory PageSender::memory() const {
  using Memory = GuestStatus::Memory;
  return lost_         ? Memory::lost
         : broken_     ? Memory::broken
         : following() ? Memory::needed
                       : Memory::whole;
}

// The pages of the clock and of the disk driver are the model's own, and never missing.
void PageSender::finish_by_parts() {
  GuestMemory& memory = guest_.memory();
  const auto last = static_cast<std::uint32_t>(memory.pages() - 1);
  std::vector<bool> missing(memory.pages());
  for (; next_ < queue_.size(); ++next_) missing[queue_[next_]] = true;
  for (const std::uint32_t page : memory.take_dirty()) missing[page] = true;
  missing.front() = missing.back() = false;
  transfer::Rest rest;
  for (std::uint32_t page = 0; page < missing.size(); ++page)
    if (missing[page]) rest.pages.push_back(page);
  transfer::Pages own{pass_, {{0, memory.content(0)}, {last, memory.content(last)}}};
  link_->send(transfer::encode(own));
  follows_ = !rest.pages.empty();
  if (follows_) link_->send(transfer::encode(rest));
  rest_.assign(rest.pages.rbegin(), rest.pages.rend());
  link_->send(transfer::encode(transfer::Final{guest_.device_state()}));
  final_sent_ = true;
  if (follows_ && changed_) changed_();
}

void PageSender::send_rest() {
  if (!following() || lost_ || !confirmed_) return;
  if (scheduler_.clock().now() - reported_ >= absl::Seconds(1)) report();
  if (rest_.empty()) return;  // the target says when it has all
  if (link_->backlog() > backlog_max) return schedule(backlog_wait);
  const std::uint64_t share = bytes_per_second() / batches_per_second / guest_.page_bytes();
  const std::size_t batch = std::clamp<std::size_t>(share, 1, batch_pages_max);
  transfer::Pages frame;
  frame.pass = pass_;
  while (!rest_.empty() && frame.pages.size() < batch) {
    frame.pages.push_back({rest_.back(), guest_.memory().content(rest_.back())});
    rest_.pop_back();
  }
  sent_pages_ += frame.pages.size();
  const Duration taken = time_for(frame.pages.size() * guest_.page_bytes());
  link_->send(transfer::encode(frame));
  schedule(taken);
}

void PageSender::take_rest(std::vector<std::uint32_t> pages) {
  for (const std::uint32_t page : pages)
    if (page >= guest_.memory().pages())
      return lose(absl::InternalError(
          absl::StrCat(options_.endpoint, " misses a page that ", guest_.vm(), " does not have")));
  rest_.assign(pages.rbegin(), pages.rend());
  broken_ = false;
  if (!confirmed_) confirm();
  if (changed_) changed_();
  schedule(absl::ZeroDuration());
}

void PageSender::cut() { break_off(absl::UnavailableError("it was cut")); }

void PageSender::break_off(const absl::Status& why) {
  if (!following() || lost_) return;
  if (!std::exchange(broken_, true)) {
    broken_at_ = scheduler_.clock().now();
    memory_why_ = absl::StrCat("the stream of its memory was lost: ", std::string(why.message()));
    if (changed_) changed_();
  }
  schedule(recover_every);
}

void PageSender::recover() {
  if (lost_) return;
  if (scheduler_.clock().now() - broken_at_ > transfer::post_copy_patience)
    return lose(absl::UnavailableError(
        absl::StrCat("no other stream to ", options_.endpoint, " could be made in time")));
  connect(true);
  schedule(recover_every);  // should nobody answer
}

void PageSender::lose(const absl::Status& why) {
  if (std::exchange(lost_, true)) return;
  scheduler_.cancel(std::exchange(timer_, 0));
  memory_why_ = std::string(why.message());
  cancel(why);
  if (changed_) changed_();
}

// -------------------------------------------------------------------------------------------------

void PageSender::send_batch() {
  if (link_->backlog() > backlog_max) return schedule(backlog_wait);
  const std::uint64_t share = bytes_per_second() / batches_per_second / guest_.page_bytes();
  const std::size_t batch = std::clamp<std::size_t>(share, 1, batch_pages_max);
  transfer::Pages frame;
  frame.pass = pass_;
  while (next_ < queue_.size() && frame.pages.size() < batch) {
    const std::uint32_t page = queue_[next_++];
    frame.pages.push_back({page, guest_.memory().content(page)});
  }
  sent_pages_ += frame.pages.size();
  const Duration taken = time_for(frame.pages.size() * guest_.page_bytes());
  link_->send(transfer::encode(frame));
  schedule(taken);
}

void PageSender::end_pass() {
  queue_.clear();
  next_ = 0;
  link_->send(transfer::encode(transfer::PassEnd{pass_}));
  if (converged_) return;
  const std::uint64_t remaining = guest_.memory().dirty_pages() * guest_.page_bytes();
  converged_ = time_for(remaining) <= options_.blackout_budget || pass_ >= options_.passes_max;
  report();
  if (converged_) converged_reply_(measure());
  if (!converged_ && throttle_percent_ != 0) throttle();
}

void PageSender::report() {
  reported_ = scheduler_.clock().now();
  const TransferProgress progress = measure();
  percent_ = progress.percent;
  if (progress_) progress_(progress);
}

TransferProgress PageSender::measure() const {
  const std::uint64_t page_bytes = guest_.page_bytes();
  const std::size_t pages = guest_.memory().pages();
  const std::size_t left =
      follows_     ? rest_.size()
      : pass_ == 0 ? pages
                   : std::min(pages, queue_.size() - next_ + guest_.memory().dirty_pages());
  const bool done = confirmed_ && !following();
  TransferProgress progress;
  progress.pass = pass_;
  progress.sent_bytes = sent_pages_ * page_bytes;
  progress.remaining_bytes = done ? 0 : left * page_bytes;
  progress.bytes_per_second = bytes_per_second();
  progress.dirty_pages_per_second = guest_.dirty_rate().pages_per_second;
  progress.converged = converged_;
  progress.can_follow = options_.post_copy;
  const auto there = static_cast<std::uint32_t>(99 * (pages - left) / pages);
  progress.percent = done ? 100 : std::max(percent_, there);
  if (done) return progress;

  progress.eta_low = time_for(progress.remaining_bytes);
  const std::uint64_t dirty_bytes = progress.dirty_pages_per_second * guest_page_bytes;
  const std::uint32_t passes_left = options_.passes_max > pass_ ? options_.passes_max - pass_ : 1;
  const Duration slowest = options_.passes_max == TransferOptions::passes_unlimited
                               ? absl::InfiniteDuration()
                               : time_for(pages * page_bytes) * passes_left + progress.eta_low;
  progress.eta_high = slowest;
  if (dirty_bytes < progress.bytes_per_second) {
    // What is dirtied meanwhile comes on top: a geometric series.
    const std::uint64_t net = progress.bytes_per_second - dirty_bytes;
    const Duration grown =
        progress.eta_low * static_cast<std::int64_t>(progress.bytes_per_second / net + 1);
    progress.eta_high = std::min(slowest, grown + options_.blackout_budget);
  }
  return progress;
}

std::uint64_t PageSender::bytes_per_second() const {
  const std::uint64_t share = std::max<std::uint64_t>(share_(), 1);
  const std::uint64_t cap = options_.bytes_per_second_max;
  return cap == 0 ? share : std::min(share, cap);
}

Duration PageSender::time_for(std::uint64_t bytes) const {
  const std::uint64_t rate = bytes_per_second();
  const std::uint64_t whole = bytes / rate;
  const std::uint64_t rest = bytes % rate;
  // In microseconds, so that the product stays within 64 bits up to 18 TB/s.
  const std::uint64_t us = rest * second_us / rate;
  return absl::Seconds(static_cast<std::int64_t>(whole)) +
         absl::Microseconds(static_cast<std::int64_t>(us));
}

}  // namespace supercloud
