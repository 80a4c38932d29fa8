// What a subscriber knows about the streams it follows: order, duplicates and gaps.
//
// Every event carries the sequence of its origin's previous event under each of its topic's prefixes of 0..3 tokens, and
// heartbeats carry the newest sequence under each prefix. So a subscriber of the prefix "vm." sees from an event alone whether
// it missed an earlier "vm." event of that origin, whatever else the origin published, and from a heartbeat whether it missed
// the last one.
//
//   arrival   nothing missing before it   -> delivered
//             something missing           -> held; after `hold`, or when `held_max` wait, what is missing is asked for
//             seen before                 -> dropped
//             older than what was delivered, and not seen -> a gap: delivering it would break the origin's order
//   tail      newer than what arrived     -> asked for, if it does not arrive within `hold`
//   answer    what the publisher's log has of it arrives like any event; what the log has not is a gap
//
//   doubt     a connection may have lost anything -> what follows a hole in its origin's numbers is held until the publisher says where its
//             origins stand, and what there is up to there is asked for; so not even an event of another subscription is delivered before one
//             that was lost
//
// One question per origin is under way at a time (BusRepair), and covers all its subscriptions. Until it is answered what follows is held, in
// order; of more than `held_max` the newest are let go and asked for in their turn, so that memory is bounded and a subscriber
// that fell far behind catches up from the log.
//
// What is owed begins when a subscription is in effect at the publisher (`in_effect`); from then on nothing is lost in silence,
// over ends and starts of its process too. A process tells where all origins of its node stood when it started, which its log
// knows: as the start of what is owed to whom it is new, and as tails to whom it is not. An origin that it does not know,
// or knows at a later incarnation, has lost its log: the rest of what it had said is a gap whose end is unknown.
//
// A publisher may relay what others have said (bus/hub.h): origins of nodes that are none of the publishers here are in its care. It tells of each
// under which prefixes it has said something (OriginTail::Under), before anything of that comes, and who subscribes none of them remembers
// nothing of it. So one that is not told of has said nothing yet, and what it says first is owed from where the relay began to follow it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/bus.h"
#include "core/event.h"
#include "core/ring.h"
#include "core/time.h"
#include "core/topic.h"

namespace supercloud {

// BusGap::why of what its publisher was asked for and answered without: volatile, or no longer kept.
inline constexpr std::string_view gap_not_in_log = "its publisher's log does not have it";
// Of what was not asked for.
inline constexpr std::string_view gap_let_go = "there was no room to wait for it";
inline constexpr std::string_view gap_too_late_now =
    "it was found missing when later events of its origin had been delivered";
inline constexpr std::string_view gap_no_repair = "repair is off";
// Of what was asked for, where an answer had something that does not count.
inline constexpr std::string_view gap_refused =
    "what was answered in its place is not proven to be its publisher's, not allowed, or was heard "
    "before";

// What is missing of an origin, to be asked for.
struct BusRepair {
  std::uint64_t id = 0;  // for the answer
  StreamRange range;
};

// The publisher's side: where all its origins stand, for the answer to a subscriber.
class PublishedTails {
 public:
  PublishedTails() = default;
  // `past`: as Bus::start was told.
  explicit PublishedTails(std::vector<OriginTail> past);
  PublishedTails(PublishedTails&&) = default;
  PublishedTails& operator=(PublishedTails&&) = default;

  // Takes note of an event about to be sent.
  void note(const Event& event);
  std::vector<OriginTail> all() const;

