// One VM on one node: gathers what is known of it into a View, asks for the next step, takes it, and looks again.
//
// Level-triggered: a hint (an event, a completion, a timer) only says "look"; what to do follows from the record, the copy, the
// volume and the few facts below, so a lost or doubled hint costs time and nothing else. At most one step is under way.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "actors/migration/next_step.h"
#include "actors/migration/node_directory.h"
#include "actors/migration/transfer_plan.h"
#include "actors/network/fabric.h"
#include "actors/session/node_session.h"
#include "core/actor.h"
#include "storage/volume.h"

namespace supercloud {

struct ExecutorSeams {
  LeaseTable& leases;
  Hypervisor& hypervisor;
  VolumeStore& volumes;
  Fabric& fabric;
  NodeSession& session;
};

struct ExecutorOptions {
  Decide decide = next_step;
  // proposed to paused, when the proposal names none
  Duration migration_deadline = absl::Seconds(60);
  // Paused to committed; then the source takes its machine back. Both sessions must have as much left before (15), so it is less
  // than what the fence leaves at the end of a renewal's interval.
  Duration blackout_deadline = absl::Milliseconds(1200);
  Duration call_deadline = absl::Seconds(1);  // of one lease or hypervisor call
  // ... that makes a copy, which may take a hypervisor longer
  Duration make_deadline = absl::Seconds(1);
  Duration look_interval = absl::Seconds(1);
  Duration takeover_stagger = absl::Milliseconds(500);
  // before a drain's deadline the source stops taking its machine back
  Duration drain_reserve = absl::Seconds(2);
};

// From when on a source that has to be left by `deadline` does not take its machine back (16).
Instant drained_by(Instant now, Instant deadline, const ExecutorOptions& options);

// What the workers of a node share.
struct ExecutorShared {
  Context& context;
  ExecutorSeams seams;
  ExecutorOptions options;
  NodeDirectory nodes;
  std::uint64_t next_swap = 1;
  bool draining = false;  // its user wants this node empty
};

// What failed is tried again after this.
inline constexpr Duration retry_delay = absl::Milliseconds(200);
// ... a target that could not be kept ready; then twice as long each time.
inline constexpr Duration standbys_delay_min = absl::Milliseconds(100);

class VmWorker {
 public:
  VmWorker(ExecutorShared& shared, std::string vm);
  ~VmWorker();
  VmWorker(const VmWorker&) = delete;
  VmWorker& operator=(const VmWorker&) = delete;

  const std::string& vm() const { return vm_; }
  const std::optional<LeaseRecord>& record() const { return record_; }
  const std::optional<Outgoing>& outgoing() const { return out_; }
  const std::optional<Incoming>& incoming() const { return in_; }
  const TransferProgress& progress() const { return progress_; }  // of what is outgoing
  std::optional<Message<schema::VmSpec>> spec() const;
  std::optional<GuestStatus> copy() const;
  // For people: running, paused, migrating, stopping, stopped, starting, fenced, failed.
  std::string state() const;
  // Nothing of it is here, and it is not here that it will be.
  bool forgotten() const { return forgotten_; }
  // It is not held here, but a copy is, or may come to be: by a move, a takeover or a definition that is under way.
  bool may_come() const;
  // It was looked at for others, and nothing of it concerns this node any more.
  bool bystander() const;

  void look();
  // The table's word, asked for at `asked`; nullopt: there is no record.
  void record_read(std::optional<LeaseRecord> record, Instant asked);
  void read_record();

  // From the log, before the first look.
  void recover_asked(SwapKind kind, Epoch epoch);
  // It may be under way still, and nobody may have said yet that it took effect.
  void recover_define(SessionId session, std::string swap_id);
  void recover_defined() { forget_define(); }
  void recover_outgoing(Outgoing out);
  void recover_incoming(Incoming in) { recovered_in_ = std::move(in); }
  void recover_dropped(const EventId& migration) { dropped_ = migration; }
  void recover_end(const EventId& migration) { know_end(migration); }
  void recover_resumed(Epoch epoch);

