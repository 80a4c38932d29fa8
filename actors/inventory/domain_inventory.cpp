#include "actors/inventory/domain_inventory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/node/node_agent.h"
#include "hypercall/xen_error.h"

namespace supercloud {

schema::DomainState to_schema(DomainStatus::State state) {
  switch (state) {
    case DomainStatus::State::running:
      return schema::DomainState::RUNNING;
    case DomainStatus::State::paused:
      return schema::DomainState::PAUSED;
    case DomainStatus::State::suspended:
      return schema::DomainState::SUSPENDED;
    case DomainStatus::State::shut_down:
      return schema::DomainState::SHUT_DOWN;
    case DomainStatus::State::crashed:
      return schema::DomainState::CRASHED;
    case DomainStatus::State::dying:
      return schema::DomainState::DYING;
  }
  return schema::DomainState::RUNNING;
}

namespace {

DomainStatus::State from_schema(schema::DomainState state) {
  switch (state) {
    case schema::DomainState::PAUSED:
      return DomainStatus::State::paused;
    case schema::DomainState::SUSPENDED:
      return DomainStatus::State::suspended;
    case schema::DomainState::SHUT_DOWN:
      return DomainStatus::State::shut_down;
    case schema::DomainState::CRASHED:
      return DomainStatus::State::crashed;
    case schema::DomainState::DYING:
      return DomainStatus::State::dying;
    default:
      return DomainStatus::State::running;
  }
}

// A name is any bytes; what an event says of it can be read by people.
std::string printable(std::string name) {
  std::ranges::replace_if(name, [](char c) { return c < ' ' || c > '~'; }, '?');
  return name;
}

}  // namespace

DomainInventory::DomainInventory(Context& context, DomainSeams seams,
                                 DomainInventoryOptions options)
    : context_(context), seams_(seams), options_(options) {
  // A log that cannot be read is told of by others; what is here is said again then.
  context_.history(
      Pattern::of("vm.domain_changed.>"), [this](const Event& event) { remember(event); },
      [this](const absl::Status&) { begin(); });
}

DomainInventory::~DomainInventory() {
  *alive_ = false;
  for (const XenWatchId watch : watches_) seams_.store.unwatch(watch);
}

void DomainInventory::remember(const Event& event) {
  if (event.origin() != context_.self().to_string()) return;
  const auto changed = event.payload().getVmDomainChanged();
  if (changed.getState() == schema::DomainState::GONE) {
    logged_.erase(changed.getDomain());
    return;
  }
  logged_[changed.getDomain()] = {{.id = changed.getDomain(),
                                   .uuid = str(changed.getUuid()),
                                   .state = from_schema(changed.getState()),
                                   .memory_bytes = changed.getMemoryBytes(),
                                   .cpus = changed.getCpus()},
                                  str(changed.getName())};
}

void DomainInventory::begin() {
  said_ = logged_;
  watch(XenPath::introduced());
  watch(XenPath::released());
  watch(XenPath::domains());
  look();
}

void DomainInventory::watch(const XenPath& path) {
  watches_.push_back(seams_.store.watch(path, [this, alive = alive_](const XenPath& where) {
    if (*alive) changed(where);
  }));
}

void DomainInventory::changed(const XenPath& path) {
  const std::optional<DomainId> id = path.domain_id();
  if (!id) {
    all_marked_ = true;
  } else {
    // What a guest writes into its own corner is nothing to look at.
    const XenPath home = XenPath::domain(*id);
    if (path != home && path != *(home / "name")) return;
    marked_.insert(*id);
  }
  look_soon();
}

void DomainInventory::look_soon() {
  if (looking_) return;
  context_.cancel(due_);
  due_ = context_.at(std::max(not_before_, context_.now()), [this] { look(); });
}

void DomainInventory::look() {
  context_.cancel(std::exchange(due_, 0));
  if (looking_) return;
  looking_ = true;
  seen_.clear();
  unread_.clear();
  marked_.merge(std::exchange(missed_, {}));
  const auto domains = seams_.list.list();
  // Nobody knows what is there, so nothing is said of it; what is said is that. A new start asks again, for as long as it lasts.
  if (!domains.ok())
    return context_.fail(
        as_unavailable("the domains of this host cannot be listed", domains.status()));
  for (const DomainStatus& status : *domains) {
    if (status.id == 0) continue;
    const auto said = said_.find(status.id);
    const bool known = said != said_.end() && said->second.status.uuid == status.uuid;
    seen_[status.id] = {status, known ? said->second.name : ""};
    if (!known || all_marked_ || marked_.contains(status.id)) unread_.push_back(status.id);
  }
  marked_.clear();
  all_marked_ = false;
  read_names();
}

void DomainInventory::read_names() {
  while (reading_ < options_.reads_max && !unread_.empty()) {
    const DomainId id = unread_.back();
    unread_.pop_back();
    const auto path = XenPath::domain(id) / "name";
    ++reading_;
    seams_.store.read(0, *path,
                      context_.reply<std::string>(options_.patience,
                                                  [this, id](absl::StatusOr<std::string> name) {
                                                    named(id, std::move(name));
                                                  }));
  }
  if (reading_ > 0) return;
  say_differences();
  end_look();
}

void DomainInventory::named(DomainId id, absl::StatusOr<std::string> name) {
  --reading_;
  // Where nobody answers now, the last name holds until somebody does.
  if (name.ok())
    seen_.at(id).name = printable(*std::move(name));
  else if (absl::IsNotFound(name.status()))
    seen_.at(id).name.clear();
  else
    missed_.insert(id);
  read_names();
}

void DomainInventory::say_differences() {
  const std::map<DomainId, Said> before = said_;
  for (const auto& [id, said] : before) {
    const auto now = seen_.find(id);
    if (now == seen_.end() || now->second.status.uuid != said.status.uuid) say(id, std::nullopt);
  }
  for (const auto& [id, now] : seen_) {
    const auto said = said_.find(id);
    if (said == said_.end() || said->second != now) say(id, now);
  }
  if (options_.capacity) say_capacity();
}

void DomainInventory::say(DomainId id, const std::optional<Said>& now) {
  const Said& shown = now ? *now : said_.at(id);
  Draft draft = context_.draft(shown.status.uuid);
  auto changed = draft.payload().initVmDomainChanged();
  changed.setNode(context_.node());
  changed.setDomain(id);
  changed.setUuid(shown.status.uuid);
  changed.setName(shown.name);
  changed.setState(now ? to_schema(now->status.state) : schema::DomainState::GONE);
  changed.setMemoryBytes(now ? now->status.memory_bytes : 0);
  changed.setCpus(now ? now->status.cpus : 0);
  const auto note = [](std::map<DomainId, Said>& in, DomainId of, const std::optional<Said>& how) {
    if (how)
      in[of] = *how;
    else
      in.erase(of);
  };
  note(said_, id, now);
  context_.publish(std::move(draft), [this, note, id, now](const absl::Status& logged) {
    if (logged.ok()) return note(logged_, id, now);
    // It was not said: the next look finds the difference again, from what the log has; the name, too.
    missed_.insert(id);
    const auto last = logged_.find(id);
    note(said_, id, last == logged_.end() ? std::nullopt : std::optional(last->second));
  });
}

void DomainInventory::say_capacity() {
  const auto room = seams_.list.room();
  if (!room.ok())
    return context_.fail(as_unavailable("the room of this host is not known", room.status()));
  // Again at each beat, for those who came later.
  const auto vms = static_cast<std::uint32_t>(seen_.size());
  if (said_room_ == std::pair(*room, vms) && context_.now() < room_again_) return;
  said_room_ = {*room, vms};
  room_again_ = context_.now() + options_.every;
  Draft draft = context_.draft(context_.node());
  auto capacity = draft.payload().initNodeCapacity();
  capacity.setNode(context_.node());
  capacity.setMemoryFreeBytes(room->memory_free_bytes);
  capacity.setCpus(room->cpus);
  capacity.setVms(vms);
  if (!options_.archives.empty()) write_archives(options_.archives, capacity.initJoined());
  context_.publish(std::move(draft));
}

void DomainInventory::end_look() {
  looking_ = false;
  not_before_ = context_.now() + options_.settle;
  if (all_marked_ || !marked_.empty()) return look_soon();
  due_ = context_.after(options_.every, [this] { look(); });
}

}  // namespace supercloud
