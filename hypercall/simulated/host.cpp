#include "hypercall/simulated/host.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

using State = GuestStatus::State;

constexpr std::size_t streams_max = 64;
constexpr Duration way_try_max = absl::Seconds(2);

absl::Status no_copy(const std::string& vm) {
  return absl::NotFoundError(absl::StrCat("this host has no copy of ", vm));
}

}  // namespace

SimulatedHost::SimulatedHost(Scheduler& scheduler, LinkNetwork& network, Random random,
                             GuestDevices& devices, SimulatedHostOptions options,
                             HostFaults* faults, GuestObserver* observer)
    : scheduler_(scheduler),
      network_(network),
      random_(random),
      devices_(devices),
      options_(std::move(options)),
      faults_(faults),
      observer_(observer),
      keeper_(scheduler, [this](const std::string& vm) { freeze(vm); }) {
  if (options_.line != nullptr) options_.line->add(this);
}

SimulatedHost::~SimulatedHost() {
  if (options_.line != nullptr) options_.line->remove(this);
  for (auto& [vm, copy] : copies_) scheduler_.cancel(copy.stopping);
}

absl::Status SimulatedHost::start() {
  return network_.listen("pages",
                         [this, alive = std::weak_ptr<bool>(alive_)](std::unique_ptr<Link> link) {
                           if (!alive.expired()) connected(std::move(link));
                         });
}

void SimulatedHost::at(Instant when, Task task) {
  scheduler_.at(when, [alive = std::weak_ptr<bool>(alive_), task = std::move(task)]() mutable {
    if (!alive.expired()) std::move(task)();
  });
}

// ---- copies -------------------------------------------------------------------------------------

absl::Status SimulatedHost::make_copy(Message<schema::VmSpec> spec, State state, Epoch epoch,
                                      EventId migration) {
  const std::string vm = vm_name(spec.reader());
  const std::uint64_t needed = spec.reader().getMemoryBytes();
  if (needed > memory_free_bytes()) {
    return absl::ResourceExhaustedError(
        absl::StrCat(vm, " needs ", needed, " bytes of memory, ", memory_free_bytes(),
                     " are free on this host; move or stop another VM"));
  }
  Copy copy;
  copy.guest = std::make_unique<SimulatedGuest>(scheduler_, devices_, observer_, options_.guest,
                                                std::move(spec));
  copy.guest->on_drained([this, vm] { drained(vm); });
  copy.guest->on_missing([this, vm](std::uint32_t page) {
    const auto stream = streams_.find(copies_.at(vm).stream);
    if (stream != streams_.end()) stream->second->want(page);
  });
  copy.state = state;
  copy.epoch = epoch;
  copy.migration = std::move(migration);
  copies_.emplace(vm, std::move(copy));
  return absl::OkStatus();
}

void SimulatedHost::create(Message<schema::VmSpec> spec, Epoch epoch, Reply<Done> reply) {
  const std::string vm = vm_name(spec.reader());
  if (copies_.contains(vm)) {
    return reply(absl::AlreadyExistsError(
        absl::StrCat("this host has a copy of ", vm, "; destroy it before creating another")));
  }
  standbys_.erase(vm);
  make_room(spec.reader().getMemoryBytes());
  const absl::Status made = make_copy(std::move(spec), State::stopped, epoch, {});
  if (!made.ok()) return reply(made);
  reply(Done{});
}

void SimulatedHost::prepare_incoming(Message<schema::VmSpec> spec, EventId migration, Epoch epoch,
                                     Reply<Done> reply) {
  const std::string vm = vm_name(spec.reader());
  const auto found = copies_.find(vm);
  if (found != copies_.end()) {
    const Copy& copy = found->second;
    const bool same = (copy.state == State::incoming || copy.state == State::arrived) &&
                      copy.migration == migration && copy.epoch == epoch;
    if (same) return reply(Done{});
    return reply(absl::AlreadyExistsError(absl::StrCat("this host has another copy of ", vm,
                                                       "; destroy it before migration ",
                                                       migration.to_string(), " brings one")));
  }
  standbys_.erase(vm);
  const absl::Status made =
      make_copy(std::move(spec), State::incoming, epoch, std::move(migration));
  if (!made.ok()) return reply(made);
  reply(Done{});
}

