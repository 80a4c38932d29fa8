#include "cli/demo_command.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/demo/cluster.h"
#include "cli/demo/example_policies.h"
#include "cli/demo/guests.h"
#include "cli/demo/plan.h"
#include "cli/demo/view.h"
#include "cli/guests/qemu_program.h"
#include "cli/interrupt.h"
#include "cli/measure/paired.h"
#include "cli/price_arguments.h"

namespace supercloud {
namespace {

struct DemoArguments {
  DemoOptions options;
  double duration = 60;
  bool simulated = false;
  std::string qemu;
};

std::string market_text(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M", time, absl::UTCTimeZone());
}

std::string usd(Money amount) { return to_string(amount, 4); }

// Of this demo; or why its guests are simulated.
struct DemoQemu {
  std::optional<FoundQemu> found;
  std::string why_not;
};

// What was asked for has to be there; else that of the machine, or that which was unpacked beside this program.
absl::StatusOr<DemoQemu> choose_qemu(const DemoArguments& arguments) {
  if (arguments.simulated) return DemoQemu{.found = {}, .why_not = "--simulated asks for it"};
  if (!arguments.qemu.empty()) {
    auto asked = find_qemu(arguments.qemu);
    if (!asked.ok()) return asked.status();
    return DemoQemu{.found = *std::move(asked), .why_not = {}};
  }
  std::error_code error;
  if (const std::string keeper = usual_keeper(); !std::filesystem::exists(keeper, error))
    return DemoQemu{.found = {},
                    .why_not = absl::StrCat("there is no ", keeper,
                                            ", which stands beside each "
                                            "real guest; build or install it")};
  auto found = find_qemu(QemuConfig{}.program);
  if (!found.ok())
    if (const std::string unpacked = unpacked_qemu(); !unpacked.empty())
      if (auto beside = find_qemu(unpacked); beside.ok()) found = std::move(beside);
  if (!found.ok())
    return DemoQemu{.found = {},
                    .why_not = absl::StrCat(found.status().message(),
                                            "; where this is built, `make guests` unpacks one")};
  return DemoQemu{.found = *std::move(found), .why_not = {}};
}

std::string qemu_text(const FoundQemu& qemu) {
  return absl::StrCat("QEMU ", qemu.version.to_string(), " (", qemu.accelerator_name(), ", ",
                      qemu.program, ")");
}

std::string count_text(const GuestCount& count) {
  if (!count.broken.empty()) return counts_broken;
  return absl::StrCat(count.beats);
}

void print_summary(const DemoCluster& cluster, absl::Time market, const std::string& invoked) {
  const DemoStory& story = cluster.story();
  const DemoGuests* guests = cluster.guests();
  const DemoStory::Figures& figures = story.figures();
  const Money instead = story.on_demand_cost(market);
  std::printf(
      "\nWhat this demo saw (cloud, machines%s were simulated; processes, bus, logs%s leases%s "
      "were real):\n",
      guests == nullptr ? " and guests" : "", guests == nullptr ? " and" : ",",
      guests == nullptr ? "" : " and guests");
  std::printf("  moves completed          %d, of them to a cheaper place %d, to on-demand %d\n",
              figures.moves, figures.cheaper, figures.to_on_demand);
  std::printf(
      "  interruptions            %d of instances with VMs; VMs that left in time or were taken "
      "over: "
      "%d\n",
      figures.interruptions, figures.survived);
  std::printf("  refusals                 %d; aborted moves: %d\n", figures.refusals,
              figures.aborted);
  std::printf("  longest blackout         %.0f ms\n", figures.blackout_ms_longest);
  if (!figures.price_to_memory_ms.empty())
    std::printf(
        "  from a price to memory   %.0f ms, the median of %d moves until their memory began to "
        "move; no target was ready before\n",
        median(figures.price_to_memory_ms), static_cast<int>(figures.price_to_memory_ms.size()));
  std::printf("  money                    spent %s, all on on-demand %s, saved %s\n",
              usd(story.spent()).c_str(), usd(instead).c_str(),
              usd(instead - story.spent()).c_str());
  for (const DemoStory::Vm& vm : story.vms()) {
    std::printf("  %-10s               %s at %s", vm.name.c_str(), vm.state.c_str(),
                vm.node.empty() ? "-" : story.place_of_node(vm.node).c_str());
    if (guests != nullptr) {
      const GuestCount count = guests->count(vm.name);
      std::printf("; %d counts heard, %s", static_cast<int>(count.beats),
                  count.broken.empty() ? "none missing" : count.broken.c_str());
      if (count.moves > 0)
        std::printf(", across %d moves a silence of %.0f ms at most", count.moves,
                    absl::ToDoubleMilliseconds(count.silence_max));
      if (count.restarts > 0) std::printf("; begun anew %d times", count.restarts);
    }
    std::printf("\n");
  }
  const std::string name = cluster.directory().filename().string();
  std::printf(
      "\nIts run directory: %s\n\nAsk it:\n  %s explain web1 --cluster %s\n  %s events --since "
      "start "
      "'migration.>' --cluster %s\n",
      cluster.directory().c_str(), invoked.c_str(), name.c_str(), invoked.c_str(), name.c_str());
}

void print_json(const DemoCluster& cluster, absl::Time market, const DemoQemu& qemu) {
  const DemoStory& story = cluster.story();
  const DemoStory::Figures& figures = story.figures();
  nlohmann::ordered_json answer = {{"directory", cluster.directory().string()},
                                   {"guests", qemu.found ? qemu_text(*qemu.found) : "simulated"},
                                   {"moves", figures.moves},
                                   {"cheaper", figures.cheaper},
                                   {"to_on_demand", figures.to_on_demand},
                                   {"interruptions", figures.interruptions},
                                   {"survived", figures.survived},
                                   {"refusals", figures.refusals},
                                   {"aborted", figures.aborted},
                                   {"blackout_ms_longest", figures.blackout_ms_longest},
                                   {"spent_nano_usd", story.spent().nano_usd},
                                   {"on_demand_nano_usd", story.on_demand_cost(market).nano_usd}};
  if (!figures.price_to_memory_ms.empty())
    answer["price_to_memory_ms_median"] = median(figures.price_to_memory_ms);
  if (!qemu.found) answer["simulated_because"] = qemu.why_not;
  if (const DemoGuests* guests = cluster.guests(); guests != nullptr)
    for (const DemoStory::Vm& vm : story.vms()) {
      const GuestCount count = guests->count(vm.name);
      answer["counts"].push_back(
          {{"vm", vm.name},
           {"heard", count.beats},
           {"moves", count.moves},
           {"restarts", count.restarts},
           {"silence_ms_longest", absl::ToDoubleMilliseconds(count.silence_max)},
           {"broken", count.broken}});
    }
  // Names of folders may be anything but text.
  std::printf(
      "%s\n",
      answer.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

// The other screen of the terminal, given back whatever happens.
class Screen {
 public:
  Screen() { std::fputs("\x1b[?1049h\x1b[?25l", stdout); }
  ~Screen() {
    std::fputs("\x1b[?25h\x1b[?1049l", stdout);
    std::fflush(stdout);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void show(const std::string& drawn) {
    // From the upper left corner, each line cleared behind its end: nothing flickers.
    std::string out = "\x1b[H";
    for (const char c : drawn) {
      if (c == '\n')
        out += "\x1b[K\r\n";
      else
        out += c;
    }
    out += "\x1b[J";
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
  }
};

int run_demo(const DemoArguments& arguments, const Program& program) {
  DemoOptions options = arguments.options;
  options.duration = absl::Seconds(arguments.duration);
  auto plan = plan_demo(options);
  if (!plan.ok()) return complain(plan.status(), exit_usage);
  add_example_policies(*plan);
  const auto qemu = choose_qemu(arguments);
  if (!qemu.ok()) return complain(qemu.status(), exit_failed);
  plan->qemu = qemu->found;

  const Interrupt interrupt;
  const bool live = program.terminal && !program.json;
  const auto print_line = [&](const DemoStory::Line& line) {
    if (live || program.json) return;
    std::printf("%s  %s\n", market_text(line.market).c_str(), line.text.c_str());
    std::fflush(stdout);
  };
  if (!live && !program.json) {
    std::printf(
        "supercloud demo: real node processes, bus, logs%s; simulated: cloud, machines%s; prices: "
        "%s\n",
        qemu->found ? absl::StrCat(", leases, guests of ", qemu_text(*qemu->found)).c_str()
                    : " and leases",
        qemu->found ? "" : ", guests", plan->prices.c_str());
    if (!qemu->found) std::printf("guests are simulated: %s\n", qemu->why_not.c_str());
    std::printf("1 s is %s of market time\n",
                absl::FormatDuration(absl::Seconds(options.speed)).c_str());
    if (plan->on_demand_guessed)
      std::printf("the on-demand price of this instance type is not known here: %s is assumed\n",
                  usd(plan->on_demand_price).c_str());
    std::fflush(stdout);
  }
  auto cluster = DemoCluster::start(*plan, print_line);
  if (!cluster.ok()) return complain(cluster.status(), exit_failed);
  if (!live && !program.json) {
    std::printf("run directory: %s\n", (*cluster)->directory().c_str());
    std::fflush(stdout);
  }
  {
    std::unique_ptr<Screen> screen = live ? std::make_unique<Screen>() : nullptr;
    const Duration warm_up = (*cluster)->until_market();
    (*cluster)->run(warm_up + options.duration, [&] {
      if (screen) {
        ViewFrame frame;
        frame.market = (*cluster)->market_now();
        frame.until_market = (*cluster)->until_market();
        frame.elapsed = absl::Now() - (*cluster)->market().start;
        frame.duration = options.duration;
        frame.speed = options.speed;
        frame.processes = (*cluster)->processes();
        frame.prices = plan->prices;
        if (qemu->found) frame.guests = qemu_text(*qemu->found);
        if (const DemoGuests* guests = (*cluster)->guests(); guests != nullptr)
          for (const DemoStory::Vm& vm : (*cluster)->story().vms())
            frame.counts[vm.name] = count_text(guests->count(vm.name));
        frame.directory = (*cluster)->directory().string();
        winsize size{};
        if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
          frame.columns = size.ws_col;
          frame.rows = size.ws_row;
        }
        screen->show(draw((*cluster)->story(), frame));
      }
      return interrupt.requested();
    });
  }
  const absl::Time ended = (*cluster)->market_now();
  (*cluster)->stop();
  if (program.json)
    print_json(**cluster, ended, *qemu);
  else
    print_summary(**cluster, ended, program.invoked);
  return interrupt.requested() ? exit_interrupted : exit_ok;
}

}  // namespace

void add_demo_command(CLI::App& root, Program& program) {
  CLI::App* demo = root.add_subcommand(
      "demo", "Watch virtual machines move between clouds as prices move, for a minute");
  auto arguments = std::make_shared<DemoArguments>();
  demo->add_option("--prices", arguments->options.prices,
                   absl::StrCat(price_files_help, "; without them a market is generated"))
      ->option_text("FILE...");
  demo->add_option("--from", arguments->options.from, "Begin here instead of at the first price")
      ->option_text("TIME");
  demo->add_option("--type", arguments->options.type, instance_type_help);
  demo->add_option("--product", arguments->options.product, product_help);
  demo->add_option("--speed", arguments->options.speed,
                   "Seconds of market time in a second, a whole number")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}))
      ->capture_default_str();
  demo->add_option("--duration", arguments->duration, "Seconds until it ends by itself")
      ->check(CLI::Range(1.0, 86400.0))
      ->capture_default_str();
  demo->add_option("--seed", arguments->options.seed,
                   "Of the generated market; without it, one that shows everything");
  CLI::Option* simulated = demo->add_flag("--simulated", arguments->simulated,
                                          "Simulated guests, also where there is QEMU");
  demo->add_option("--qemu", arguments->qemu,
                   "QEMU's program, by a name or a path; without it that of this machine, or that "
                   "which `make guests` unpacked")
      ->option_text("PROGRAM")
      ->excludes(simulated);
  demo->footer(
      "Starts separate node processes for four zones and on-demand on this machine, with the real "
      "bus between them, and\n"
      "real guests of QEMU where there is one: each counts, and is heard to count on across its "
      "moves. What is simulated\n"
      "(cloud, machines; guests without QEMU) is called so on screen. Ctrl-C ends it and leaves "
      "nothing but its run directory.\n"
      "\n"
      "Examples:\n"
      "  supercloud demo\n"
      "  supercloud demo --simulated\n"
      "  supercloud demo --duration 300 --seed 3\n"
      "  supercloud demo --prices 2015_r3.large.csv --from 2015-08-22");
  demo->callback([arguments, &program] { program.exit_code = run_demo(*arguments, program); });
}

}  // namespace supercloud
