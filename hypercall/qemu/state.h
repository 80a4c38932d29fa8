// What a QemuHypervisor holds. Its own header, for its sources are two.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "hypercall/qemu/copy.h"
#include "hypercall/qemu/handshake.h"
#include "hypercall/qemu/qemu_hypervisor.h"
#include "hypercall/qemu/sender.h"
#include "hypercall/qemu/stream_socket.h"
#include "hypercall/qemu/way_probe.h"

namespace supercloud {

struct QemuHypervisor::State {
  struct Guest {
    std::unique_ptr<QemuCopy> copy;
    std::unique_ptr<QemuSender> sender;
    std::uint64_t sender_number = 0;
    bool up = false;    // listed
    std::string token;  // of the stream that is expected
    // Whether it is being filled; unknown: by an earlier daemon, perhaps.
    enum class Stream : std::uint8_t { none, unknown, coming } stream = Stream::none;
    std::vector<Reply<Done>> preparing;  // who waits until it may be filled
    absl::Status unmade;                 // why it cannot be
    // Set: no copy of its VM yet, and never `up`.
    struct Standby {
      std::vector<std::string> command;  // that made it; empty: an earlier daemon did
      Instant until{};
      bool ready = false;
    };
    std::optional<Standby> standby;
    std::shared_ptr<Link> source;
    bool post_copy = false;     // its QEMU is set to it
    bool no_post_copy = false;  // that was tried, and refused
    std::string source_lost;    // as its source has said
    std::uint64_t waiting = 0;  // for the rest of its memory: grows with each time
    struct Rest {  // as it follows: of its process's memory, as it was last seen to grow
      std::uint64_t bytes = 0;
      Instant grew{};
      TimerId timer = 0;
    } rest;
  };

  State(EventLoop& the_loop, LinkNetwork& the_network, QemuOptions the_options)
      : loop(the_loop), network(the_network), options(std::move(the_options)) {}
  ~State() { alive.reset(); }

  Guest* find(const std::string& vm) {
    const auto found = guests.find(vm);
    return found == guests.end() || !found->second.up ? nullptr : &found->second;
  }
  template <class F>
  auto guarded(F function) {
    return [alive_too = std::weak_ptr<bool>(alive),
            function = std::move(function)](auto&&... values) mutable {
      if (!alive_too.expired()) function(std::forward<decltype(values)>(values)...);
    };
  }

  void look(const std::string& vm);
  absl::Status make_run_folder();
  absl::Status check_keeper() const;
  void find_guests(Reply<Done> reply);
  void take_up(const std::string& vm);
  Guest& add(QemuRecord record);
  void died(const std::string& vm, const absl::Status& why);
  // An own copy, one for a migration, or a standby.
  struct Wanted {
    bool own = false;
    Epoch epoch = 0;
    EventId migration;
    std::optional<Instant> standby_until;
  };
  void make(const Message<schema::VmSpec>& spec, const Wanted& wanted, Reply<Done> reply);
  std::vector<std::string> command_of(schema::VmSpec::Reader spec, const QemuGuest& made_of,
                                      bool incoming) const;
  std::uint64_t memory_free_bytes() const;
  // Of a process's memory, what is of no program or library. 0: not known.
  static std::uint64_t anonymous_bytes(pid_t process);
  void made(const std::string& vm, const absl::Status& status, Reply<Done> reply);
  void answer_preparing(const std::string& vm, const absl::Status& status);

  // standby.cpp
  void prepare(const Message<schema::VmSpec>& spec, Epoch epoch, const EventId& migration,
               Reply<Done> reply);
  void keep(const Message<schema::VmSpec>& spec, Instant until, Reply<Done> reply);
  // Whether this one lasts, and is as the VM is now.
  bool is_standby_of(const Guest& guest, schema::VmSpec::Reader spec) const;
  // Ends a standby; `then` runs when nothing of it is left, else `reply` gets the error.
  void end_standby(const std::string& vm, Reply<Done> reply,
                   absl::AnyInvocable<void(Reply<Done>) &&> then);
  // One that gives way to an own copy of this VM, if one has to.
  std::optional<std::string> in_the_way(const std::string& vm, std::uint64_t needed) const;
  void end_late_standby(const std::string& vm);

  void make_sender(const std::string& vm, TransferOptions sent);
  void stop_send(const std::string& vm, const absl::Status& why, Reply<Done> reply);

  absl::Status listen();
  void expect_stream(const std::string& vm,
                     absl::AnyInvocable<void(const absl::Status& status) &&> then);
  void find_stream(const std::string& vm);
  void brought(const std::string& vm, const std::string& status);
  void watch_rest(const std::string& vm);
  void wait_for_rest(const std::string& vm, const std::string& why);
  void give_up_rest(const std::string& vm, std::uint64_t waiting);
  void source_said(const std::weak_ptr<Link>& link, const std::string& bytes);
  absl::StatusOr<qemu_handshake::Frame> answer_again(const qemu_handshake::Hello& hello);
  qemu_handshake::Frame accept(const std::string& vm, Guest& guest);
  void greeted(const std::shared_ptr<Link>& link, const std::string& bytes);
  void say_last(const std::shared_ptr<Link>& link, const qemu_handshake::Frame& frame);
  const std::string& address_of_streams() const;
  absl::StatusOr<qemu_handshake::Frame> answer(const qemu_handshake::Hello& hello);
  void stream_came(const std::string& token, OwnFd stream);
  void tell_source(Guest& guest, const qemu_handshake::Frame& frame);

  EventLoop& loop;
  LinkNetwork& network;
  const QemuOptions options;
  std::function<void(const std::string&)> look_call;
  std::set<std::string> looks;
  std::map<std::string, Guest> guests;
  std::map<std::uint64_t, std::shared_ptr<Guest>> ended;  // for a moment
  std::uint64_t last_gone = 0;
  std::uint64_t last_sender = 0;
  std::map<std::uint64_t, std::shared_ptr<Link>> links;  // that have not said hello
  std::uint64_t last_link = 0;
  std::unique_ptr<StreamListener> listener;
  WayTarget ways{loop};
  WaySources ways_from_here{loop, network};
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

}  // namespace supercloud
