#include "cli/demo/guests.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace supercloud {
namespace {

using schema::Payload;

constexpr const char* image = "tiny";
constexpr const char* kernel_file = "guest";
// A hundred beats a second; it writes 4 MiB a second, of 32 MiB.
constexpr const char* arguments = "ticks=100 beat=1 pages=1000 set=8192";
// So slow that a move is seen to progress, and fast beside what the guest writes.
constexpr std::uint64_t stream_bytes_per_second = 48 << 20;
constexpr std::uint64_t beats_after_a_move = 20;
constexpr Duration heard_again_within = absl::Seconds(5);
// What a node was starting as it was killed is found, too.
constexpr int looks_for_taken = 3;

std::string guest_of(const std::string& vm) { return "main/" + vm; }

}  // namespace

DemoGuests::DemoGuests(FoundQemu qemu, std::filesystem::path sockets)
    : qemu_(std::move(qemu)), sockets_(std::move(sockets)) {
  leftovers_.emplace(std::vector{sockets_});
}

DemoGuests::~DemoGuests() { watch_.reset(); }

absl::StatusOr<std::unique_ptr<DemoGuests>> DemoGuests::open(const FoundQemu& qemu,
                                                             const std::filesystem::path& sockets) {
  std::unique_ptr<DemoGuests> guests(new DemoGuests(qemu, sockets));
  if (!guests->leftovers_->status().ok()) return guests->leftovers_->status();
  auto program = GuestWatch::write_program(sockets, qemu.program);
  if (!program.ok()) return program.status();
  guests->program_ = *std::move(program);
  if (::access(guests->program_.c_str(), X_OK) != 0)
    return absl::FailedPreconditionError(
        absl::StrCat(guests->program_, " cannot be executed (", std::strerror(errno),
                     "); name by XDG_RUNTIME_DIR a folder where programs may be, or say "
                     "--simulated"));
  if (const absl::Status kernel = write_tiny_guest(sockets / kernel_file); !kernel.ok())
    return kernel;
  return guests;
}

std::filesystem::path DemoGuests::folder_of(const std::string& node) {
  const int number =
      numbers_.try_emplace(node, static_cast<int>(numbers_.size()) + 1).first->second;
  return sockets_ / absl::StrCat("g", number);
}

void DemoGuests::write(HostConfig& host, const std::string& node) {
  QemuConfig& config = host.qemu.emplace();
  config.program = program_;
  config.accelerator = qemu_.accelerator == QemuAccelerator::kvm ? QemuConfig::Accelerator::kvm
                                                                 : QemuConfig::Accelerator::tcg;
  config.run = folder_of(node).string();
  config.images[image] = {(sockets_ / kernel_file).string(), "", ""};
  host.bytes_per_second = stream_bytes_per_second;
}

void DemoGuests::write(schema::VmSpec::Builder spec) {
  spec.setMemoryBytes(memory_bytes);
  spec.setDiskBytes(0);
  spec.setImage(image);
  spec.setArguments(arguments);
}

absl::Status DemoGuests::listen(EventLoop& loop) {
  auto watch = GuestWatch::open(loop, sockets_);
  if (!watch.ok()) return watch.status();
  watch_ = *std::move(watch);
  loop_ = &loop;
  return absl::OkStatus();
}

void DemoGuests::heard(const Event& event) {
  if (watch_ == nullptr) return;
  const std::string vm = event.subject();
  if (event.type() == Payload::MIGRATION_ACCEPTED) {
    Counted& counted = counted_[vm];
    if (counted.heard_again_at) return;  // it is not over for the one before
    counted.count = count(vm);
    watch_->forget(guest_of(vm));
  }
  if (event.type() == Payload::MIGRATION_COMPLETED) {
    Counted& counted = counted_[vm];
    counted.heard_again_at = watch_->seen(guest_of(vm)).beats + beats_after_a_move;
    counted.patience = loop_->clock().now() + heard_again_within;
  }
}

void DemoGuests::taken(const std::string& node) {
  Taken& taken =
      taken_.insert_or_assign(node, Taken{GuestKiller({folder_of(node)}), looks_for_taken})
          .first->second;
  taken.killer.kill();
}

std::vector<std::string> DemoGuests::look() {
  std::vector<std::string> lines;
  if (watch_ == nullptr) return lines;
  for (auto& [node, taken] : taken_)
    if (!taken.killer.kill()) --taken.looks;
  std::erase_if(taken_, [](const auto& node) { return node.second.looks <= 0; });
  for (auto& [vm, counted] : counted_) {
    if (!counted.heard_again_at) continue;
    const GuestSeen& seen = watch_->seen(guest_of(vm));
    if (!seen.broken.empty()) {
      lines.push_back(absl::StrCat("the guest ", vm, " is broken: ", seen.broken));
    } else if (seen.restarts > 0) {
      lines.push_back(absl::StrCat("the guest ", vm, " counts from zero again"));
    } else if (seen.beats >= *counted.heard_again_at) {
      ++counted.count.moves;
      counted.count.silence_max = std::max(counted.count.silence_max, seen.gap_max);
      lines.push_back(absl::StrFormat(
          "the guest %s counted on without a break: %d counts heard so far, a silence of %.0f ms "
          "at most",
          vm, counted.count.beats + seen.beats, absl::ToDoubleMilliseconds(seen.gap_max)));
    } else if (loop_->clock().now() > counted.patience) {
      lines.push_back(absl::StrCat("nothing is heard of the guest ", vm, " since it moved"));
    } else {
      continue;
    }
    counted.heard_again_at.reset();
  }
  return lines;
}

GuestCount DemoGuests::count(const std::string& vm) const {
  const auto found = counted_.find(vm);
  GuestCount all = found == counted_.end() ? GuestCount{} : found->second.count;
  if (watch_ == nullptr) return all;
  const GuestSeen& seen = watch_->seen(guest_of(vm));
  all.beats += seen.beats;
  all.restarts += seen.restarts;
  if (all.broken.empty()) all.broken = seen.broken;
  return all;
}

}  // namespace supercloud