 private:
  std::map<std::string, OriginTail, std::less<>> tails_;
  OriginTail* noted_ = nullptr;  // last
};

// Pure: the same calls give the same outputs. Thread-bound.
class GapDetector {
 public:
  struct Options {
    Duration hold = absl::Milliseconds(200);
    std::size_t held_max = 128;      // per origin
    bool repair = true;              // false: what is missing is told as a gap at once
    std::size_t origins_max = 4096;  // the one not heard for longest is forgotten
    // What is followed is told onward, by a hub: standing() and news(). A gap is told under each subscription that misses something, though a
    // wider one has told of it.
    bool onward = false;
  };
  struct Counts {
    std::uint64_t duplicates = 0;  // dropped: arrived before
    // dropped: newer ones of the origin were delivered; reported as a gap if it was owed
    std::uint64_t late = 0;
    std::uint64_t stale = 0;      // dropped: of an earlier incarnation
    std::uint64_t unmatched = 0;  // dropped: no subscription
    std::uint64_t forgotten = 0;  // origins, for lack of room
    std::uint64_t shed =
        0;  // let go while a repair was under way, for lack of room; asked for later
  };
  // In the order in which they are to be told to the owner.
  using Output = std::variant<Event, BusGap, BusRepair>;
  // For so long whom one meets, or what a relay tells that was doubted, may have been there before.
  static constexpr Duration young_max = absl::Minutes(5);

  GapDetector() : GapDetector(Options{}) {}
  explicit GapDetector(Options options) : options_(options) {}

  // `prefix`: whole tokens with their dots, at most three. Once per prefix.
  void subscribe(std::string_view prefix);
  void unsubscribe(std::string_view prefix);

  // Process `node` has the subscription in effect; `tails`: where all its origins stood at that moment, with sorted prefixes. Repeats are harmless.
  void in_effect(std::string_view node, std::string_view prefix,
                 absl::Span<const OriginTail> tails);
  // Whether `node` relays what others say, from now on. True: it is told so anew, and something is in effect there already, of which it is not
  // known what it has let pass; the doubt() that it needs is the caller's.
  bool relays(std::string_view node, bool does = true);
  bool is_relay(std::string_view node) const;
  // While young, and that is how it begins, whom it meets may have been there before it: nobody knows then from where on it was owed.
  void grow_up() { young_ = false; }
  // With Options::onward. Where the origins stand that have said something under what is subscribed here, and since when they are followed.
  std::vector<OriginTail> standing() const;
  // None: it has said nothing under what is subscribed.
  std::optional<OriginTail> standing_of(std::string_view origin) const;
  // Origins that have said something under one more prefix, or of which otherwise more is to be told than what came; each once. Those of a relay
  // that is doubted wait until it is cleared.
  std::vector<std::string> news();
  bool has_news() const { return !news_.empty(); }
  bool tells_onward() const { return options_.onward; }
  // Nobody has borne the name for long. Of origins that are known all stays owed; one that a later process of the name brings is new. What a relay
  // owes stays owed altogether: when it is back, it is to be doubted.
  void forget(std::string_view node);
  // Another process bears the name now. What is owed goes on: its log knows what the one before had said.
  void restarted(std::string_view node);

  // What `node` published last may be lost, whatever it was: until cleared() only that is delivered of it whose number follows that of what
  // was, or was asked for.
  void doubt(std::string_view node);
  // `tails`: where all its origins stood at a moment after the doubt; what arrived before that moment has been given to arrived().
  void cleared(std::string_view node, absl::Span<const OriginTail> tails, Instant now);

  // InvalidArgument: the event contradicts itself. `relay`: who has relayed it; empty: it came from its own node.
  absl::Status arrived(Event event, Instant now, std::string_view relay = {});
  // Takes a heartbeat of `node`; tails of origins that are not in its care are ignored.
  void tails(std::string_view node, schema::Heartbeat::Reader heartbeat, Instant now);

  // The answer to a BusRepair: `events` are all that the publisher's log has of its range up to `through`, in order of their sequence. What is
  // still missing of that is a gap, for the reason `why`; `refused`: what an answer had and does not count. Of a question that is over by now nothing follows. InvalidArgument: an event
  // contradicts itself.
  absl::Status repaired(std::uint64_t id, std::vector<Event> events, std::uint64_t through,
                        Instant now, std::string_view why = gap_not_in_log,
                        absl::Span<const std::uint64_t> refused = {});
  // There is no answer, and will be none: all that is missing of the range is a gap.
  void unrepaired(std::uint64_t id, std::string_view why);
  // Whether an answer to it is still of use: it may be over by a new subscription, a new incarnation, or for lack of room.
  bool waits_for(std::uint64_t id) const { return repairs_.contains(id); }

