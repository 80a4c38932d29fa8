// Our XenStore client beside libxenstore, with the same real daemon, the C one and then the OCaml one, in the same run: operations of
// ours and the same of libxenstore's take turns, so that what disturbs one disturbs the other. And from a change in the store to its
// event on the bus. A ratio that is above the bar for nine of ten batches, of twenty or more, is labelled as missed.
#include <benchmark/benchmark.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hypercall/xen/store_client.h"
#include "tests/hypercall/xen/inventory_node.h"
#include "tests/hypercall/xen/stand_in.h"

extern "C" {  // it does not say so itself
#include <xenstore.h>
}

namespace supercloud {
namespace {

constexpr Duration patience = absl::Seconds(10);
constexpr const char* node_path = "/tool/bench";
constexpr std::size_t batch = 50;        // pairs whose medians make one ratio
constexpr std::size_t batches_min = 20;  // for a verdict
constexpr double ratio_max = 1.1;

double now_us() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::micro>(since).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double quantile(std::vector<double> values, double share) {
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(values.size() - 1) * share);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

// A daemon, and a connection of each client. Made once: a start takes longer than a tiny run may.
struct Stage {
  XenStandIn xen;
  XenDaemon daemon;
  absl::Status started = daemon.start();
  EventLoop loop;
  XenStoreClient ours{loop, {.path = daemon.socket()}};
  XenStoreClient writer{loop, {.path = daemon.socket()}};
  xs_handle* raw = nullptr;
  xs_handle* raw_watcher = nullptr;

