#include "hypercall/simulated/guest.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/event.h"
#include "core/random.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

constexpr std::uint64_t block_bytes = 4096;
constexpr std::uint64_t blocks_max = 4096;  // of the disk that the workload touches
constexpr std::uint64_t check_every = 64;   // ticks between two self-checks
constexpr std::size_t dirtied_per_tick_max = 64;
constexpr Duration missing_look = absl::Milliseconds(5);

std::size_t model_pages(schema::VmSpec::Reader spec, const GuestOptions& options) {
  const std::uint64_t real = std::max<std::uint64_t>(spec.getMemoryBytes() / guest_page_bytes, 4);
  return static_cast<std::size_t>(
      std::min<std::uint64_t>(real, std::max<std::size_t>(options.pages_max, 4)));
}

std::uint64_t seed_of(const std::string& vm, Epoch epoch) {
  std::uint64_t seed = epoch;
  for (const char c : vm) seed = Random(seed ^ static_cast<unsigned char>(c)).next();
  return seed;
}

}  // namespace

std::string vm_name(schema::VmSpec::Reader spec) { return VmName::of(spec).to_string(); }

SimulatedGuest::SimulatedGuest(Scheduler& scheduler, GuestDevices& devices, GuestObserver* observer,
                               const GuestOptions& options, Message<schema::VmSpec> spec)
    : scheduler_(scheduler),
      devices_(devices),
      observer_(observer),
      options_(options),
      spec_(std::move(spec)),
      vm_(vm_name(spec_.reader())),
      memory_(model_pages(spec_.reader(), options)),
      dirty_meter_(memory_.pages()) {
  const std::uint64_t memory_bytes = spec_.reader().getMemoryBytes();
  page_bytes_ = std::max(memory_bytes / memory_.pages(), guest_page_bytes);
  if (!text(spec_.reader().getReads()).empty())
    read_ticks_ = std::max<std::uint64_t>(options_.read_every / options_.tick, 1);
  blocks_ = std::min<std::uint64_t>(spec_.reader().getDiskBytes() / block_bytes, blocks_max);
}

SimulatedGuest::~SimulatedGuest() { scheduler_.cancel(timer_); }

void SimulatedGuest::run(Epoch epoch) {
  if (executes_) return;
  epoch_ = epoch;
  executes_ = true;
  backends_frozen_ = false;
  if (observer_ != nullptr) observer_->on_first_instruction(vm_, epoch_);
  if (boot_epoch_ == 0) boot(epoch);
  check_memory();
  // A request that was open across a freeze may or may not be done; the same write again changes
  // nothing.
  resubmit_all();
  if (executes_) tick();
}

void SimulatedGuest::boot(Epoch epoch) {
  boot_epoch_ = epoch;
  workload_ = seed_of(vm_, epoch);
  for (std::size_t page = 0; page < memory_.pages(); ++page) {
    memory_.write(page, seed_of(vm_, epoch) ^ page);
  }
}

void SimulatedGuest::stop() {
  executes_ = false;
  scheduler_.cancel(timer_);
  timer_ = 0;
}

void SimulatedGuest::freeze() {
  stop();
  backends_frozen_ = true;
}

void SimulatedGuest::thaw_backends(Epoch epoch) {
  if (!backends_frozen_) return;
  epoch_ = epoch;
  backends_frozen_ = false;
  resubmit_all();
}

void SimulatedGuest::check_memory() {
  if (!memory_.whole()) return;
  if (memory_.compute_checksum() != memory_.checksum()) memory_intact_ = false;
}

void SimulatedGuest::tick() {
  timer_ = 0;
  if (const auto page = waits_for()) {
    if (on_missing_) on_missing_(*page);
    timer_ = scheduler_.at(scheduler_.clock().now() + missing_look, [this] { tick(); });
    return;
  }
  ++ticks_;
  last_executed_ = scheduler_.clock().now();
  if (observer_ != nullptr) observer_->on_execute(vm_, epoch_);
  if (ticks_ % check_every == 0) check_memory();

  dirty_some();
  devices_.transmit(vm_, epoch_);
  if (read_ticks_ != 0 && ticks_ % read_ticks_ == 0)
    devices_.read_resource(vm_, epoch_, std::string(text(spec_.reader().getReads())),
                           options_.read_bytes);

  const auto tick_ns = static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(options_.tick));
  write_credit_ += spec_.reader().getWritesPerSecond() * tick_ns / 100 * (100 - throttle_percent_);
  // As a file system does, it never has two writes of one block under way, so that sending one
  // again harms nothing.
  while (blocks_ > 0 && write_credit_ >= second_ns && requests_.size() < options_.requests_max &&
         !writes_to((writes_issued_ + 1) % blocks_)) {
    write_credit_ -= second_ns;
    ++writes_issued_;
    Request write;
    write.block = writes_issued_ % blocks_;
    write.value = boot_epoch_ << write_number_bits | writes_issued_;
    issue(write);
    if (options_.flush_every != 0 && writes_issued_ % options_.flush_every == 0) {
      Request flush;
      flush.flush = true;
      flush.covers = writes_acked_;
      issue(flush);
    }
  }
  // A full queue does not save up writes without end.
  write_credit_ = std::min(write_credit_, second_ns * options_.requests_max);

  if (executes_) timer_ = scheduler_.at(last_executed_ + options_.tick, [this] { tick(); });
}

