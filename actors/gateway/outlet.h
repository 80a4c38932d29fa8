// Where the messages of one reader go: a bounded queue between the bus's thread, which never waits, and the one that writes to the network.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "actors/gateway/metrics.h"
#include "actors/reading/reading.h"

namespace supercloud {

// What a reading needs of it. Called on the bus's thread.
class Outlet {
 public:
  virtual ~Outlet() = default;
  // `id`: where the reader stands once it has it. False: there is no room, and nothing was taken.
  virtual bool offer(std::string_view id, std::string_view type, std::string_view json) = 0;
  // False: half of the room is taken; the reading is told when there is more again.
  virtual bool has_room() = 0;
  // Nothing more is offered. `slow`: why; nothing: all that was asked for has been offered. `id`: as above.
  virtual void end(std::string_view id, std::optional<SlowReader> slow) = 0;
};

// As an event stream. Thread-safe; the callbacks run on the thread whose call causes them, outside of any lock.
class StreamOutlet final : public Outlet {
 public:
  struct Callbacks {
    std::function<void()> readable;  // take() has something, after it had nothing
    std::function<void()> room;      // has_room() again, after it had said no
  };
  StreamOutlet(std::size_t bytes_max, GatewayMetrics& metrics, Callbacks callbacks);

  bool offer(std::string_view id, std::string_view type, std::string_view json) override;
  bool has_room() override;
  void end(std::string_view id, std::optional<SlowReader> slow) override;

  struct Taken {
    std::string bytes;
    bool ended = false;  // nothing follows
  };
  // All that waits. It takes room until written().
  Taken take();
  void written();
  // Its reader has gone: nothing more is taken from the reading, nor counted. Last of its calls by whoever writes.
  void close();
  // It was ended at once, its reader being too slow.
  bool cut() const { return cut_; }

 private:
  void change_queued(std::size_t to);

  const std::size_t bytes_max_;
  GatewayMetrics& metrics_;
  const Callbacks callbacks_;
  std::mutex mutex_;  // guards all below
  std::string bytes_;
  std::size_t in_flight_ = 0;
  std::size_t queued_ = 0;  // both
  bool writing_ = false;    // told of by `readable`, or taken and not yet written
  bool starved_ = false;    // has_room() said no
  bool ended_ = false;
  std::atomic<bool> cut_ = false;
};

// As one array, application/cloudevents-batch+json. Thread-bound to the hub's, but for its making.
class BatchOutlet final : public Outlet {
 public:
  static constexpr std::size_t bytes_max = 4 << 20;

  // `done`, once: the array, and the cursor behind it.
  using Done = std::function<void(std::string array, std::string cursor)>;
  explicit BatchOutlet(Done done) : done_(std::move(done)) {}

  bool offer(std::string_view id, std::string_view type, std::string_view json) override;
  bool has_room() override { return array_.size() < bytes_max; }
  void end(std::string_view id, std::optional<SlowReader> slow) override;

 private:
  Done done_;
  std::string array_;
};

}  // namespace supercloud