void SimulatedHost::resume(const std::string& vm, Epoch epoch, std::uint64_t freezes,
                           Reply<Done> reply) {
  const auto found = copies_.find(vm);
  if (found == copies_.end()) return reply(no_copy(vm));
  Copy& copy = found->second;
  if (copy.state == State::incoming) {
    return reply(absl::FailedPreconditionError(
        absl::StrCat("the memory of ", vm, " is not complete here; wait until it has arrived")));
  }
  using Memory = GuestStatus::Memory;
  const Memory memory = memory_of(copy);
  if (memory == Memory::needed || memory == Memory::broken || memory == Memory::lost) {
    return reply(absl::FailedPreconditionError(
        absl::StrCat("the copy of ", vm,
                     " here cannot go on: its memory is at its target, or lost; destroy it "
                     "when it is not needed any more")));
  }
  if (epoch < copy.epoch) {
    return reply(absl::FailedPreconditionError(absl::StrCat(
        vm, " was resumed here at epoch ", copy.epoch, " already, which is above ", epoch)));
  }
  if (copy.state == State::running) {
    if (epoch == copy.epoch) return reply(Done{});
    return reply(absl::FailedPreconditionError(absl::StrCat(
        vm, " runs here at epoch ", copy.epoch, "; pause it before it runs at epoch ", epoch)));
  }
  if (freezes != freezes_[vm]) {
    return reply(absl::FailedPreconditionError(
        absl::StrCat("the keeper of ", vm, " froze it after this resume was called")));
  }
  if (options_.keeper && !keeper_.allows(vm)) {
    return reply(absl::FailedPreconditionError(absl::StrCat(
        "the keeper of ", vm, " allows no execution now; renew the session and arm it first")));
  }
  if (copy.state == State::frozen) {
    scheduler_.cancel(std::exchange(copy.stopping, 0));
    copy.guest->freeze();  // it may have been executing on until now
  }
  const absl::Status overtaken = absl::AbortedError(absl::StrCat(vm, " was resumed"));
  drop_sender(copy, overtaken);
  std::vector<Reply<Done>> pausers;
  pausers.swap(copy.pausers);
  if (copy.state == State::arrived) copy.brought = copy.migration;
  copy.migration = {};
  copy.epoch = epoch;
  copy.state = State::running;
  copy.guest->run(epoch);
  for (Reply<Done>& pauser : pausers) pauser(overtaken);
  reply(Done{});
}

void SimulatedHost::pause(const std::string& vm, Reply<Done> reply) {
  const auto found = copies_.find(vm);
  if (found == copies_.end()) return reply(no_copy(vm));
  Copy& copy = found->second;
  if (copy.state == State::incoming || copy.state == State::arrived) {
    return reply(absl::FailedPreconditionError(
        absl::StrCat("the copy of ", vm, " here is incoming and has never run")));
  }
  if (copy.state == State::frozen) {
    scheduler_.cancel(std::exchange(copy.stopping, 0));
    copy.guest->freeze();
  } else {
    copy.guest->stop();
  }
  copy.state = State::stopped;
  // What a freeze has cut off from its volume must be answered too.
  copy.guest->thaw_backends(copy.epoch);
  if (copy.guest->drained()) return reply(Done{});
  // A volume that does not answer ends the wait, not the pause: the vCPUs stay stopped.
  if (reply.deadline() != far_future) {
    at(reply.deadline(), [this, vm] { pause_expired(vm); });
  }
  copy.pausers.push_back(std::move(reply));
}

void SimulatedHost::drained(const std::string& vm) {
  Copy& copy = copies_.at(vm);
  if (copy.state != State::stopped) return;
  std::vector<Reply<Done>> pausers;
  pausers.swap(copy.pausers);
  for (Reply<Done>& pauser : pausers) pauser(Done{});
}

