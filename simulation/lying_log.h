// An archive that makes up what others have said: some of the events that it answers with say that they were
// reconstructed.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/event_log.h"
#include "core/random.h"

namespace supercloud {

// What its publisher did not say: that it was reconstructed.
Event reconstructed(EventPool& pool, const Event& event);

// Thread-bound. The log behind it, and the pool, outlive it.
class LyingLog final : public EventLog {
 public:
  LyingLog(EventLog& real, EventPool& pool, Random random)
      : real_(real), pool_(pool), random_(random) {}

  void append(std::vector<Event> events, std::optional<Reservation> reserve,
              Reply<Done> reply) override {
    real_.append(std::move(events), std::move(reserve), std::move(reply));
  }
  void read(std::uint64_t from, Pattern pattern, std::size_t limit, Reply<LogPage> reply) override {
    real_.read(from, std::move(pattern), limit, std::move(reply));
  }
  void seek(LogBeginning beginning, Pattern pattern, Reply<std::uint64_t> reply) override {
    real_.seek(std::move(beginning), std::move(pattern), std::move(reply));
  }
  void read_stream(StreamRange range, std::size_t bytes_max, Reply<StreamPart> reply) override;
  OriginState origin(std::string_view name) const override { return real_.origin(name); }
  std::vector<std::string> origins() const override { return real_.origins(); }

 private:
  EventLog& real_;
  EventPool& pool_;
  Random random_;
};

}  // namespace supercloud