  // A migration of this VM to `target` is wanted; preflight has passed.
  void begin(Outgoing out);
  void fail_outgoing(std::string why);
  // The VM has to be gone by `deadline`: a migration that has not come to its pause goes on as a drain (16), and that is said.
  void hurry(Instant deadline, const std::string& why);
  // Tells whether it was cancelled or came too late.
  void cancel(std::string why, std::function<void(absl::Status)> told);
  // Target. An incoming migration begins when the record names this node the heir.
  const EventId& dropped() const { return dropped_; }
  // Until when the source wants it paused.
  void expect(const EventId& migration, Instant deadline);
  void switch_over(schema::Request::SwitchOver::Reader request, Answer answer);

  // Writes the desired state into the record, then acts on it.
  void desire(Message<schema::VmSpec> spec, std::function<void(absl::Status)> done);
  // First record of the VM, made here. When it was asked for, at `absent_at`, the table had none.
  void define(Message<schema::VmSpec> spec, Instant absent_at,
              std::function<void(absl::Status)> done);

  // Told by its event: the target of this migration is prepared. The source, which asks ever more rarely, asks at once.
  void target_ready(const EventId& migration);
  // Told by events: this migration has ended somewhere.
  void migration_ended(const EventId& migration);

 private:
  // A migration that was lost to its target, and whose end has not been heard.
  struct Released {
    EventId migration;
    Epoch epoch = 0;  // at which it was accepted
  };
  // How a migration was aborted, as this node knows it.
  struct Aborted {
    EventId migration;
    std::string stage, why;
    std::uint64_t sent_bytes = 0;  // until then, as far as its source has told
  };

  View view();
  void forget_old_swaps();
  void take(const Decision& decision);
  void take_holder(Step step);
  void take_source(Step step);
  void take_target(Step step);
  void finished();                      // the step under way has ended: look again
  void finished_later(Duration delay);  // ... after a failure: not at once

  Swap make_swap(SwapKind kind);
  void log_swap(const Swap& swap, std::function<void()> then);
  void send_swap(Swap swap, std::function<void(const absl::StatusOr<SwapResult>&)> then);
  void define_on_new_disk(const Message<schema::VmSpec>& spec,
                          const std::function<void(absl::Status)>& done,
                          const std::function<void(absl::Status)>& failed);
  void say_defined();
  void forget_define();
  void note_loss();
  void swap_epoch(SwapKind kind, const std::string& why);  // logged, sent, its result taken note of

  void boot();
  void run_at_won_epoch();
  void prepare_port();
  void resumed();
  void say_resumed(Epoch epoch, const std::string& why, bool reconstructed);
  void destroy_copy(bool lost);
  void lose_memory();
  void destroy_half();
  void stop_guest();
  void seal_and_destroy();
  void say_stopped(bool copy_kept);
  void report_failed(const std::string& why);
  void remove_record();
  void tend_replicas();
  // Asks the nodes that are to have a target ready for it to keep one for a while longer, now and again (vm_worker_standbys.cpp).
  void tend_standbys();

  void accept();
  void accepted(Epoch epoch);
  Message<schema::Request> prepare_request() const;
  void ask_target();
  void ask_again();
  void start_sending();
  struct Blackout {
    Duration most;      // that the guest may stand still
    Duration memory;    // of it, for final memory
    bool said = false;  // by its user
  };
  Blackout blackout() const;
  void progressed(const TransferProgress& progress);
  // `falls_per_second`: by so many bytes what remains of a pass has become less, lately.
  void foresee(std::uint64_t falls_per_second);
  bool post_copy_allowed() const;
  bool may_follow() const;
  std::function<void(const TransferProgress&)> progress_call(const EventId& migration);
  void follow_progress();
  // Budgets and rate of what is outgoing.
  void say_planned(schema::Method method, const std::string& why, const TransferPlan* plan);
  void note_stream();
  void tell_too_late();
  void arm_drain();
  void check();
  void pause();
  void memory_failed(const std::string& why);
  void seal();
  void hand_over();
  void send_switch_over();
  void abort_outgoing();
  void finish_lost();

  void prepare();
  void verify();
  void commit();
  void drop_incoming(const std::string& why);