void SimulatedHost::pause_expired(const std::string& vm) {
  const auto found = copies_.find(vm);
  if (found == copies_.end()) return;
  std::vector<Reply<Done>> expired;
  std::vector<Reply<Done>> waiting;
  for (Reply<Done>& pauser : found->second.pausers) {
    const bool due = pauser.deadline() <= scheduler_.clock().now();
    (due ? expired : waiting).push_back(std::move(pauser));
  }
  found->second.pausers = std::move(waiting);
  const std::size_t open = found->second.guest->probe().requests_in_flight;
  for (Reply<Done>& pauser : expired) {
    pauser(absl::DeadlineExceededError(
        absl::StrCat(vm, " is paused but not drained: its volume holds ", open,
                     " requests; resume it at a new epoch, or destroy the copy")));
  }
}

void SimulatedHost::destroy(const std::string& vm, Reply<Done> reply) {
  standbys_.erase(vm);
  using Memory = GuestStatus::Memory;
  const auto found = copies_.find(vm);
  const Memory memory = found == copies_.end() ? Memory::whole : memory_of(found->second);
  if (observer_ != nullptr && (memory == Memory::needed || memory == Memory::broken))
    observer_->on_needed_destroyed(vm);
  remove(vm, absl::AbortedError(absl::StrCat(vm, " was destroyed")));
  reply(Done{});
}

void SimulatedHost::kill_guest(const std::string& vm) {
  if (!copies_.contains(vm)) return;
  remove(vm, absl::AbortedError(absl::StrCat(vm, " died")));
  look(vm);
}

void SimulatedHost::remove(const std::string& vm, const absl::Status& why) {
  keeper_.forget(vm);
  const auto found = copies_.find(vm);
  if (found == copies_.end()) return;
  Copy copy = std::move(found->second);
  copies_.erase(found);
  scheduler_.cancel(copy.stopping);
  streams_.erase(copy.stream);
  drop_sender(copy, why);
  for (Reply<Done>& pauser : copy.pausers) pauser(why);
}

// ---- keeper -------------------------------------------------------------------------------------

void SimulatedHost::arm(const std::string& vm, Instant deadline) {
  if (options_.keeper) keeper_.arm(vm, deadline);
}

void SimulatedHost::freeze(const std::string& vm) {
  ++freezes_[vm];
  const auto found = copies_.find(vm);
  if (found == copies_.end() || found->second.state != State::running) return;
  found->second.state = State::frozen;
  const auto stop_time = random_.between(0, absl::ToInt64Nanoseconds(options_.stop_time_max));
  found->second.stopping =
      scheduler_.at(scheduler_.clock().now() + absl::Nanoseconds(stop_time), [this, vm] {
        Copy& copy = copies_.at(vm);
        copy.stopping = 0;
        copy.guest->freeze();
      });
  look(vm);
}

// ---- page streams -------------------------------------------------------------------------------

void SimulatedHost::send(const std::string& vm, TransferOptions options,
                         PageSender::Progress progress, Reply<TransferProgress> converged) {
  const auto found = copies_.find(vm);
  if (found == copies_.end()) return converged(no_copy(vm));
  Copy& copy = found->second;
  if (copy.state == State::incoming || copy.state == State::arrived) {
    return converged(absl::FailedPreconditionError(
        absl::StrCat("the copy of ", vm, " here is incoming itself")));
  }
  if (copy.sender != nullptr && !copy.sender->failed()) {
    if (copy.sender->migration() == options.migration) {
      return copy.sender->report_to(std::move(progress), std::move(converged));
    }
    return converged(absl::FailedPreconditionError(
        absl::StrCat(vm, " is being sent by migration ", copy.sender->migration().to_string(),
                     "; stop that transfer first")));
  }
  copy.sender = std::make_unique<PageSender>(
      scheduler_, network_, *copy.guest, std::move(options), [this] { return link_share(); },
      copy.epoch,
      [this, vm](const absl::Status& why) {
        drop_sender(copies_.at(vm), why);
        look(vm);
      });
  copy.sender->on_change([this, vm] {
    if (observer_ != nullptr && memory_of(copies_.at(vm)) == GuestStatus::Memory::lost)
      observer_->on_memory_given_up(vm);
    look(vm);
  });
  copy.sender->report_to(std::move(progress), std::move(converged));
}