// The first page that its next tick writes to and that is not here. As dirty_some() goes on.
std::optional<std::uint32_t> SimulatedGuest::waits_for() const {
  if (memory_.whole()) return std::nullopt;
  const auto tick_us = static_cast<std::uint64_t>(absl::ToInt64Microseconds(options_.tick));
  const std::uint64_t page_cost = page_bytes_ * 1'000'000;
  std::uint64_t credit = dirty_credit_ + spec_.reader().getDirtyPagesPerSecond() *
                                             guest_page_bytes * tick_us / 100 *
                                             (100 - throttle_percent_);
  std::uint64_t workload = workload_;
  for (std::size_t dirtied = 0; credit >= page_cost && dirtied < dirtied_per_tick_max; ++dirtied) {
    credit -= page_cost;
    Random choice(workload);
    const std::size_t page = 1 + choice.next() % (memory_.pages() - 2);
    workload = choice.next();
    if (memory_.missing(page)) return static_cast<std::uint32_t>(page);
  }
  return std::nullopt;
}

void SimulatedGuest::dirty_some() {
  memory_.write(0, ticks_);  // the guest's clock: no two moments have the same memory
  const auto tick_us = static_cast<std::uint64_t>(absl::ToInt64Microseconds(options_.tick));
  const std::uint64_t page_cost = page_bytes_ * 1'000'000;
  dirty_credit_ += spec_.reader().getDirtyPagesPerSecond() * guest_page_bytes * tick_us / 100 *
                   (100 - throttle_percent_);
  std::size_t dirtied = 0;
  while (dirty_credit_ >= page_cost && dirtied < dirtied_per_tick_max) {
    dirty_credit_ -= page_cost;
    ++dirtied;
    Random choice(workload_);
    const std::uint64_t where = choice.next();
    const std::uint64_t what = choice.next();
    workload_ = what;
    // Page 0 is the clock, the last one the disk driver's: they are the model's own, and not metered.
    const std::size_t page = 1 + where % (memory_.pages() - 2);
    memory_.write(page, what);
    dirty_meter_.wrote(page);
  }
  dirty_meter_.executed(options_.tick);
  if (dirtied == dirtied_per_tick_max) dirty_credit_ = 0;
}

void SimulatedGuest::issue(Request request) {
  const std::uint64_t id = next_request_++;
  requests_[id] = request;
  submit(id);
}

void SimulatedGuest::submit(std::uint64_t id) {
  Request& request = requests_[id];
  request.attempt = next_attempt_++;
  const Request sent = request;  // the answer may come from inside the call
  if (sent.flush) {
    devices_.flush(vm_, epoch_, answer(id, sent.attempt));
  } else {
    devices_.write(vm_, epoch_, sent.block, sent.value, answer(id, sent.attempt));
  }
}

void SimulatedGuest::resubmit_all() {
  std::vector<std::uint64_t> open;
  for (const auto& [id, request] : requests_) open.push_back(id);
  for (const std::uint64_t id : open) {
    if (requests_.contains(id)) submit(id);
  }
}

// What waits for one answer. A reply that is dropped is a connection that was lost: the request is
// sent again.
class SimulatedGuest::Answer {
 public:
  Answer(SimulatedGuest& guest, std::uint64_t id, std::uint64_t attempt)
      : guest_(guest), alive_(guest.alive_), id_(id), attempt_(attempt) {}
  ~Answer() {
    if (!given_ && !alive_.expired()) guest_.retry(id_, attempt_);
  }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  void give(absl::StatusOr<std::uint64_t> version) {
    given_ = true;
    if (!alive_.expired()) guest_.complete(id_, attempt_, std::move(version));
  }