  // When expire() has something to do; far_future: nothing waits.
  Instant wake_at() const;
  void expire(Instant now);

  std::optional<Output> next();
  const Counts& counts() const { return counts_; }
  std::size_t held() const;
  std::size_t origins() const { return origins_.size(); }  // that are remembered

 private:
  static constexpr std::size_t prefixes_max = 4;  // of one topic: zero to three tokens
  // For as long a relay says again and again from where on an origin is owed.
  static constexpr Duration relay_word_max = absl::Seconds(5);
  static constexpr std::size_t told_max = 4096;         // prefixes of one origin
  static constexpr std::size_t forgotten_max = 65'536;  // origins
  static constexpr std::size_t refused_max =
      4096;  // of one origin: beyond, the oldest gaps name another reason
  static constexpr std::size_t relays_gone_max = 256;

  struct Chain {           // one origin under one subscription
    bool tracked = false;  // false: what came before is not owed, nothing is missing
    bool any = false;      // something arrived while it was not tracked
    bool adopted = false;  // it is tracked since something arrived
    bool partly = false;   // its relay has told of parts of it, and may tell that it began earlier
    bool perhaps = false;  // it may have said something up to `since`: nobody has told
    std::uint64_t since = 0;  // nothing up to here is owed
    std::uint64_t seen = 0;   // newest that arrived or was reported
    std::uint64_t said =
        0;  // newest of it that is known to be there, and was not to arrive; 0: none
    std::uint64_t begun = 0;           // OriginTail::Under
    std::uint64_t first_previous = 0;  // of the first that arrived while it was not tracked
    std::uint64_t expected = 0;        // a heartbeat's tail that has not arrived; 0: none
    Instant expected_by;
  };
  struct Held {
    Event event;
    Instant since;
  };
  struct Origin {
    std::string relay;  // in whose care it is; empty: its own node's
    std::uint64_t incarnation = 0;
    // Known from a process that ended, and the next one has not said yet that its log knows it.
    bool unconfirmed = false;
    bool lost = false;  // its log, as its relay says; the next incarnation has not been heard
    // It may have been forgotten for lack of room: up to where it was delivered then, unknown if nobody knows; 0: it was not.
    std::uint64_t stood = 0;
    std::uint64_t delivered = 0;
    std::uint64_t repair = 0;         // id of the one under way; 0: none
    std::uint64_t asked_after = 0;    // what the last question began behind
    std::uint64_t asked_through = 0;  // what the log has up to here has arrived
    std::set<std::uint64_t> refused;  // that were in an answer and did not count
    // What the last question in vain was for ends here, and why it was in vain.
    std::uint64_t unanswered_through = 0;
    std::string unanswered;
    // The newest that is known to be there otherwise than by what is held or expected.
    std::uint64_t known = 0;
    // Of what was published up to here anything may be lost that has not been asked for.
    std::uint64_t unsure_to = 0;
    std::uint64_t heard = 0;    // counts arrivals; for forgetting
    std::vector<Chain> chains;  // by slot
    std::map<std::uint64_t, Held> held;
    // What its node's last heartbeat told: up to where, and by prefix, as many as there is room for. Only where it is told onward.
    std::uint64_t told_to = 0;
    bool told_all = true;
    std::map<std::string, std::uint64_t, std::less<>> told;
  };
  struct Publisher {
    std::set<std::size_t> effective;  // slots; at this process of it or at an earlier one
    // Of these, those that were so at an earlier process or connection of it; until then it may find out what was said meanwhile.
    std::set<std::size_t> renewed;
    Instant renewed_until;
    std::uint64_t met = 0;   // counts with slot_made_; 0: while young
    std::uint64_t gone = 0;  // so does this: a relay was forgotten; 0: it is there
    bool relays = false;
    bool doubtful = false;
  };
  struct Match {
    std::size_t slot = 0;
    std::size_t tokens = 0;
  };
  struct Matches {
    Match match[prefixes_max];  // shortest prefix first
    std::size_t count = 0;
  };
  using Origins = std::map<std::string, Origin, std::less<>>;

