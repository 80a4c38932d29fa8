// A few nodes, one of which has an archive, over a log in memory or on disk.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/archive/archive.h"
#include "core/event_loop.h"
#include "storage/rocks_event_log.h"
#include "tests/actors/market_world.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {

// A log on disk for a test in virtual time: every call waits for it.
class WaitedLog final : public EventLog {
 public:
  WaitedLog(Scheduler& scheduler, EventPool& pool, const std::string& path)
      : scheduler_(scheduler),
        log_(*RocksEventLog::open(loop_, pool, {.path = path, .node = "home"})) {}

  void append(std::vector<Event> events, std::optional<Reservation> reserve,
              Reply<Done> reply) override {
    wait<Done>(std::move(reply), [&](Reply<Done> done) {
      log_->append(std::move(events), std::move(reserve), std::move(done));
    });
  }
  void read(std::uint64_t from, Pattern pattern, std::size_t limit, Reply<LogPage> reply) override {
    wait<LogPage>(std::move(reply), [&](Reply<LogPage> done) {
      log_->read(from, std::move(pattern), limit, std::move(done));
    });
  }
  void seek(LogBeginning beginning, Pattern pattern, Reply<std::uint64_t> reply) override {
    wait<std::uint64_t>(std::move(reply), [&](Reply<std::uint64_t> done) {
      log_->seek(std::move(beginning), std::move(pattern), std::move(done));
    });
  }
  void read_stream(StreamRange range, std::size_t bytes_max, Reply<StreamPart> reply) override {
    wait<StreamPart>(std::move(reply), [&](Reply<StreamPart> done) {
      log_->read_stream(std::move(range), bytes_max, std::move(done));
    });
  }
  OriginState origin(std::string_view name) const override { return log_->origin(name); }
  std::vector<std::string> origins() const override { return log_->origins(); }

 private:
  template <class T, class Call>
  void wait(Reply<T> reply, Call call) {
    std::optional<absl::StatusOr<T>> value;
    call(Reply<T>(far_future, [&](absl::StatusOr<T> done) { value = std::move(done); }));
    loop_.run_until([&] { return value.has_value(); }, absl::Seconds(30));
    scheduler_.post([reply = std::move(reply), value = *std::move(value)]() mutable {
      reply(std::move(value));
    });
  }

  Scheduler& scheduler_;
  EventLoop loop_;
  std::unique_ptr<RocksEventLog> log_;
};

enum class LogKind { memory, rocks };

class ArchiveWorld : public MarketWorld {
 protected:
  explicit ArchiveWorld(LogKind kind = LogKind::memory) : kind_(kind) {}
  ~ArchiveWorld() override {
    for (auto& [name, node] : nodes) node->crash();
    archive.reset();
  }

  // The node "home", with its archive; again after crash("home").
  TestNode& start_home(ArchiveOptions options = {}) {
    archive.reset();
    TestNode& home = start("home");
    if (kind_ == LogKind::memory) {
      auto log = std::make_unique<MemoryEventLog>(scheduler, pool_, disk);
      memory = log.get();
      archive = std::move(log);
    } else {
      archive = std::make_unique<WaitedLog>(scheduler, pool_, (folder_ / "archive"));
    }
    home.node->spawn(archive_actor, [this, options](Context& context) {
      return std::make_unique<Archive>(context, *archive, options);
    });
    run(absl::Seconds(1));
    return home;
  }
  // With its disk.
  void lose(const std::string& name) {
    crash(name);
    nodes.at(name)->disk = MemoryLogDisk();
  }
  // "home" has the archive, and "gone" has spoken and is gone with its disk.
  void start_home_and_lose_one() {
    start_home();
    say(start("gone"), "said by who is gone");
    run(absl::Seconds(3));
    lose("gone");
    run(absl::Seconds(5));
  }

  Event say(TestNode& node, const std::string& subject) {
    return publish(node, subject, [](schema::Payload::Builder payload) {
      payload.initInstanceLaunched().setInstance("i");
    });
  }

  // All that is in a log, as bytes; without origins "NODE/node".
  std::vector<std::string> all_of(TestNode& asker, const Address& log, const std::string& pattern) {
    std::vector<std::string> found;
    std::uint64_t from = 0;
    while (true) {
      const auto request = Message<schema::Request>::build([&](auto builder) {
        auto read = builder.initReadLog();
        read.setFrom(from);
        read.setPattern(pattern);
        read.setLimit(1000);
      });
      const auto page = ask(asker, log, request, absl::Milliseconds(100));
      if (!page.ok()) {
        ADD_FAILURE() << page.status();
        return found;
      }
      for (const auto data : page->reader().getLog().getEvents())
        found.emplace_back(reinterpret_cast<const char*>(data.begin()), data.size());
      if (page->reader().getLog().getEnd()) return found;
      from = page->reader().getLog().getNext();
    }
  }
  std::vector<std::string> archived(const std::string& pattern = "instance.>") {
    return all_of(*nodes.at("home"), {"home", archive_actor}, pattern);
  }
  std::vector<std::string> subjects(const std::string& pattern = "instance.>") {
    std::vector<std::string> found;
    for (const std::string& bytes : archived(pattern)) {
      const auto event =
          pool_.parse({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
      found.push_back(event.ok() ? event->subject() : event.status().ToString());
    }
    return found;
  }

  const LogKind kind_;
  EventPool pool_;
  TemporaryFolder folder_;
  MemoryLogDisk disk;
  std::unique_ptr<EventLog> archive;
  MemoryEventLog* memory = nullptr;  // it, if it is in memory
};

}  // namespace supercloud
