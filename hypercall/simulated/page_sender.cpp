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
constexpr std::uint32_t throttle_step = 33, throttle_max = 99;  // percent

}  // namespace

PageSender::PageSender(Scheduler& scheduler, LinkNetwork& network, SimulatedGuest& guest,
                       TransferOptions options, std::function<std::uint64_t()> share, Epoch epoch,
                       std::function<void(absl::Status why)> ended)
    : scheduler_(scheduler),
      guest_(guest),
      options_(std::move(options)),
      share_(std::move(share)),
      ended_(std::move(ended)),
      reported_(scheduler.clock().now()),
      link_(network.connect(options_.endpoint, "pages")) {
  link_->set_handler({.on_frame = [this](std::string frame) { on_frame(frame); },
                      .on_closed =
                          [this](absl::Status why) {
                            fail(absl::UnavailableError(absl::StrCat(
                                "the page stream of ", guest_.vm(), " to ", options_.endpoint,
                                " was lost: ", std::string(why.message()))));
                          }});
  transfer::Hello hello;
  hello.epoch = epoch;
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
  if (failed_) return;
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
    confirmed_ = true;
    percent_ = 100;
    report();
    std::vector<Reply<TransferProgress>> waiting;
    waiting.swap(finish_replies_);
    for (Reply<TransferProgress>& reply : waiting) reply(measure());
  } else {
    fail(absl::InternalError(absl::StrCat(options_.endpoint, " broke the page stream protocol")));
  }
}

void PageSender::fail(absl::Status why) {
  if (failed_) return;
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
  if (failed_ || final_sent_) return;
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
      pass_ == 0 ? pages : std::min(pages, queue_.size() - next_ + guest_.memory().dirty_pages());
  TransferProgress progress;
  progress.pass = pass_;
  progress.sent_bytes = sent_pages_ * page_bytes;
  progress.remaining_bytes = confirmed_ ? 0 : left * page_bytes;
  progress.bytes_per_second = bytes_per_second();
  progress.dirty_pages_per_second = guest_.dirty_rate().pages_per_second;
  progress.converged = converged_;
  const auto done = static_cast<std::uint32_t>(99 * (pages - left) / pages);
  progress.percent = confirmed_ ? 100 : std::max(percent_, done);
  if (confirmed_) return progress;

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