  Matches match(std::string_view topic) const;
  Chain& chain_of(Origin& origin, std::size_t slot) const;
  Publisher* publisher_of(std::string_view name, const Origin& origin);
  bool is_neighbour(std::string_view node) const;
  // Whether `node` may speak of that origin.
  bool cares_for(std::string_view node, const Publisher& publisher, std::string_view origin) const;
  // Those in the care of `node`, in the order of origins_.
  std::vector<std::string> in_care_of(std::string_view node, const Publisher& publisher) const;
  Origin& find_or_make(std::string_view name, std::uint64_t incarnation,
                       std::string_view relay = {});
  Publisher& make_publisher(std::string_view node);
  // What a relay tells of an origin under what is subscribed at it: what it says of all prefixes that begin with that, together.
  struct Told {
    std::uint64_t sequence = 0;
    std::uint64_t since = 0;
    std::uint64_t begun = 0;
    std::uint64_t came_by = 0;  // before the relay followed it, perhaps: up to there; 0: nothing
    bool perhaps = false;       // of some of it nobody knows
    bool whole = false;         // of the prefix itself, not of parts alone

    static Told under(std::uint64_t sequence, std::uint64_t since, std::uint64_t begun);
    void add(const Told& other);
  };
  using ToldBySlot = std::map<std::size_t, Told>;
  // Whoever was granted no more than a part of what it subscribes is told of that part: so it counts for all in effect that it is a part of. Not
  // the other way round: a relay tells each prefix by itself that is subscribed through it.
  void add_told(ToldBySlot& told, const Publisher& publisher, std::string_view prefix,
                Told under) const;
  static void add_told(ToldBySlot& told, std::size_t slot, const Told& under);
  ToldBySlot told_of(const Publisher& publisher, const OriginTail& tail) const;
  ToldBySlot told_of(const Publisher& publisher, schema::Heartbeat::Tail::Reader tail) const;
  // Of a tail whose prefixes are sorted. None: nothing under `prefix`.
  static std::optional<Told> told_under(const OriginTail& tail, std::string_view prefix);
  // What is owed of it begins there, unless it has begun.
  void follow(std::string_view name, Origin& origin, const Publisher& publisher, std::size_t slot,
              const Told& told);
  // What was followed by words of parts of it alone began earlier than these.
  void begin_earlier(std::string_view name, Origin& origin, std::size_t slot, std::uint64_t since);
  // No word will come of where it begins: all before it is owed.
  void follow_untold(std::string_view name, Origin& origin, const Matches& matches,
                     const Event& event);
  // Where an origin begins again that was forgotten for lack of room.
  std::uint64_t begin_again(std::string_view name, const Origin& origin, std::size_t slot,
                            std::uint64_t since, const Told& told);
  // Notes what a neighbour's origin, which stood at `tail`, has said under the slot's prefix, as its heartbeats tell.
  void note_told(std::string_view name, Origin& origin, std::size_t slot, std::uint64_t tail,
                 bool late);
  void note_perhaps(std::string_view name, Chain& chain, bool perhaps);
  // `passes`: whoever is told onward gets it, or of the gap that it is in.
  void note_said(std::string_view name, Chain& chain, std::uint64_t sequence, bool passes);
  // A neighbour's own, of this incarnation.
  void take_told(std::string_view name, Origin& origin, schema::Heartbeat::Tail::Reader tail);
  std::optional<OriginTail> tail_of(const std::string& name, const Origin& origin) const;
  void take_relayed_tail(std::string_view node, schema::Heartbeat::Tail::Reader tail, Instant now);
  void expect(Chain& chain, std::uint64_t sequence, Instant now);
  void begin_incarnation(std::string_view name, Origin& origin, std::uint64_t incarnation);
  // The log of its incarnation is lost.
  void lose_rest(std::string_view name, Origin& origin);
  void report_log_lost(std::string_view name, std::uint64_t incarnation, std::uint64_t after);
  bool doubtful(std::string_view name, const Origin& origin) const;
  // Whether something may be lost before it.
  bool unsure(std::string_view name, const Origin& origin, std::uint64_t sequence) const;
  bool missing(Origin& origin, const Matches& matches, const Event& event) const;
  // Whether its relay is about to say from where on it is owed.
  bool untold(const Origin& origin, const Matches& matches, const Event& event) const;
  bool lowest_untold(const Origin& origin) const;  // of what is held
  void accept(Origin& origin, const Matches& matches, Event event, std::uint64_t sequence);
  void report_missing(std::string_view name, Origin& origin, const Matches& matches,
                      const Event& event, std::string_view why);
  void too_late(std::string_view name, Origin& origin, const Matches& matches, const Event& event);
  void force_lowest(std::string_view name, Origin& origin, std::string_view why);
  void release(std::string_view name, Origin& origin);
  void shed(Origin& origin);
  void expire_origin(std::string_view name, Origin& origin, Instant now);
  // What is known to be missing, as one range; up_to 0: nothing.
  struct Need {
    std::uint64_t after = BusGap::unknown;
    std::uint64_t up_to = 0;
  };
  Need need(const Origin& origin) const;
  // Up to here nothing of it is owed under any subscription.
  static std::uint64_t followed_since(const Origin& origin);
  // Asks for it. False: nothing is missing, or an answer is under way. True without a question: nobody has it.
  bool ask(std::string_view name, Origin& origin);
  struct Repair {
    std::string origin;
    std::uint64_t up_to = 0;
  };
  // Ends the question. Null: nobody waits for its answer any more.
  Origin* answered(std::uint64_t id, Repair& repair);
  // What is missing up to `through` will not come.
  void settle(std::string_view name, Origin& origin, std::uint64_t through, std::string_view why);
  // Gaps of what heartbeats have named up to `through` and what was to arrive by `now`.
  void report_expected(std::string_view name, Origin& origin, Instant now, std::uint64_t through,
                       std::string_view why);
  void report(std::string_view name, const Origin& origin, std::size_t slot, std::uint64_t after,
              std::uint64_t up_to, std::string_view why);
  static bool lacks_expected(const Origin& origin, const Chain& chain);
  Instant due(const Origin& origin) const;
  void note_waiting(std::string_view name, const Origin& origin);
  void forget_one();
  void note_forgotten(std::string_view name, const Origin& origin);
  // What is known of one that is remembered anew.
  void begin_origin(std::string_view name, Origin& origin);