 private:
  SimulatedGuest& guest_;
  std::weak_ptr<bool> alive_;
  std::uint64_t id_;
  std::uint64_t attempt_;
  bool given_ = false;
};

Reply<std::uint64_t> SimulatedGuest::answer(std::uint64_t id, std::uint64_t attempt) {
  return {far_future,
          [answer = std::make_unique<Answer>(*this, id, attempt)](
              absl::StatusOr<std::uint64_t> version) { answer->give(std::move(version)); }};
}

void SimulatedGuest::retry(std::uint64_t id, std::uint64_t attempt) {
  scheduler_.at(scheduler_.clock().now() + options_.retry,
                [this, alive = std::weak_ptr<bool>(alive_), id, attempt] {
                  if (alive.expired() || backends_frozen_) return;
                  const auto open = requests_.find(id);
                  if (open != requests_.end() && open->second.attempt == attempt) submit(id);
                });
}

bool SimulatedGuest::writes_to(std::uint64_t block) const {
  for (const auto& [id, request] : requests_) {
    if (!request.flush && request.block == block) return true;
  }
  return false;
}

void SimulatedGuest::complete(std::uint64_t id, std::uint64_t attempt,
                              absl::StatusOr<std::uint64_t> version) {
  const auto found = requests_.find(id);
  if (found == requests_.end() || found->second.attempt != attempt || backends_frozen_) return;
  if (!version.ok()) return retry(id, attempt);
  if (found->second.flush) {
    writes_flushed_ = std::max(writes_flushed_, found->second.covers);
    version_flushed_ = std::max(version_flushed_, *version);
  } else {
    ++writes_acked_;
    version_acked_ = std::max(version_acked_, *version);
  }
  requests_.erase(found);
  // The backend writes its answer into guest memory, whether or not the vCPUs run: why a pause has
  // to drain.
  memory_.write(memory_.pages() - 1, writes_acked_ << 20 ^ writes_flushed_);
  if (requests_.empty() && on_drained_) on_drained_();
}

// state = boot epoch, workload, ticks, dirty and write credit, issued, acked, flushed, both
// versions, checksum: eleven u64, little-endian.
std::string SimulatedGuest::device_state() const {
  const std::array<std::uint64_t, 11> fields = {boot_epoch_,      workload_,         ticks_,
                                                dirty_credit_,    write_credit_,     writes_issued_,
                                                writes_acked_,    writes_flushed_,   version_acked_,
                                                version_flushed_, memory_.checksum()};
  std::string bytes;
  for (const std::uint64_t field : fields) {
    for (unsigned shift = 0; shift < 64; shift += 8) {
      bytes.push_back(static_cast<char>(field >> shift & 0xffU));
    }
  }
  return bytes;
}

absl::Status SimulatedGuest::load_device_state(std::string_view bytes) {
  std::array<std::uint64_t, 11> fields{};
  if (bytes.size() != fields.size() * 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("the device state of ", vm_, " has ", bytes.size(), " bytes instead of ",
                     fields.size() * 8, "; run the same release on both nodes"));
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    fields[i / 8] |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i]))
                     << (8 * (i % 8));
  }
  boot_epoch_ = fields[0];
  workload_ = fields[1];
  ticks_ = fields[2];
  dirty_credit_ = fields[3];
  write_credit_ = fields[4];
  writes_issued_ = fields[5];
  writes_acked_ = fields[6];
  writes_flushed_ = fields[7];
  version_acked_ = fields[8];
  version_flushed_ = fields[9];
  memory_.set_checksum(fields[10]);
  return absl::OkStatus();
}

DirtyRate SimulatedGuest::dirty_rate() const {
  return executes_ ? dirty_meter_.rate(page_bytes_) : DirtyRate{};
}

GuestProbe SimulatedGuest::probe() const {
  GuestProbe probe;
  probe.vm = vm_;
  probe.epoch = epoch_;
  probe.executes = executes_;
  probe.memory_intact = memory_intact_;
  probe.ticks = ticks_;
  probe.boot_epoch = boot_epoch_;
  probe.writes_issued = writes_issued_;
  probe.writes_acked = writes_acked_;
  probe.writes_flushed = writes_flushed_;
  probe.version_acked = version_acked_;
  probe.version_flushed = version_flushed_;
  probe.requests_in_flight = requests_.size();
  probe.last_executed = last_executed_;
  return probe;
}

}  // namespace supercloud
