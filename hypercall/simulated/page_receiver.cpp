#include "hypercall/simulated/page_receiver.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr Duration greeting_max = absl::Seconds(5);

}  // namespace

PageReceiver::PageReceiver(Scheduler& scheduler, std::unique_ptr<Link> link, Owner owner)
    : scheduler_(scheduler), owner_(std::move(owner)), link_(std::move(link)) {
  greeting_ = scheduler_.at(scheduler_.clock().now() + greeting_max, [this] {
    greeting_ = 0;
    end(absl::DeadlineExceededError("a page stream did not begin"));
  });
  link_->set_handler({.on_frame = [this](std::string frame) { on_frame(frame); },
                      .on_closed = [this](absl::Status why) { end(std::move(why)); }});
}

PageReceiver::~PageReceiver() { scheduler_.cancel(greeting_); }

void PageReceiver::on_frame(const std::string& bytes) {
  if (ended_) return;
  absl::StatusOr<transfer::Frame> frame = transfer::decode(bytes);
  absl::Status status = frame.ok() ? take(*frame) : frame.status();
  if (status.ok()) return;
  link_->send(transfer::encode(transfer::Refuse{std::string(status.message())}));
  end(std::move(status));
}

absl::Status PageReceiver::take(const transfer::Frame& frame) {
  if (const auto* hello = std::get_if<transfer::Hello>(&frame)) return begin(*hello);
  if (std::holds_alternative<transfer::Probe>(frame) && guest_ == nullptr) {
    link_->send(transfer::encode(transfer::Probed{}));
    end(absl::OkStatus());
    return absl::OkStatus();
  }
  const auto* pages = std::get_if<transfer::Pages>(&frame);
  if (guest_ == nullptr || (arrived_ && (guest_->memory().whole() || pages == nullptr))) {
    return absl::InvalidArgumentError("a page stream frame came before its hello or after its end");
  }
  if (pages != nullptr) return fill(*pages);
  if (const auto* rest = std::get_if<transfer::Rest>(&frame)) return miss(*rest);
  if (std::holds_alternative<transfer::PassEnd>(frame)) return absl::OkStatus();
  if (const auto* last = std::get_if<transfer::Final>(&frame)) return complete(*last);
  return absl::InvalidArgumentError("a page stream frame of the target came from the source");
}

absl::Status PageReceiver::begin(const transfer::Hello& hello) {
  if (guest_ != nullptr) return absl::InvalidArgumentError("a page stream began twice");
  absl::StatusOr<SimulatedGuest*> guest = owner_.admit(hello);
  if (!guest.ok()) return guest.status();
  scheduler_.cancel(greeting_);
  greeting_ = 0;
  guest_ = *guest;
  vm_ = hello.vm;
  arrived_ = hello.again;
  if (!hello.again) {
    link_->send(transfer::encode(transfer::Accept{}));
  } else if (guest_->memory().whole()) {
    link_->send(transfer::encode(transfer::Whole{}));
    end(absl::OkStatus());
  } else {
    link_->send(transfer::encode(transfer::Rest{guest_->memory().missing_pages()}));
  }
  return absl::OkStatus();
}

absl::Status PageReceiver::fill(const transfer::Pages& pages) {
  for (const transfer::PageContent& page : pages.pages) {
    if (page.index >= guest_->memory().pages()) {
      return absl::OutOfRangeError(
          absl::StrCat("page ", page.index, " lies beyond the memory of ", vm_));
    }
    guest_->memory().load(page.index, page.content);
  }
  if (arrived_ && guest_->memory().whole()) {
    owner_.whole(vm_);
    link_->send(transfer::encode(transfer::Whole{}));
    end(absl::OkStatus());
  }
  return absl::OkStatus();
}

absl::Status PageReceiver::miss(const transfer::Rest& rest) {
  for (const std::uint32_t page : rest.pages) {
    if (page >= guest_->memory().pages())
      return absl::OutOfRangeError(absl::StrCat("page ", page, " lies beyond the memory of ", vm_));
  }
  guest_->memory().miss(rest.pages);
  return absl::OkStatus();
}

void PageReceiver::want(std::uint32_t page) {
  if (ended_ || wanted_ == page) return;
  wanted_ = page;
  link_->send(transfer::encode(transfer::Want{page}));
}

absl::Status PageReceiver::complete(const transfer::Final& last) {
  if (absl::Status status = guest_->load_device_state(last.state); !status.ok()) return status;
  arrived_ = true;
  owner_.arrived(vm_);
  link_->send(transfer::encode(transfer::Confirm{}));
  return absl::OkStatus();
}

void PageReceiver::end(absl::Status why) {
  if (ended_) return;
  ended_ = true;
  // After the turn in which the link called: destroying the receiver destroys the link, whose last
  // frame shall still leave.
  scheduler_.post([this, alive = std::weak_ptr<bool>(alive_), why] {
    if (alive.expired()) return;
    const auto ended = std::move(owner_.ended);  // the call destroys this object
    const std::string vm = vm_;
    ended(vm, why);
  });
}

}  // namespace supercloud