  bool switched_here() const;
  void say_completed(std::function<void(bool logged)> then);
  void say_aborted(const EventId& migration, std::function<void(bool logged)> then);
  void say_end(Draft event, const EventId& migration, std::function<void(bool logged)> then);
  void note_lost(bool memory_lost);
  void clear_heir();
  void know_end(const EventId& migration);
  bool end_known(const EventId& migration) const;
  View::End end_of_marked() const;
  void tend_released();
  void say_cleaned();

  Draft draft(const EventId* migration, Epoch epoch) const;
  // Gives its time; of one that the log refuses, the present.
  HybridTime publish(Draft event);
  std::string name() const;
  std::string tenant() const;
  template <class T>
  Reply<T> reply(Duration deadline, std::function<void(absl::StatusOr<T>)> then);

  ExecutorShared& shared_;
  const std::string vm_;
  bool busy_ = false;
  bool forgotten_ = false;
  bool failed_reported_ = false;
  int failed_boots_ = 0;
  bool booted_ = false;  // the copy that is here was made anew, and has not executed yet
  TimerId wake_ = 0;

  bool record_known_ = false;
  std::optional<LeaseRecord> record_;
  Instant record_asked_{}, record_told_{};  // when its newest state was asked for, and told
  bool reading_ = false;
  Instant holder_lost_since_ = far_future;  // when its session was first seen ended ...
  SessionId lost_session_;                  // ... which was this one
  std::optional<Message<schema::VmSpec>> spec_;

  Won won_;
  // the last epoch swap sent, and under which session: found in the record, it was won
  std::string last_swap_id_;
  SessionId last_swap_session_;
  SessionId define_session_;
  std::string define_swap_id_;  // of which vm.defined has not been said
  Instant define_sent_{};
  // epochs up to this have executed, or may have: never resumed at again
  Epoch consumed_ = 0;
  Epoch resumed_said_ = 0;  // the highest of which vm.resumed was published here
  std::set<Epoch> asked_by_copy_;
  std::map<Epoch, SessionId> asked_by_boot_;
  std::string start_reason_;
  std::string memory_lost_;   // why; until it executes again
  Epoch memory_lost_at_ = 0;  // of which the log has it
  struct Loss {               // as schema::VmStarted says it
    std::int64_t silent_ns = 0;
    bool flushes_kept = false;
  };
  std::optional<Loss> loss_;  // by a takeover whose guest has not yet begun
  // The epoch of that takeover, also one before this process: what it lost is still to be said. 0: nothing is.
  Epoch unsaid_takeover_ = 0;

  std::optional<Outgoing> out_;
  HybridTime accepted_time_, paused_time_;
  TransferProgress progress_;
  Instant sending_since_{};
  bool post_copy_asked_ = false;           // of the hypervisor
  std::optional<schema::Method> planned_;  // as it was said; nullopt: nothing was yet
  bool stream_broken_ = false;             // ... of a post-copy
  Instant progressed_{};                   // when its progress was told last
  Instant hopeless_since_ = far_future;
  std::vector<std::function<void(absl::Status)>> cancel_waiters_;

  std::optional<Incoming> in_;
  // by the source's word, which may come before the record's
  std::optional<std::pair<EventId, Instant>> expected_;
  // from the log: prepared here before the executor was restarted
  std::optional<Incoming> recovered_in_;
  EventId dropped_;  // the last incoming migration that was given up
  std::vector<Answer> switch_over_answers_;
  // What the source told for migration.completed.
  struct Figures {
    HybridTime accepted, paused;
    std::uint64_t sent_bytes = 0;
    std::uint32_t passes = 0;
  } figures_;
  std::optional<HybridTime> resumed_time_;
  std::string committed_from_;
  std::optional<Released> released_;
  std::optional<Aborted> aborted_;  // the last one
  std::deque<EventId> ends_known_;  // said here, or heard of; the newest
  bool saying_end_ = false;         // on its way to the log
  Duration ask_delay_;
  TimerId ask_timer_ = 0;
  Instant standbys_due_{};                        // when they are asked for again
  Duration standbys_delay_ = standbys_delay_min;  // ... after an asking that failed
  std::shared_ptr<bool> alive_;  // completions of a worker that was forgotten find it false
};

}  // namespace supercloud