  explicit Stage(XenDaemon::Kind kind) : daemon(kind, xen) {
    ::setenv("XENSTORED_PATH", daemon.socket().c_str(), 1);
    raw = xs_open(0);
    raw_watcher = xs_open(0);
  }
  ~Stage() {
    xs_close(raw);
    xs_close(raw_watcher);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  template <class T>
  bool wait(const std::function<void(Reply<T>)>& call) {
    std::optional<bool> done;
    call(Reply<T>(far_future, [&done](const absl::StatusOr<T>& value) { done = value.ok(); }));
    loop.run_until([&] { return done.has_value(); }, patience);
    return done.value_or(false);
  }
};

// Null: no such daemon on this machine.
Stage* stage(const benchmark::State& state) {
  const auto kind = static_cast<XenDaemon::Kind>(state.range(0));
  if (!XenDaemon::available(kind)) return nullptr;
  static std::map<XenDaemon::Kind, Stage> all;
  return &all.try_emplace(kind, kind).first->second;
}

void both_daemons(benchmark::internal::Benchmark* of) {
  of->ArgName("ocaml")->Arg(static_cast<int>(XenDaemon::Kind::c));
  of->Arg(static_cast<int>(XenDaemon::Kind::ocaml));
}

using Operation = std::function<bool()>;

// One pair an iteration. `ratio` is ours by raw, the median of those of batches; 90 % of these lie between `ratio_low` and
// `ratio_high`. Times in seconds.
void side_by_side(benchmark::State& state, const Operation& ours, const Operation& raw) {
  std::vector<double> our_us, raw_us, ratios, our_batch, raw_batch;
  bool right = true;
  const auto timed = [&](const Operation& operation, std::vector<double>& all,
                         std::vector<double>& some) {
    const double begin = now_us();
    right = operation() && right;
    const double took = now_us() - begin;
    all.push_back(took);
    some.push_back(took);
  };
  bool ours_first = true;
  for (auto _ : state) {
    if (ours_first) timed(ours, our_us, our_batch);
    timed(raw, raw_us, raw_batch);
    if (!ours_first) timed(ours, our_us, our_batch);
    ours_first = !ours_first;
    if (our_batch.size() == batch) {
      ratios.push_back(median(our_batch) / median(raw_batch));
      our_batch.clear();
      raw_batch.clear();
    }
  }
  if (ratios.empty()) ratios.push_back(median(our_us) / median(raw_us));
  if (!right) state.SkipWithError("an operation did not do what it should");
  if (ratios.size() >= batches_min && quantile(ratios, 0.1) > ratio_max)
    state.SetLabel("missed: slower than 1.1 times libxenstore");
  state.counters["ours"] = median(our_us) / 1e6;
  state.counters["raw"] = median(raw_us) / 1e6;
  state.counters["ratio"] = median(ratios);
  state.counters["ratio_low"] = quantile(ratios, 0.05);
  state.counters["ratio_high"] = quantile(ratios, 0.95);
}

bool unavailable(benchmark::State& state, const Stage* stage) {
  if (stage != nullptr && stage->started.ok() && stage->raw != nullptr) return false;
  for (auto _ : state) {
  }
  if (stage != nullptr)
    state.SkipWithError("the daemon did not start");
  else
    state.SetLabel("no xenstored here; make build/.unpacked-daemons");
  return true;
}

void xen_store_read(benchmark::State& state) {
  Stage* const s = stage(state);
  if (unavailable(state, s)) return;
  const XenPath path = *XenPath::parse(node_path);
  xs_write(s->raw, XBT_NULL, node_path, "0123456789", 10);
  side_by_side(
      state,
      [&] {
        std::string value;
        const bool done = s->wait<std::string>([&](Reply<std::string> reply) {
          s->ours.read(
              0, path,
              Reply<std::string>(far_future, [&value, reply = std::move(reply)](
                                                 absl::StatusOr<std::string> read) mutable {
                if (read.ok()) value = *read;
                reply(std::move(read));
              }));
        });
        return done && value == "0123456789";
      },
      [&] {
        unsigned size = 0;
        void* value = xs_read(s->raw, XBT_NULL, node_path, &size);
        std::free(value);
        return value != nullptr && size == 10;
      });
}
BENCHMARK(xen_store_read)->Apply(both_daemons);

void xen_store_write(benchmark::State& state) {
  Stage* const s = stage(state);
  if (unavailable(state, s)) return;
  const XenPath path = *XenPath::parse(node_path);
  side_by_side(
      state,
      [&] {
        return s->wait<Done>(
            [&](Reply<Done> reply) { s->ours.write(0, path, "0123456789", std::move(reply)); });
      },
      [&] { return xs_write(s->raw, XBT_NULL, node_path, "0123456789", 10); });
}
BENCHMARK(xen_store_write)->Apply(both_daemons);

// Begin, one write, commit.
void xen_store_transaction(benchmark::State& state) {
  Stage* const s = stage(state);
  if (unavailable(state, s)) return;
  const XenPath path = *XenPath::parse(node_path);
  side_by_side(
      state,
      [&] {
        return s->wait<Done>([&](Reply<Done> reply) {
          transact(
              s->ours, s->loop,
              [&](XenTransactionId in, Reply<Done> done) {
                s->ours.write(in, path, "0123456789", std::move(done));
              },
              std::move(reply));
        });
      },
      [&] {
        const xs_transaction_t in = xs_transaction_start(s->raw);
        return in != XBT_NULL && xs_write(s->raw, in, node_path, "0123456789", 10) &&
               xs_transaction_end(s->raw, in, false);
      });
}
BENCHMARK(xen_store_transaction)->Apply(both_daemons);

// From a write, by one connection, until another one has been told.
void xen_store_write_to_watch(benchmark::State& state) {
  Stage* const s = stage(state);
  if (unavailable(state, s)) return;
  const XenPath ours = *XenPath::parse("/tool/bench-watch-ours");
  const char* raw = "/tool/bench-watch-raw";
  std::uint64_t told = 0;
  const XenWatchId watch = s->ours.watch(ours, [&](const XenPath&) { ++told; }, {});
  s->loop.run_until([&] { return told == 1; }, patience);
  xs_watch(s->raw_watcher, raw, "token");
  const auto next = [&] {
    unsigned count = 0;
    char** event = xs_read_watch(s->raw_watcher, &count);
    std::free(static_cast<void*>(event));
    return event != nullptr;
  };
  next();
  side_by_side(
      state,
      [&] {
        const std::uint64_t before = told;
        s->writer.write(0, ours, "x", {});
        return s->loop.run_until([&] { return told > before; }, patience);
      },
      [&] { return xs_write(s->raw, XBT_NULL, raw, "x", 1) && next(); });
  s->ours.unwatch(watch);
  xs_unwatch(s->raw_watcher, raw, "token");
}
BENCHMARK(xen_store_write_to_watch)->Apply(both_daemons);

// From the watch's word that a domain's name has changed until its vm.domain_changed has reached another actor: a look at the domain
// list, the name read, one durable event (a log in memory that takes 200 us to sync), a bus within the process. A watch of the bench's
// own, on a connection of its own, stands in for the inventory's: the daemon tells both of the same write. The inventory waits
// `settle` between two looks; changes here come further apart.
void xen_watch_to_event(benchmark::State& state) {
  Stage* const s = stage(state);
  if (unavailable(state, s)) return;
  s->xen.set_domain(1);
  xs_introduce_domain(s->raw, 1, 1, 1);
  const XenPath path = *(XenPath::domain(1) / "name");
  std::string heard;
  double heard_us = 0;
  const InventoryNode node(s->loop, s->xen, s->daemon.socket(), [&](const Event& event) {
    if (event.type() != schema::Payload::VM_DOMAIN_CHANGED) return;
    heard = str(event.payload().getVmDomainChanged().getName());
    heard_us = now_us();
  });
  std::optional<double> told_us;
  const XenWatchId watch = s->ours.watch(path,
                                         [&](const XenPath&) {
                                           if (!told_us) told_us = now_us();
                                         },
                                         {});
  bool right = s->loop.run_until([&] { return told_us.has_value(); }, patience);
  std::vector<double> took_us;
  std::uint64_t number = 0;
  for (auto _ : state) {
    state.PauseTiming();
    bool apart = false;
    s->loop.at(s->loop.clock().now() + DomainInventoryOptions().settle * 2, [&] { apart = true; });
    s->loop.run_until([&] { return apart; }, patience);
    told_us.reset();
    state.ResumeTiming();
    const std::string name = "web" + std::to_string(++number);
    s->writer.write(0, path, name, {});
    right = s->loop.run_until([&] { return heard == name && told_us; }, patience) && right;
    // Where the inventory's watch was served first, this one's time says nothing.
    if (right && *told_us < heard_us) took_us.push_back(heard_us - *told_us);
  }
  s->ours.unwatch(watch);
  s->xen.remove_domain(1);
  if (!right || took_us.empty()) return state.SkipWithError("an event did not come");
  state.counters["watch_to_event"] = median(took_us) / 1e6;
  state.counters["p99"] = quantile(took_us, 0.99) / 1e6;
}
BENCHMARK(xen_watch_to_event)
    ->Apply(both_daemons)
    ->Iterations(100);  // of which each waits for its turn

}  // namespace
}  // namespace supercloud
