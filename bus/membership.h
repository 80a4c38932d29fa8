// Who is on the bus: hellos over the request sockets.
//
// A process knows a few request endpoints (seeds). It says hello there every second; who answers tells its name, its endpoints
// and the members it knows to be alive, to whom the newcomer says hello in turn; and who hears a hello of a name that it does not
// know says hello back. So one living seed is enough, and every pair of members has its own connection.
//
//   link     (new) ── welcome ──► alive ── silent for `silence_max` ──► dead ── welcome ──► alive
//                                                                       └── `forget_after`, and no seed ──► (gone)
//   restart  a welcome with another nonce: another process answers at that endpoint
//   twins    a hello with my name and another nonce is refused, once I am established; a third process, to whom both speak, refuses the
//            newcomer after the elder has answered again. A name whose process is not connected any more may be taken over.
//
// With keys, a name is believed of nobody but who has its key: take_hello() is told whose the connection is, and a link is made to one key
// of one name alone, so that whoever welcomes from there is that name's. Of a name with two keys, a hello tells which; a seed is tried with
// each in turn.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "bus/trust.h"
#include "bus/zmq_socket.h"
#include "bus/zmq_wire.h"
#include "core/event_loop.h"

namespace supercloud {

// "name@tcp://address:port", or without a name.
struct Seed {
  std::string name;
  std::string endpoint;

  static Seed parse(std::string_view text);
};

// OK, or InvalidArgument: no endpoint for a process with or without keys; says what to do.
absl::Status check_endpoint(const std::string& endpoint, bool keys);
absl::Status check_seed(const std::string& seed, bool keys);

struct MembershipOptions {
  Member self;
  bool client = false;
  const Credentials* credentials = nullptr;  // outlive it, and may change; null: all is plain
  std::vector<std::string> seeds;            // see Seed; one's own among them is ignored
  Duration hello_interval = absl::Seconds(1);
  Duration silence_max = absl::Seconds(3);
  // A dead member that is no seed is forgotten: it says hello when it is back.
  Duration forget_after = absl::Minutes(5);
  int high_water_mark = 1000;
  std::size_t neighbours_max = members_max;  // further ones are refused
};

// Thread-bound to the loop.
class Membership {
 public:
  // Told from within a turn of the loop.
  class Listener {
   public:
    virtual ~Listener() = default;
    // Heard for the first time or again, or another process bears the name now: its nonce tells.
    virtual void on_up(const Member& member) = 0;
    virtual void on_down(const std::string& name) = 0;
    // Of one that is down: nothing is kept of it any more.
    virtual void on_forgotten(const std::string& name) = 0;
    // Those who could be known from the seeds have all been heard or given up.
    virtual void on_settled() = 0;
    virtual void on_answer(const std::string& name, WireAnswer answer) = 0;
    virtual void on_bad_frame(const std::string& from, const absl::Status& why) = 0;
    virtual void on_refused(absl::Status why) = 0;
    // The process at that endpoint does not let in this one's key; it is asked again every few seconds.
    virtual void on_shut_out(const std::string& name, const std::string& endpoint) = 0;
  };

  Membership(EventLoop& loop, std::shared_ptr<ZmqContext> context, MembershipOptions options,
             Listener& listener);
  ~Membership();

  void start();
  void stop();

  // What to answer to a hello from a connection of `user`'s; null: it may be anyone's. None: there is no room for it, which on_bad_frame tells. A
  // refusal would end processes that are members elsewhere.
  std::optional<Control> take_hello(const Hello& hello, const Trust::Enrolled* user);
  // The credentials are others: who is not trusted any more goes, at once.
  void trust_changed();
  // Of the process that is linked to under that name; null: none, or without keys.
  const PublicKey* key_of(std::string_view name);
  // Something came from that member's publisher.
  void heard(std::string_view name);
  bool alive(std::string_view name) const;
  bool settled() const { return settled_; }
  // Of a client: all whom it has heard, or of whom a member has told it, since it started; a hub among them.
  const std::set<std::string>& told_of() const { return told_of_; }
  // False: not connected or too much under way; surely not sent.
  bool send(std::string_view name, const Control& control);

 private:
  static constexpr std::size_t links_max = members_max;  // dead ones among them

  struct Link {
    std::string endpoint;  // request socket of the other
    Member member;         // no name: not heard yet
    std::string expected;  // with keys: whom it leads to
    PublicKey key;         // the one of `expected` that is tried
    Instant tried;         // since when
    bool seed = false;
    bool vouched = false;     // a member has said that it is there
    bool said_hello = false;  // itself
    bool alive = false;
    bool awaited = true;  // not heard yet, and may still be
    bool greet = true;    // a hello is due
    bool shut_out = false;
    Instant since;
    Instant last_heard;
    Member rival;  // claims the same name; no name: none
    std::uint64_t rival_beat = 0;
    bool rival_refused = false;
    std::unique_ptr<ZmqSocket> socket;
  };

  enum class Told { seed, member, itself };  // by whom
  void add_link(const std::string& endpoint, const std::string& expected, const PublicKey* key,
                Told told);
  absl::StatusOr<std::unique_ptr<ZmqSocket>> connect(const Link& link);
  // OK, or why nobody else can be linked to. Of who says hello itself those count alone that did so or are alive.
  absl::Status room(Told told) const;
  // Who was only told of gives way to who says hello itself.
  void make_room();
  void try_next_key(Link& link);
  void renew(Link& link);
  void take_shut_out(const std::string& endpoint);
  void add_seeds();
  void drop_link(const std::string& endpoint);
  Link* link_of(std::string_view name);
  void greet(Link& link);
  void take_frame(const std::string& endpoint, std::string_view frame);
  void take_welcome(const std::string& endpoint, const Welcome& welcome);
  void note(const std::string& name);
  void learn(const Member& member, const Trust::Enrolled* itself, Told told);
  void tick();
  void settle();

  EventLoop& loop_;
  std::shared_ptr<ZmqContext> context_;
  MembershipOptions options_;
  Listener& listener_;
  std::vector<Seed> seeds_;
  std::map<std::string, Link> links_;  // by endpoint
  std::set<std::string> told_of_;      // names, links_max at most
  std::uint64_t beat_ = 0;
  bool settled_ = false;
  bool any_heard_ = false;
  bool stopped_ = false;
  Instant last_tick_;
  TimerId timer_ = 0;
};

}  // namespace supercloud
