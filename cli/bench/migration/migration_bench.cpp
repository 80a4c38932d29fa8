#include "cli/bench/migration/migration_bench.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/bench/migration/bare_guest.h"
#include "cli/bench/migration/guest_cluster.h"
#include "cli/guests/guest_watch.h"

namespace supercloud {
namespace {

constexpr int idle_guests = 10;
constexpr std::uint64_t idle_guest_bytes = 16 << 20;
// So long a guest is heard before and after its move.
constexpr std::uint64_t beats_around = 50;
constexpr Duration beats_patience = absl::Seconds(30);
constexpr int pairs_min = 3;

struct Measured {
  double blackout = 0, total = 0, gap = 0;  // seconds
};

// User and system time of a process so far, in seconds.
double cpu_seconds(pid_t process) {
  std::ifstream file(absl::StrCat("/proc/", process, "/stat"));
  const std::string stat((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string skipped;
  for (int field = 0; field < 11; ++field) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// Of /proc/PID/smaps_rollup: "Rss:   1234 kB".
double memory_bytes(pid_t process, const std::string& which) {
  std::ifstream file(absl::StrCat("/proc/", process, "/smaps_rollup"));
  for (std::string word; file >> word;) {
    double kib = 0;
    if (word == which && file >> kib) return kib * 1024;
  }
  return 0;
}

class Bench {
 public:
  Bench(const MigrationBenchOptions& options, MigrationResult& result)
      : options_(options), result_(result) {}

  absl::Status run() {
    if (const absl::Status ready = open(); !ready.ok()) return ready;
    for (std::size_t load = 0; load < options_.loads.size(); ++load)
      if (const absl::Status measured = measure(load); !measured.ok()) return measured;
    for (const bool prepared : {true, false})
      if (const absl::Status measured = measure_prices(prepared); !measured.ok()) return measured;
    return options_.idle > absl::ZeroDuration() ? measure_idle() : absl::OkStatus();
  }

 private:
  absl::Status open() {
    options_.told("starting nodes", 0);
    const auto program = GuestWatch::write_program(options_.sockets, options_.qemu);
    if (!program.ok()) return program.status();
    program_ = *program;
    GuestClusterOptions cluster;
    cluster.logs = options_.logs;
    cluster.sockets = options_.sockets;
    cluster.qemu.program = program_;
    cluster.qemu.accelerator = options_.accelerator == QemuAccelerator::kvm
                                   ? QemuConfig::Accelerator::kvm
                                   : QemuConfig::Accelerator::tcg;
    cluster.qemu.keeper = options_.keeper;
    cluster.qemu.images["measured"] = {options_.kernel, options_.initrd, ""};
    cluster.memory_bytes = 4 * options_.memory_bytes + 2 * idle_guests * idle_guest_bytes;
    cluster.stop = options_.stop;
    auto started = GuestCluster::start(std::move(cluster));
    if (!started.ok()) return started.status();
    cluster_ = *std::move(started);
    auto watch = GuestWatch::open(cluster_->loop(), options_.sockets);
    if (!watch.ok()) return watch.status();
    watch_ = *std::move(watch);
    return absl::OkStatus();
  }

  // Whether it can be heard: it is then, for a while.
  absl::Status hear(const std::string& guest, bool beats) {
    if (!beats) return absl::OkStatus();
    const std::uint64_t until = watch_->seen(guest).beats + beats_around;
    if (await(cluster_->loop(), beats_patience,
              [&] { return watch_->seen(guest).beats >= until || options_.stop(); }))
      return options_.stop() ? absl::CancelledError("interrupted") : absl::OkStatus();
    return absl::DeadlineExceededError(absl::StrCat("nothing is heard of the guest ", guest));
  }

  absl::Status not_told(const std::string& guest) {
    std::string signs;
    for (const GuestSign& sign : watch_->seen(guest).signs)
      absl::StrAppend(&signs, signs.empty() ? "" : ", ", sign.what, " by QEMU ", sign.machine);
    return absl::InternalError(
        absl::StrCat("the QEMUs of ", guest,
                     " do not say when it stood still, but: ", signs.empty() ? "nothing" : signs));
  }

  absl::StatusOr<Measured> once(const std::string& guest, bool beats,
                                const std::function<absl::StatusOr<Duration>()>& move) {
    watch_->forget(guest);
    if (const absl::Status heard = hear(guest, beats); !heard.ok()) return heard;
    const auto total = move();
    if (!total.ok()) return total.status();
    // The word of its QEMU that it goes on may come a moment after that of its node.
    if (!await(cluster_->loop(), beats_patience,
               [&] { return watch_->seen(guest).stood_still().has_value(); }))
      return not_told(guest);
    if (const absl::Status heard = hear(guest, beats); !heard.ok()) return heard;
    const GuestSeen& seen = watch_->seen(guest);
    if (!seen.broken.empty() || seen.restarts > 0)
      return absl::DataLossError(absl::StrCat(
          "the guest ", guest,
          " is broken: ", seen.broken.empty() ? std::string("it began anew") : seen.broken));
    return Measured{.blackout = absl::ToDoubleSeconds(*seen.stood_still()),
                    .total = absl::ToDoubleSeconds(*total),
                    .gap = absl::ToDoubleSeconds(seen.gap_max)};
  }

  absl::StatusOr<Measured> once_ours(const MigrationLoad& load, bool counts) {
    absl::Time asked;
    std::map<std::string, double> told;
    const std::string guest = GuestCluster::guest(load.name);
    auto measured = once(guest, load.beats, [&]() -> absl::StatusOr<Duration> {
      asked = absl::Now();
      auto move = cluster_->move(load.name);
      if (!move.ok()) return move.status();
      told = std::move(move->steps);
      return move->total;
    });
    if (!measured.ok() || !counts) return measured;
    keep_steps(guest, "supercloud", asked, told);
    return measured;
  }

  absl::StatusOr<Measured> once_bare(const MigrationLoad& load, bool counts) {
    absl::Time asked;
    if (options_.prepared)
      if (const absl::Status ready = bare_->prepare(); !ready.ok()) return ready;
    auto measured = once(bare_name(load), load.beats, [&] {
      asked = absl::Now();
      return bare_->move();
    });
    if (measured.ok() && counts) keep_steps(bare_name(load), "bare", asked, {});
    return measured;
  }

  void keep_steps(const std::string& guest, const std::string& way, absl::Time asked,
                  const std::map<std::string, double>& told) {
    for (const auto& [step, seconds] : told) steps_[{way, step}].push_back(seconds);
    const auto& signs = watch_->seen(guest).signs;
    if (signs.empty()) return;
    const int source = std::ranges::min(signs, {}, &GuestSign::machine).machine;
    for (const GuestSign& sign : signs) {
      const char* side = sign.machine == source ? "source " : "target ";
      steps_[{way, absl::StrCat(side, sign.what)}].push_back(
          absl::ToDoubleSeconds(sign.at - asked));
    }
  }

  static std::string bare_name(const MigrationLoad& load) { return "bare-" + load.name; }

  absl::Status start_guests(const MigrationLoad& load) {
    BareGuestOptions bare;
    bare.start = {.program = program_,
                  .accelerator = options_.accelerator,
                  .vm = bare_name(load),
                  .memory_bytes = options_.memory_bytes,
                  .cpus = 1,
                  .folder = "",
                  .incoming = false};
    bare.guest.kernel = options_.kernel;
    bare.guest.initrd = options_.initrd;
    bare.guest.append = load.arguments;
    bare.folder = options_.sockets / bare_name(load);
    bare.stop = options_.stop;
    auto started = BareGuest::start(cluster_->loop(), std::move(bare));
    if (!started.ok()) return started.status();
    bare_ = *std::move(started);
    return cluster_->create({.name = load.name,
                             .memory_bytes = options_.memory_bytes,
                             .arguments = load.arguments,
                             .prepared = options_.prepared});
  }

  absl::Status measure(std::size_t number) {
    const MigrationLoad& load = options_.loads[number];
    const auto told = [&](double part) {
      options_.told(load.what, (static_cast<double>(number) + part) /
                                   static_cast<double>(options_.loads.size()));
    };
    told(0);
    if (const absl::Status started = start_guests(load); !started.ok()) return started;
    // The first move of each finds cold caches.
    if (const auto first = once_bare(load, false); !first.ok()) return first.status();
    if (const auto first = once_ours(load, false); !first.ok()) return first.status();

    std::vector<Measured> ours, bare;
    absl::Status status;
    const Instant begun = cluster_->loop().clock().now();
    for (int pair = 0; pair < options_.pairs && status.ok(); ++pair) {
      if (pair >= pairs_min && cluster_->loop().clock().now() - begun > options_.time_max) break;
      told(static_cast<double>(pair) / options_.pairs);
      const bool ours_first = pair % 2 == 0;
      auto first = ours_first ? once_ours(load, true) : once_bare(load, true);
      auto second = !first.ok()  ? first
                    : ours_first ? once_bare(load, true)
                                 : once_ours(load, true);
      if (!second.ok()) {
        status = second.status();
        break;
      }
      ours.push_back(ours_first ? *first : *second);
      bare.push_back(ours_first ? *second : *first);
    }
    keep(load, ours, bare);
    if (!status.ok()) return status;
    bare_.reset();
    return cluster_->destroy(load.name);
  }

  void keep(const MigrationLoad& load, const std::vector<Measured>& ours,
            const std::vector<Measured>& bare) {
    if (ours.empty()) return;
    const auto add = [&](MigrationRow row, double Measured::* which) {
      row.guest = load.name;
      for (const Measured& value : ours) row.ours.push_back(value.*which);
      for (const Measured& value : bare) row.bare.push_back(value.*which);
      result_.rows.push_back(std::move(row));
    };
    add({.guest = "", .name = "blackout", .bar = 0.010, .goal = 0.003, .ours = {}, .bare = {}},
        &Measured::blackout);
    add({.guest = "",
         .name = "total",
         .ratio = true,
         .bar = 1.1,
         .goal = 1.03,
         .ours = {},
         .bare = {}},
        &Measured::total);
    if (load.beats)
      add({.guest = "", .name = "gap", .bar = 0.015, .goal = 0.005, .ours = {}, .bare = {}},
          &Measured::gap);
    std::vector<MigrationStep> steps;
    for (const auto& [name, seconds] : std::exchange(steps_, {}))
      steps.push_back({load.name, name.first, name.second, median(seconds)});
    std::ranges::sort(steps, [](const MigrationStep& a, const MigrationStep& b) {
      return std::pair(b.way, a.seconds) < std::pair(a.way, b.seconds);
    });
    std::ranges::move(steps, std::back_inserter(result_.steps));
  }

  // From a price's event until the first QEMU says that memory moves, by the clock of this machine.
  absl::Status measure_prices(bool prepared) {
    const std::string name = prepared ? "priced-ready" : "priced";
    const std::string guest = GuestCluster::guest(name);
    const auto told = [&](int move) {
      options_.told("a guest that follows prices",
                    ((prepared ? 0 : 0.5) + 0.5 * move / options_.price_moves));
    };
    told(0);
    const absl::Status created = cluster_->create({.name = name,
                                                   .memory_bytes = options_.memory_bytes,
                                                   .arguments = options_.loads[0].arguments,
                                                   .prepared = prepared,
                                                   .follows_prices = true});
    if (!created.ok()) return created;
    PriceRow row{.prepared = prepared, .seconds = {}};
    absl::Status status;
    // The first finds cold caches.
    for (int move = -1; move < options_.price_moves && status.ok(); ++move) {
      told(std::max(move, 0));
      watch_->forget(guest);
      const auto priced = cluster_->move_by_price(name);
      status = priced.status();
      if (!priced.ok()) break;
      std::optional<absl::Time> first;
      const auto moves = [&] {
        for (const GuestSign& sign : watch_->seen(guest).signs)
          if (sign.what == "active") first = std::min(first.value_or(sign.at), sign.at);
        return first.has_value();
      };
      if (!await(cluster_->loop(), beats_patience, moves)) return not_told(guest);
      if (move >= 0) row.seconds.push_back(absl::ToDoubleSeconds(*first - *priced));
    }
    if (!row.seconds.empty()) result_.prices.push_back(std::move(row));
    return status.ok() ? cluster_->destroy(name) : status;
  }

  absl::Status measure_idle() {
    const auto told = [&](int guest) {
      options_.told("a daemon with idle guests", static_cast<double>(guest) / idle_guests);
    };
    for (int guest = 0; guest < idle_guests; ++guest) {
      told(guest);
      const absl::Status created =
          cluster_->create({.name = absl::StrCat("idle-", guest),
                            .memory_bytes = idle_guest_bytes,
                            .arguments = options_.loads[0].beats ? "pages=0 ticks=19"
                                                                 : options_.loads[0].arguments});
      if (!created.ok()) return created;
    }
    const pid_t daemon = cluster_->process("b");
    const double cpu = cpu_seconds(daemon);
    const Instant begun = cluster_->loop().clock().now();
    if (await(cluster_->loop(), options_.idle, options_.stop))
      return absl::CancelledError("interrupted");
    const double took = absl::ToDoubleSeconds(cluster_->loop().clock().now() - begun);
    result_.idle = IdleCost{.guests = idle_guests,
                            .seconds = took,
                            .resident_bytes = memory_bytes(daemon, "Rss:"),
                            .proportional_bytes = memory_bytes(daemon, "Pss:"),
                            .cpu = (cpu_seconds(daemon) - cpu) / took};
    return absl::OkStatus();
  }

  const MigrationBenchOptions& options_;
  MigrationResult& result_;
  std::string program_;
  std::unique_ptr<GuestCluster> cluster_;
  std::unique_ptr<GuestWatch> watch_;
  std::unique_ptr<BareGuest> bare_;
  std::map<std::pair<std::string, std::string>, std::vector<double>> steps_;  // by way and name
};

}  // namespace

absl::Status run_migration_bench(const MigrationBenchOptions& options, MigrationResult& result) {
  Bench bench(options, result);
  absl::Status status = bench.run();
  double load = 0;
  if (::getloadavg(&load, 1) == 1) result.load = load;
  result.complete = status.ok();
  return absl::IsCancelled(status) ? absl::OkStatus() : status;
}

}  // namespace supercloud
