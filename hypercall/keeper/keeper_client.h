// A daemon's side of a guest's keeper (protocol.h): starts one, finds it again by its socket, moves its deadline.
//
//   start() ──▶ starting ──▶ it answers: the reply brings a client          find() ──▶ it answers: a client
//                   └──────▶ it ended, or is late: the error says why           └────▶ NotFound: none, killed, or not up yet
//
//   sweep() ──▶ done: nothing of a keeper and its guest lives there
//      ├──────▶ FailedPrecondition: a keeper holds its lock: it lives        └────▶ Unavailable: not carried out, so nothing is known
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/event_loop.h"
#include "core/reply.h"
#include "core/time.h"

namespace supercloud {

struct KeeperState {
  enum class Phase : std::uint8_t { running, freezing, frozen, ended };
  Phase phase = Phase::ended;
  std::optional<Instant> deadline;
  std::uint64_t freezes = 0;  // ever: a difference tells of a freeze in between
  pid_t guest = 0;            // 0: ended
  std::string freezer;        // cgroup2, cgroup1 or signal
  std::string end;            // "exit=0", "signal=9", "keeper lost"; empty: it has not ended
};

// What a keeper answers: its state, FailedPrecondition with the words of its "error ...", or InvalidArgument: it is no answer.
absl::StatusOr<KeeperState> parse_keeper_answer(std::string_view packet);

struct KeeperOptions {
  std::string program;               // supercloud-keeper
  std::string socket;                // below 108 bytes, in a folder of this user's own
  std::string freezer = "auto";      // or cgroup, or signal
  std::string cgroup;                // to make the guest's in; empty: this process's own
  std::string output = "/dev/null";  // appended to: what keeper and guest say
  std::vector<std::string> guest;    // program and arguments
};

// Thread-bound to its loop. Guest and keeper outlive it, and the process.
class KeeperClient {
 public:
  // How long a keeper may take to answer: it freezes first, if its deadline has passed.
  static constexpr Duration answer_time_max = absl::Milliseconds(500);
  // The end of one that was killed, or has cut this connection: nothing is known of its guest but by find() and sweep().
  static constexpr const char* lost = "keeper lost";
  // At every change but that of the deadline, from the loop; "ended" is the last.
  using Changed = std::function<void(const KeeperState&)>;

  // Starts the guest under a keeper, without a deadline: its vCPUs do not run yet. What an earlier keeper of this socket has left is
  // removed. Neither is a child of this process, nor has any of its descriptors. AlreadyExists: a keeper lives there.
  // FailedPrecondition: it did not start, and has ended, or is killed as it was late; with the last words of its output.
  static void start(EventLoop& loop, const KeeperOptions& options, Changed changed,
                    Reply<std::unique_ptr<KeeperClient>> reply);
  // NotFound: nobody listens, which proves nothing: a keeper that starts does not listen yet. Unavailable: it has not answered within
  // answer_time_max; it may be stopped.
  static void find(EventLoop& loop, std::string socket, Changed changed,
                   Reply<std::unique_ptr<KeeperClient>> reply);
  // Blocks for as long.
  static absl::StatusOr<std::unique_ptr<KeeperClient>> find(EventLoop& loop, std::string socket,
                                                            Changed changed);
  // Removes what a keeper that was killed has left: processes of its guest, socket, cgroup. Replies when that is done, which proves that
  // the keeper is dead. FailedPrecondition: one lives, whatever state it is in. Any other error: it could not be carried out, as when no
  // cgroup freezes, or the program cannot be executed, and proves nothing. With the last words of its output, which is start()'s, as are
  // program and freezer.
  static void sweep(EventLoop& loop, KeeperOptions options, Reply<Done> reply);

  ~KeeperClient();
  KeeperClient(const KeeperClient&) = delete;
  KeeperClient& operator=(const KeeperClient&) = delete;

  // Each blocks for up to answer_time_max, usually for less than a millisecond, and has taken effect when it returns the state
  // thereafter. FailedPrecondition: the keeper refuses (protocol.h). NotFound: it is gone. Unavailable: it does not answer; the command
  // takes effect, in its order, if it ever goes on, unless its socket is full of earlier ones: then it is not sent. Until it has answered
  // what it was asked before, it is not waited for again: a keeper that is stopped holds up its daemon once.
  absl::StatusOr<KeeperState> status() { return ask("status"); }
  absl::StatusOr<KeeperState> arm(Instant deadline);
  absl::StatusOr<KeeperState> thaw(Instant deadline);
  absl::StatusOr<KeeperState> disarm() { return ask("disarm"); }
  // Replies with the end when all processes of the guest are gone; at once if they are.
  void kill(Reply<KeeperState> reply);

  const std::string& socket() const { return socket_; }
  // What it told last, at the latest change but for the deadline. Does not ask.
  const KeeperState& told() const { return last_; }

 private:
  struct Finding;
  KeeperClient(EventLoop& loop, std::string socket, Changed changed);
  absl::Status connect();
  absl::Status begin(absl::StatusOr<KeeperState> state);
  absl::StatusOr<KeeperState> ask(const std::string& command);
  void on_watched();
  void end(std::string how);

  EventLoop& loop_;
  const std::string socket_;
  Changed changed_;
  int commands_ = -1;     // -1: to be made again
  std::size_t owed_ = 0;  // answers to commands that were not waited for
  int watched_ = -1;      // -1: ended
  KeeperState last_;
  std::vector<Reply<KeeperState>> killed_;
};

}  // namespace supercloud
