// Buses that lose in silence, that do not repair, and that keep no order.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/broken/breakage.h"

namespace supercloud {
namespace {

// Passes on what it is told and what it tells: a broken one overrides what it breaks.
class ForwardingBus : public Bus, protected BusReceiver {
 public:
  explicit ForwardingBus(Bus& real) : real_(real) {}
  void start(BusReceiver& receiver, std::vector<OriginTail> past) override {
    receiver_ = &receiver;
    real_.start(static_cast<BusReceiver&>(*this), std::move(past));
  }
  void publish(const Event& event) override { real_.publish(event); }
  void subscribe(std::string prefix, Reply<Done> reply) override {
    real_.subscribe(std::move(prefix), std::move(reply));
  }
  void unsubscribe(std::string prefix) override { real_.unsubscribe(std::move(prefix)); }
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    real_.request(std::move(to), std::move(bytes), std::move(reply));
  }

 protected:
  void on_gap(const BusGap& gap) override { receiver_->on_gap(gap); }
  void on_event(Event event) override { receiver_->on_event(std::move(event)); }
  void on_request(std::string actor, std::string bytes, Reply<std::string> answer) override {
    receiver_->on_request(std::move(actor), std::move(bytes), std::move(answer));
  }
  void on_history(StreamRange range, Reply<StreamPart> reply) override {
    receiver_->on_history(std::move(range), std::move(reply));
  }
  void on_rejected(std::string from, std::string why) override {
    receiver_->on_rejected(std::move(from), std::move(why));
  }
  void on_peer(std::string node, bool alive) override {
    receiver_->on_peer(std::move(node), alive);
  }

  Bus& real_;
  BusReceiver* receiver_ = nullptr;
};

template <class Broken>
void put_in_bus(MachineOptions& machine) {
  machine.in_place.bus = [](Bus& real) { return std::make_unique<Broken>(real); };
}

class SilentBus final : public ForwardingBus {
 public:
  using ForwardingBus::ForwardingBus;

 private:
  void on_gap(const BusGap&) override {}
};

// Says of whatever others missed that its log does not have it.
class ForgetfulBus final : public ForwardingBus {
 public:
  using ForwardingBus::ForwardingBus;

 private:
  void on_history(StreamRange range, Reply<StreamPart> reply) override {
    reply(StreamPart{.events = {}, .through = range.up_to});
  }
};

class DoublingBus final : public ForwardingBus {
 public:
  using ForwardingBus::ForwardingBus;

 private:
  void on_event(Event event) override {
    if (event.sequence() % 16 == 0) receiver_->on_event(event);
    receiver_->on_event(std::move(event));
  }
};

// Every sixteenth event of an origin is told behind its next one.
class DisorderlyBus final : public ForwardingBus {
 public:
  using ForwardingBus::ForwardingBus;

 private:
  void on_event(Event event) override {
    const auto late = late_.extract(std::string(event.origin()));
    if (late.empty() && event.sequence() % 16 == 0) {
      late_.emplace(event.origin(), std::move(event));
      return;
    }
    receiver_->on_event(std::move(event));
    if (!late.empty()) receiver_->on_event(late.mapped());
  }

  std::map<std::string, Event> late_;  // by origin
};

// Says of what an actor of its node holds that it is taken, whenever it is asked.
class HastyBus final : public ForwardingBus {
 public:
  using ForwardingBus::ForwardingBus;

 private:
  void on_request(std::string actor, std::string bytes, Reply<std::string> answer) override {
    const auto request = Message<schema::Request>::parse(bytes);
    if (!request.ok() || !request->reader().isAwaitTaken())
      return receiver_->on_request(std::move(actor), std::move(bytes), std::move(answer));
    const auto asked = request->reader().getAwaitTaken().getEvents();
    answer(std::string(Message<schema::Response>::build([&](schema::Response::Builder builder) {
                         builder.setTaken(asked);
                       }).bytes()));
  }
};

// Publishers wait for all that hold, but for those of one node.
void leaves_one_out(MachineOptions& machine) {
  machine.in_place.may_hear = [](std::string_view node, std::string_view) {
    return node != "node-1";
  };
}

// The custodian tells nobody what it learns.
void never_learns(MachineOptions& machine) {
  machine.in_place.seams = [](const NodeActorsSeams& real,
                              Scheduler&) -> std::shared_ptr<const NodeActorsSeams> {
    struct Owned {
      explicit Owned(const NodeActorsSeams& real) : seams(real) { seams.archived = &nobodys; }
      ArchivedEvents nobodys{{}};
      NodeActorsSeams seams;
    };
    const auto owned = std::make_shared<Owned>(real);
    return {owned, &owned->seams};
  };
}

void never_finds_out(MachineOptions& machine) {
  machine.bus.silence_max = absl::InfiniteDuration();
}

}  // namespace

std::vector<Breakage> broken_buses() {
  constexpr const char* rule = "5 of the failure model";
  const auto calm = [](RunOptions& run) { run.faults = no_faults(); };
  const auto network = [](RunOptions& run) {
    run.faults = no_faults();
    run.faults.network = true;
  };
  const auto held = [](RunOptions& run) {
    run.faults = no_faults();
    run.faults.commands = true;
    run.cluster.holders = {"node-0", "node-1"};
  };
  const auto users_and_slow_subscribers = [](RunOptions& run) {
    run.faults = no_faults();
    run.faults.commands = run.faults.slow_subscribers = true;
    run.faults.between_max = absl::Seconds(1);
  };
  const auto half_open_links = [](RunOptions& run) {
    run.faults = no_faults();
    run.faults.half_open_links = true;
  };
  return {
      {"announces_no_gap", rule, "5:", network, put_in_bus<SilentBus>},
      {"announces_no_gap_of_what_found_no_room", rule, "5:", users_and_slow_subscribers,
       put_in_bus<SilentBus>},
      {"has_nothing_for_who_was_slow", rule, "5:", users_and_slow_subscribers,
       put_in_bus<ForgetfulBus>},
      {"never_finds_out_that_a_link_is_half_open", rule, "5:", half_open_links, never_finds_out},
      {"tells_events_twice", rule, "5:", calm, put_in_bus<DoublingBus>},
      {"says_of_what_is_held_that_it_is_taken", "hold: taken before it is told",
       "an event whose publisher was told so is taken", held, put_in_bus<HastyBus>},
      {"leaves_one_out_that_holds", "hold: all are waited for", "who holds is waited for", held,
       leaves_one_out},
      {"never_learns_who_holds", "hold: all are waited for", "who holds is waited for", held,
       never_learns},
      {"tells_events_out_of_order", rule, "5:", calm, put_in_bus<DisorderlyBus>},
  };
}

}  // namespace supercloud
