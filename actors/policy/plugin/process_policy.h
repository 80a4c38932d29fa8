// A policy that is a program of its user's, in any language, run as a process under this one. Everything foreign is a process: a
// shared object too, in one of this program's own (policy_host.h), so that what hangs or crashes there takes no node with it.
//
//   down --(pause is over)--> starting --hello--> ready --(ended, killed)--> down
//
// Its process starts with this object. It is asked one question at a time; the others wait, each for its deadline at most. It is killed
// when it says no hello in time, or when it leaves several questions in a row without an answer; when it ends, however, it is
// started again after a pause that grows while it answers nothing well, or, if there is a limit, no more. Whatever fails is the error
// of each question that it fails.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "actors/policy/plugin/child_process.h"
#include "actors/policy/plugin/policy_wire.h"
#include "actors/policy/policy.h"
#include "core/event_loop.h"

namespace supercloud {

class ZmqSocket;

struct ProcessPolicyOptions {
  std::string name;      // in the registry
  std::string file;      // its user's, for messages
  ChildCommand command;  // the endpoint is added: the last argument, and SUPERCLOUD_POLICY_ENDPOINT
  // For an answer; less than the asking actor's own, so that the reason gets there.
  Duration deadline = absl::Milliseconds(800);
  Duration start_deadline = absl::Seconds(10);  // for its hello
  Duration pause_min = absl::Milliseconds(100);
  Duration pause_max = absl::Minutes(1);
  int silences_max = 3;            // questions in a row without an answer
  int failures_max = 0;            // ends in a row, after which it stays down; 0: no limit
  std::size_t waiting_max = 1024;  // questions
};

// Thread-bound to its loop. Destroyed, it ends its process; the questions that are open then are never answered.
class ProcessPolicy final : public Policy {
 public:
  ProcessPolicy(EventLoop& loop, ProcessPolicyOptions options);
  ~ProcessPolicy() override;
  ProcessPolicy(const ProcessPolicy&) = delete;
  ProcessPolicy& operator=(const ProcessPolicy&) = delete;

  std::string name() const override { return options_.name; }
  // DeadlineExceeded: late. Unavailable: it is not there, and why. InvalidArgument: what it said is no decision. Aborted: it says
  // itself that it cannot decide. ResourceExhausted: too many questions wait. FailedPrecondition: it is still starting.
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override;

  // Runs once: at once where it has said hello or is down, else when it does or is.
  using Greeted = std::function<void(absl::StatusOr<PolicyGreeting>)>;
  void on_greeting(Greeted greeted);
  // Neither ready nor down for good.
  bool starting() const;
  // 0: it has none at this moment.
  pid_t pid() const { return child_ ? child_->pid() : 0; }

 private:
  struct Question {
    std::uint64_t id = 0;
    Message<schema::World> world;
    Reply<Message<schema::Decision>> reply;
    Instant from, deadline;
    TimerId timer = 0;
  };

  absl::Status open_socket();
  void start();
  void kill_because(std::string why);
  void ended(const std::string& how);
  void pause_after(absl::Status why);
  void hear(absl::Span<const std::string_view> frames);
  void heard(std::string_view identity, absl::StatusOr<PolicyWord> word);
  void ask_next();
  void expire(std::uint64_t id);
  void answer(Question question, absl::StatusOr<Message<schema::Decision>> decision);

  EventLoop& loop_;
  const ProcessPolicyOptions options_;
  std::unique_ptr<ZmqSocket> socket_;
  std::string endpoint_;
  std::unique_ptr<ChildProcess> child_;  // null: down
  PolicyGreeting greeting_;              // of the last hello
  std::string peer_;                     // its identity on the socket; empty: no hello yet
  std::string kill_reason_;              // empty: it was not killed
  absl::Status down_;                    // why it is down
  Instant restart_at_;                   // while it is down; far_future: never
  TimerId timer_ = 0;                    // of the pause, or of the start
  int failures_ = 0;                     // in a row
  int silences_ = 0;
  std::uint64_t last_id_ = 0;
  std::optional<Question> asked_;
  std::deque<std::uint64_t> unanswered_;  // given up, and its process may answer them yet; in order
  std::string nonsense_;                  // that it said since the last good word
  std::deque<Question> waiting_;
  Greeted greeted_;
};

}  // namespace supercloud
