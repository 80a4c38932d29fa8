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
  if (guest_ == nullptr || arrived_) {
    return absl::InvalidArgumentError("a page stream frame came before its hello or after its end");
  }
  if (const auto* pages = std::get_if<transfer::Pages>(&frame)) return fill(*pages);
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
  link_->send(transfer::encode(transfer::Accept{}));
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
  return absl::OkStatus();
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