void SimulatedHost::finish_send(const std::string& vm, Reply<TransferProgress> reply) {
  const auto found = copies_.find(vm);
  if (found == copies_.end()) return reply(no_copy(vm));
  Copy& copy = found->second;
  if (copy.sender == nullptr || copy.sender->failed()) {
    return reply(absl::FailedPreconditionError(
        absl::StrCat("no transfer of ", vm, " is under way; it ended, or was never begun")));
  }
  if (copy.state != State::stopped || !copy.guest->drained()) {
    return reply(absl::FailedPreconditionError(
        absl::StrCat(vm, " is not paused and drained; pause it before the rest is sent")));
  }
  copy.sender->finish(std::move(reply));
}

void SimulatedHost::stop_send(const std::string& vm, Reply<Done> reply) {
  const auto found = copies_.find(vm);
  if (found != copies_.end()) {
    const auto why = absl::CancelledError(absl::StrCat("the transfer of ", vm, " was stopped"));
    PageSender* sender = found->second.sender.get();
    if (sender != nullptr && sender->following())
      sender->lose(why);
    else
      drop_sender(found->second, why);
  }
  reply(Done{});
}

std::uint64_t SimulatedHost::page_streams() const {
  return static_cast<std::uint64_t>(std::ranges::count_if(copies_, [](const auto& copy) {
    return copy.second.sender != nullptr && copy.second.sender->busy();
  }));
}

std::uint64_t SimulatedHost::link_share() const {
  const std::uint64_t own = options_.bytes_per_second / std::max<std::uint64_t>(page_streams(), 1);
  return options_.line == nullptr ? own : std::min(own, options_.line->share());
}

std::uint64_t SharedLine::share() const {
  std::uint64_t streams = 0;
  for (const SimulatedHost* host : hosts_) streams += host->page_streams();
  return bytes_per_second_ / std::max<std::uint64_t>(streams, 1);
}

void SimulatedHost::slow_down(const std::string& vm) {
  const auto found = copies_.find(vm);
  if (found != copies_.end() && found->second.sender != nullptr) found->second.sender->slow_down();
}

void SimulatedHost::start_post_copy(const std::string& vm) {
  const auto found = copies_.find(vm);
  if (found != copies_.end() && found->second.sender != nullptr)
    found->second.sender->start_post_copy();
}

void SimulatedHost::drop_sender(Copy& copy, const absl::Status& why) {
  const std::unique_ptr<PageSender> sender = std::move(copy.sender);
  if (sender != nullptr) sender->cancel(why);
}

// Its line is all that the way there has: what that would carry besides what it does.
void SimulatedHost::try_way(const std::string& endpoint, bool measure, Reply<Way> reply) {
  const std::uint64_t number = next_way_++;
  WayTry& tried = ways_[number];
  tried = {.link = network_.connect(endpoint, "pages"),
           .begun = scheduler_.clock().now(),
           .reply = std::move(reply)};
  const auto told = [this, number](absl::StatusOr<Way> way) { way_tried(number, std::move(way)); };
  tried.link->set_handler(
      {.on_frame =
           [this, number, measure, told](const std::string& bytes) {
             const auto frame = transfer::decode(bytes);
             const auto found = ways_.find(number);
             if (found == ways_.end()) return;
             if (!frame.ok() || !std::holds_alternative<transfer::Probed>(*frame))
               return told(absl::UnimplementedError("that host does not tell about the way there"));
             told(Way{.round_trip = scheduler_.clock().now() - found->second.begun,
                      .bytes_per_second = measure ? link_share() : 0});
           },
       .on_closed =
           [endpoint, told](const absl::Status& why) {
             told(absl::UnavailableError(absl::StrCat("cannot reach ", endpoint,
                                                      " from here: ", std::string(why.message()))));
           }});
  tried.link->send(transfer::encode(transfer::Probe{}));
  at(scheduler_.clock().now() + way_try_max, [endpoint, told] {
    told(absl::DeadlineExceededError(
        absl::StrCat("no answer from ", endpoint, " within ", absl::FormatDuration(way_try_max))));
  });
}