  Options options_;
  Counts counts_;
  std::map<std::string, std::size_t, std::less<>> slots_;  // prefix -> slot
  // slot -> prefix; free ones are in free_slots_
  std::vector<std::string> prefixes_;
  std::vector<std::uint64_t> slot_made_;  // slot -> stamp
  std::set<std::size_t> free_slots_;
  std::uint64_t stamps_ = 0;
  bool young_ = true;
  Instant now_;  // as was told last
  std::set<std::string, std::less<>> news_;
  std::map<std::string, Publisher, std::less<>> publishers_;
  bool doubts_ = false;  // one of them is doubtful
  Origins origins_;
  struct Forgotten {
    std::uint64_t incarnation = 0;
    std::uint64_t stood = 0;
    std::uint64_t stamp = 0;  // key in forgotten_order_
  };
  std::map<std::string, Forgotten, std::less<>> forgotten_;  // origins, for lack of room
  std::map<std::uint64_t, std::string> forgotten_order_;
  bool more_forgotten_ = false;    // than there is room for
  bool relays_forgotten_ = false;  // one that was gone, for lack of room
  // origins with something held or expected
  std::set<std::string, std::less<>> waiting_;
  std::map<std::uint64_t, Repair> repairs_;  // under way, by id
  std::uint64_t last_repair_ = 0;
  std::uint64_t arrivals_ = 0;
  Ring<Output> outputs_;
  // What was looked up last, which is mostly what is looked up next: the matches of all topics that begin with three tokens, and an origin.
  mutable std::string matched_lead_;  // empty: none
  mutable Matches matched_;
  Origins::value_type* last_found_ = nullptr;
};

}  // namespace supercloud
