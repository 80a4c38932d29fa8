// Requests that take long: how far each is, and that nobody waits for its answer any more. What the implementations of the bus share, without
// what carries it: requests to two actors of the bus itself, "bus.cancel" and "bus.progress" (bus/zmq_wire.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "core/reply.h"
#include "core/scheduler.h"

namespace supercloud {

// No actor has such a name.
inline constexpr std::string_view cancel_actor = "bus.cancel";
inline constexpr std::string_view progress_actor = "bus.progress";
inline bool is_call_actor(std::string_view actor) {
  return actor == cancel_actor || actor == progress_actor;
}

// What a request ends with whose asker has cancelled it.
absl::Status nobody_waits_for(std::string_view actor);

inline constexpr std::size_t progress_text_max = 1024;  // bytes of Progress::what

// To progress_actor: of which request, and the number of what was heard of it last; 0: nothing.
struct ProgressQuestion {
  std::uint64_t id = 0;
  std::uint64_t heard = 0;
};
// What it answers, when there is something newer.
struct ProgressAnswer {
  std::uint64_t number = 0;  // 1, 2, ... within a request
  Progress progress;
};

// The id of the request to cancel.
std::string encode_cancel(std::uint64_t id);
std::string encode(const ProgressQuestion& question);
// A text that is too long is cut, at a whole character; one that is no UTF-8 is left out.
std::string encode(const ProgressAnswer& answer);
// InvalidArgument says what is wrong with it.
absl::StatusOr<std::uint64_t> decode_cancel(std::string_view bytes);
absl::StatusOr<ProgressQuestion> decode_progress_question(std::string_view bytes);
absl::StatusOr<ProgressAnswer> decode_progress_answer(std::string_view bytes);

// The requests of other processes that are not answered yet: of each the newest progress, and at most one who waits for newer.
// Thread-bound. Asked by who is connected, `asker`, about its own requests alone.
class OpenCalls {
 public:
  static constexpr std::size_t calls_max = 4096;
  static constexpr std::size_t calls_of_one_max = 256;

  // For the Reply of who answers, with progress wanted: whether its asker asks for that is not known yet. Null: as many are open as may be, or
  // one of that id is; this one tells nothing, and cannot be cancelled.
  std::shared_ptr<Call> open(const std::string& asker, std::uint64_t id);
  // It is answered.
  void close(const std::string& asker, std::uint64_t id);
  // A request to cancel_actor or progress_actor.
  void serve(const std::string& asker, std::string_view actor, std::string_view bytes,
             Reply<std::string> reply);
  std::size_t size() const { return size_; }

 private:
  struct Open {
    std::weak_ptr<Call> call;  // gone: who should have answered has dropped it
    ProgressAnswer newest;
    Reply<std::string> waiting;
  };
  using OfOne = std::map<std::uint64_t, Open>;

  Open* find(const std::string& asker, std::uint64_t id);
  Open take(const std::string& asker, std::uint64_t id);
  void cancel(const std::string& asker, std::uint64_t id, Reply<std::string> reply);
  void ask(const std::string& asker, const ProgressQuestion& question, Reply<std::string> reply);
  void told(const std::string& asker, std::uint64_t id, const Progress& progress);
  void forget_dropped();

  std::map<std::string, OfOne> open_;
  std::size_t size_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

// Who asks: hears how far its requests to others are. One question at a time for each, the first when the request is `interval` old, the next
// as long after an answer: what is answered soon costs nothing. Thread-bound.
class CallWatcher {
 public:
  static constexpr Duration interval = absl::Milliseconds(100);
  static constexpr Duration patience = absl::Seconds(10);  // then it is asked again

  // Asks progress_actor of that node, which is asked directly.
  using Ask =
      std::function<void(const std::string& node, std::string question, Reply<std::string> reply)>;
  CallWatcher(Scheduler& scheduler, Ask ask) : scheduler_(scheduler), ask_(std::move(ask)) {}
  ~CallWatcher();
  CallWatcher(const CallWatcher&) = delete;
  CallWatcher& operator=(const CallWatcher&) = delete;

  // The request of that id has left. Nothing happens if nobody wants to hear of it.
  void watch(std::uint64_t id, const std::string& node, const std::shared_ptr<Call>& call);
  // It is answered, or given up.
  void end(std::uint64_t id);

 private:
  struct Watch {
    std::string node;
    std::shared_ptr<Call> call;
    std::uint64_t heard = 0;
    TimerId timer = 0;
  };

  void arm(std::uint64_t id);
  void ask(std::uint64_t id);
  void answered(std::uint64_t id, const absl::StatusOr<std::string>& bytes);

  Scheduler& scheduler_;
  const Ask ask_;
  std::map<std::uint64_t, Watch> watches_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace supercloud