void SimulatedHost::way_tried(std::uint64_t number, absl::StatusOr<Way> way) {
  const auto found = ways_.find(number);
  if (found == ways_.end() || !found->second.reply) return;
  Reply<Way> reply = std::exchange(found->second.reply, {});
  // Not inside the link's own call.
  scheduler_.post([this, alive = std::weak_ptr<bool>(alive_), number] {
    if (!alive.expired()) ways_.erase(number);
  });
  reply(std::move(way));
}

std::uint64_t SimulatedHost::memory_bytes(const std::string& vm) const {
  const auto found = copies_.find(vm);
  if (found == copies_.end()) return 0;
  SimulatedGuest& guest = *found->second.guest;
  return guest.memory().pages() * guest.page_bytes();
}

void SimulatedHost::connected(std::unique_ptr<Link> link) {
  if (streams_.size() >= streams_max) return;
  const std::uint64_t stream = next_stream_++;
  PageReceiver::Owner owner;
  owner.admit = [this, stream](const transfer::Hello& hello) { return admit(stream, hello); };
  owner.arrived = [this](const std::string& vm) {
    Copy& copy = copies_.at(vm);
    copy.state = State::arrived;
    if (!copy.guest->memory().whole()) copy.memory = GuestStatus::Memory::following;
    look(vm);
  };
  owner.whole = [this](const std::string& vm) {
    copies_.at(vm).memory = GuestStatus::Memory::whole;
    look(vm);
  };
  owner.ended = [this, stream](const std::string& vm, const absl::Status&) {
    stream_ended(stream, vm);
  };
  streams_[stream] = std::make_unique<PageReceiver>(scheduler_, std::move(link), std::move(owner));
}

absl::StatusOr<SimulatedGuest*> SimulatedHost::admit(std::uint64_t stream,
                                                     const transfer::Hello& hello) {
  if (hello.again) return admit_again(stream, hello);
  const auto found = copies_.find(hello.vm);
  if (found == copies_.end() || found->second.state != State::incoming ||
      found->second.migration != hello.migration || found->second.epoch != hello.epoch) {
    return absl::FailedPreconditionError(
        absl::StrCat("no copy of ", hello.vm, " is prepared here for migration ",
                     hello.migration.to_string(), " at epoch ", hello.epoch));
  }
  Copy& copy = found->second;
  if (copy.stream != 0) {
    return absl::AlreadyExistsError(absl::StrCat("another stream fills the copy of ", hello.vm));
  }
  if (hello.page_count != copy.guest->memory().pages() ||
      hello.page_bytes != copy.guest->page_bytes()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the source models the memory of ", hello.vm, " as ", hello.page_count, " pages of ",
        hello.page_bytes, " bytes, this host as ", copy.guest->memory().pages(), " of ",
        copy.guest->page_bytes(), "; give both the same options"));
  }
  copy.stream = stream;
  return copy.guest.get();
}

absl::StatusOr<SimulatedGuest*> SimulatedHost::admit_again(std::uint64_t stream,
                                                           const transfer::Hello& hello) {
  const auto found = copies_.find(hello.vm);
  const bool here =
      found != copies_.end() && found->second.state != State::incoming &&
      (found->second.state == State::arrived ? found->second.migration : found->second.brought) ==
          hello.migration &&
      found->second.memory != GuestStatus::Memory::lost;
  if (!here)
    return absl::FailedPreconditionError(absl::StrCat("no copy of ", hello.vm,
                                                      " waits here for memory of migration ",
                                                      hello.migration.to_string()));
  Copy& copy = found->second;
  streams_.erase(std::exchange(copy.stream, stream));
  if (!copy.guest->memory().whole()) copy.memory = GuestStatus::Memory::following;
  look(hello.vm);
  return copy.guest.get();
}

void SimulatedHost::wait_for_rest(const std::string& vm) {
  Copy& copy = copies_.at(vm);
  copy.memory = GuestStatus::Memory::waiting;
  copy.memory_why = "the stream of its memory was lost";
  give_up_rest(vm, ++copy.waiting);
  look(vm);
}

