// A QEMU over its QMP socket, on the event loop of its actors.
//
//   greeting ──▶ negotiating ──▶ ready ──▶ lost
//      └───────────────┴──────────▲  closed by QEMU, silent, or nonsense: commands under way are Unavailable
//
// Commands are sent in their order; so many that QEMU goes on reading. Each is answered once: by QEMU, at its deadline, or at the
// loss, which is told after them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "core/event_loop.h"
#include "core/reply.h"
#include "hypercall/qemu/qmp_message.h"

namespace supercloud {

struct QmpClientOptions {
  std::string vm;  // named in errors
  // So long a command may wait for its answer unless its Reply says less: DeadlineExceeded. Its effect is then unknown.
  Duration answer_max = absl::Seconds(10);
  Duration greeting_max =
      absl::Seconds(20);          // until it is ready; a QEMU that starts has much to do
  std::size_t commands_max = 64;  // under way; ResourceExhausted beyond
};

struct QmpHandler {
  // May be null. Neither is called from inside execute().
  absl::AnyInvocable<void(const QmpEvent& event)> on_event;
  absl::AnyInvocable<void(const absl::Status& why)> on_lost;
  // What the owner knows of the end of this QEMU, as ", exit status 1: no such file": asked once, at the loss, which is told when it has
  // been answered, or obituary_max later. May be null.
  absl::AnyInvocable<void(Reply<std::string> obituary)> obituary;
};

// Thread-bound to its loop. May be destroyed in a call of its own; replies that are still to come go with it, uncalled.
class QmpClient {
 public:
  static constexpr Duration obituary_max = absl::Milliseconds(500);

  // Takes `fd`, a connected socket.
  QmpClient(EventLoop& loop, int fd, QmpClientOptions options, QmpHandler handler);
  // Connects to the socket at `path`: at once, or Unavailable.
  static absl::StatusOr<std::unique_ptr<QmpClient>> connect(EventLoop& loop,
                                                            const std::string& path,
                                                            QmpClientOptions options,
                                                            QmpHandler handler);
  ~QmpClient();
  QmpClient(const QmpClient&) = delete;
  QmpClient& operator=(const QmpClient&) = delete;

  // An error that QEMU answers is Unknown, NotFound for a command that it has not, and quotes it. `fd` is sent along (and stays the
  // caller's); -1: none.
  void execute(std::string command, QmpValue arguments, Reply<QmpValue> reply, int fd = -1);
  void execute(std::string command, Reply<QmpValue> reply) {
    execute(std::move(command), QmpValue::object(), std::move(reply));
  }

  bool ready() const { return state_ == State::ready; }
  bool lost() const { return state_ == State::lost; }
  // Of the greeting; zeros before it.
  const QemuVersion& version() const { return version_; }

 private:
  enum class State : std::uint8_t { greeting, negotiating, ready, lost };
  // QEMU stops reading when eight wait for it.
  static constexpr std::size_t in_flight_max = 7;

  struct Line {
    std::string text;
    int fd = -1;  // ours
    std::size_t written = 0;
  };
  struct Command {
    std::string name;
    Line line;  // until it is sent
    Reply<QmpValue> reply;
    TimerId deadline = 0;
  };

  std::uint64_t add(std::string command, const QmpValue& arguments, Reply<QmpValue> reply, int fd);
  void send_some();
  bool write_line();
  void on_ready(std::uint32_t events);
  void read_some();
  bool take_lines();
  bool take(std::string_view line);
  void take_answer(QmpAnswer answer);
  void negotiate(const QmpGreeting& greeting);
  void expire(std::uint64_t id);
  void lose(std::string why);
  void bury(const std::string& obituary);
  absl::Status error_of(const std::string& command, const QmpAnswer& answer) const;
  void later(Task task);

  EventLoop& loop_;
  int fd_;
  const QmpClientOptions options_;
  QmpHandler handler_;
  State state_ = State::greeting;
  QemuVersion version_;
  std::string in_;
  std::string why_;  // it is lost
  TimerId greeting_timer_ = 0;
  TimerId obituary_timer_ = 0;
  std::uint64_t last_id_ = 0;
  std::uint64_t negotiation_ = 0;              // the id of qmp_capabilities
  std::map<std::uint64_t, Command> commands_;  // under way, in their order
  std::deque<std::uint64_t> waiting_;          // to be sent
  std::optional<Line> line_;                   // being sent
  std::size_t in_flight_ = 0;                  // sent, not answered, in time or not
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace supercloud
