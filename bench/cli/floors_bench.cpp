// What the choreography stands on, one by one: a swap at the lease site, a durable event, a sync of the disk. Its times are to be
// read as multiples of these.

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "bench/cli/cluster.h"
#include "bus/zmq_bus.h"
#include "core/node.h"
#include "storage/lease_codec.h"
#include "storage/lease_site.h"
#include "storage/rocks_event_log.h"

namespace supercloud {
namespace {

constexpr Duration answer_deadline = absl::Seconds(10);
constexpr Duration renew_interval = absl::Seconds(10);

void skip(benchmark::State& state, const absl::Status& why) {
  state.SkipWithError(std::string(why.message()).c_str());
}

// A new epoch of a record, as a target's commit is one: asked for over the bus, synced by the site, answered.
void lease_swap_round_trip(benchmark::State& state) {
  const auto cluster = BenchCluster::start(false);
  if (!cluster.ok()) return skip(state, cluster.status());
  ClusterClient& client = (*cluster)->client();
  const Address site{"site", std::string(lease_site_actor)};
  const auto opened =
      client.ask(site, Message<schema::Request>::build([](schema::Request::Builder builder) {
                   auto open = builder.initOpenSession();
                   open.setNode("bench");
                   open.setIdentity("bench");
                 }),
                 answer_deadline);
  if (!opened.ok()) return skip(state, opened.status());
  Swap swap;
  swap.key = "role/bench";
  swap.session = std::string(text(opened->reader().getSession().getId()));
  const auto renew = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { builder.setRenewSession(swap.session); });
  const auto send = [&] {
    swap.swap_id = absl::StrCat("bench-", swap.epoch);
    const auto request = Message<schema::Request>::build(
        [&](schema::Request::Builder builder) { write_swap(swap, builder.initSwap()); });
    return client.ask(site, request, answer_deadline);
  };
  const auto won = [&](const absl::StatusOr<Message<schema::Response>>& answer) {
    if (!answer.ok() || !answer->reader().isSwapResult()) return false;
    const auto result = answer->reader().getSwapResult();
    return result.getWon() && result.getLease().getEpoch() == ++swap.epoch;
  };
  bool good = won(send());
  swap.kind = SwapKind::RESTART;
  Instant renewed = client.loop().clock().now();
  for (auto unused : state) {
    (void)unused;
    const auto answer = send();
    good = good && won(answer);
    if (!good) break;
    if (client.loop().clock().now() - renewed < renew_interval) continue;
    state.PauseTiming();
    good = client.ask(site, renew, answer_deadline).ok();
    renewed = client.loop().clock().now();
    state.ResumeTiming();
  }
  if (!good) state.SkipWithError("a swap was not won at the next epoch");
}

class Teller final : public Actor {
 public:
  explicit Teller(Context& context) : context_(context) {}
  void receive(const Event&) override {}
  void tell(std::function<void(absl::Status)> logged) {
    Draft draft = context_.draft("web1");
    draft.payload().initMigrationCleaned().setNode(context_.node());
    context_.publish(std::move(draft), std::move(logged));
  }

 private:
  Context& context_;
};

// One durable event of an actor, until it is on disk.
void durable_publish(benchmark::State& state) {
  const TemporaryFolder folder;
  EventPool pool;  // outlives the loop, which may hold a log's answer with its events to the end
  EventLoop loop;
  const auto log =
      RocksEventLog::open(loop, pool, {.path = (folder.path() / "log").string(), .node = "bench"});
  if (!log.ok()) return skip(state, log.status());
  ZmqBusOptions options;
  options.name = "bench";
  options.publish_bind = absl::StrCat("ipc://", (folder.path() / "pub").string());
  options.request_bind = absl::StrCat("ipc://", (folder.path() / "req").string());
  const auto bus = ZmqBus::open(loop, pool, options);
  if (!bus.ok()) return skip(state, bus.status());
  Node node({loop, **bus, **log, pool}, {.name = "bench"});
  Teller* teller = nullptr;
  node.spawn("teller", [&teller](Context& context) {
    auto made = std::make_unique<Teller>(context);
    teller = made.get();
    return made;
  });
  std::size_t asked = 0, told = 0;
  const auto tell = [&] {
    ++asked;
    teller->tell([&told](const absl::Status& status) { told += status.ok() ? 1 : 0; });
    return loop.run_until([&] { return told == asked; }, answer_deadline);
  };
  bool good = tell();  // the first one reserves its block of numbers
  for (auto unused : state) {
    (void)unused;
    good = good && tell();
    if (!good) break;
  }
  std::optional<absl::StatusOr<LogPage>> page;
  (*log)->read(0, Pattern::of("migration.cleaned.>"), asked,
               Reply<LogPage>(far_future,
                              [&page](absl::StatusOr<LogPage> read) { page = std::move(read); }));
  loop.run_until([&] { return page.has_value(); }, answer_deadline);
  const bool logged = page && page->ok() && !(**page).events.empty();
  if (!good || !logged) state.SkipWithError("an event did not come to the log");
}

// The floor of the floors: 4 KiB more in a file, and a sync.
void file_append_sync(benchmark::State& state) {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "file").string();
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  const absl::Cleanup close_fd = [fd] { ::close(fd); };
  std::array<char, 4096> block{};
  std::uintmax_t written = 0;
  bool good = fd >= 0;
  for (auto unused : state) {
    (void)unused;
    good = good && ::write(fd, block.data(), block.size()) == static_cast<ssize_t>(block.size()) &&
           ::fdatasync(fd) == 0;
    if (!good) break;
    written += block.size();
  }
  std::error_code error;
  if (!good || std::filesystem::file_size(path, error) != written)
    state.SkipWithError("the file is not what was written");
}

BENCHMARK(lease_swap_round_trip)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(durable_publish)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(file_append_sync)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace supercloud