void SimulatedHost::give_up_rest(const std::string& vm, std::uint64_t waiting) {
  at(scheduler_.clock().now() + transfer::post_copy_patience, [this, vm, waiting] {
    const auto found = copies_.find(vm);
    if (found == copies_.end() || found->second.waiting != waiting ||
        found->second.memory != GuestStatus::Memory::waiting)
      return;
    if (found->second.state == State::frozen)
      return give_up_rest(vm, waiting);  // it does not wait now
    found->second.memory = GuestStatus::Memory::lost;
    found->second.memory_why = "no other stream of its memory came in time";
    if (observer_ != nullptr) observer_->on_memory_given_up(vm);
    look(vm);
  });
}

void SimulatedHost::stream_ended(std::uint64_t stream, const std::string& vm) {
  streams_.erase(stream);
  const auto found = copies_.find(vm);
  if (found == copies_.end() || found->second.stream != stream) return;
  found->second.stream = 0;
  if (found->second.memory == GuestStatus::Memory::following) return wait_for_rest(vm);
  if (found->second.state != State::incoming) return;
  // Half a memory is of no use, and a new attempt comes with a new migration.
  remove(vm, absl::UnavailableError("its page stream was lost"));
  look(vm);
}

void SimulatedHost::cut_streams() {
  std::vector<std::string> sending;
  for (auto& [vm, copy] : copies_) {
    if (copy.sender != nullptr) sending.push_back(vm);
  }
  for (const std::string& vm : sending) {
    if (copies_.at(vm).sender->following()) {
      copies_.at(vm).sender->cut();
      continue;
    }
    drop_sender(copies_.at(vm),
                absl::UnavailableError(absl::StrCat("the page stream of ", vm, " was cut")));
    look(vm);
  }
  std::vector<std::pair<std::uint64_t, std::string>> receiving;
  for (auto& [vm, copy] : copies_) {
    if (copy.stream != 0) receiving.emplace_back(copy.stream, vm);
  }
  for (const auto& [stream, vm] : receiving) stream_ended(stream, vm);
}

// ---- what is here -------------------------------------------------------------------------------

std::vector<GuestStatus> SimulatedHost::list() const {
  std::vector<GuestStatus> statuses;
  for (const auto& [vm, copy] : copies_) {
    GuestStatus status;
    status.vm = vm;
    status.state = copy.state;
    status.epoch = copy.epoch;
    status.migration = copy.sender != nullptr ? copy.sender->migration() : copy.migration;
    status.address = text(copy.guest->spec().getAddress());
    status.memory = memory_of(copy);
    status.memory_why = copy.sender != nullptr ? copy.sender->memory_why() : copy.memory_why;
    statuses.push_back(std::move(status));
  }
  return statuses;
}

GuestStatus::Memory SimulatedHost::memory_of(const Copy& copy) {
  return copy.sender != nullptr ? copy.sender->memory() : copy.memory;
}

std::vector<GuestProbe> SimulatedHost::probes() const {
  std::vector<GuestProbe> probes;
  for (const auto& [vm, copy] : copies_) {
    GuestProbe probe = copy.guest->probe();
    probe.incoming = copy.state == State::incoming || copy.state == State::arrived;
    probe.needed = memory_of(copy) == GuestStatus::Memory::needed;
    probes.push_back(std::move(probe));
  }
  return probes;
}

std::uint64_t SimulatedHost::memory_free_bytes() const {
  std::uint64_t used = 0;
  for (const auto& [vm, copy] : copies_) used += copy.guest->spec().getMemoryBytes();
  for (const auto& [vm, standby] : standbys_) used += standby_bytes(vm);
  return used >= options_.memory_bytes ? 0 : options_.memory_bytes - used;
}

DirtyRate SimulatedHost::dirty_rate(const std::string& vm) const {
  const auto found = copies_.find(vm);
  return found == copies_.end() ? DirtyRate{} : found->second.guest->dirty_rate();
}

void SimulatedHost::look(const std::string& vm) {
  if (!looks_.insert(vm).second) return;
  at(scheduler_.clock().now(), [this, vm] {
    looks_.erase(vm);
    if (look_) look_(vm);
  });
}

}  // namespace supercloud
