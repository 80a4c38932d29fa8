#include "cli/demo_command.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/demo/cluster.h"
#include "cli/demo/example_policies.h"
#include "cli/demo/plan.h"
#include "cli/demo/view.h"
#include "cli/interrupt.h"
#include "cli/price_arguments.h"

namespace supercloud {
namespace {

struct DemoArguments {
  DemoOptions options;
  double duration = 60;
};

std::string market_text(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M", time, absl::UTCTimeZone());
}

std::string usd(Money amount) { return to_string(amount, 4); }

void print_summary(const DemoStory& story, absl::Time market,
                   const std::filesystem::path& directory, const std::string& invoked) {
  const DemoStory::Figures& figures = story.figures();
  const Money instead = story.on_demand_cost(market);
  std::printf(
      "\nWhat this demo saw (cloud, machines and guests were simulated; processes, bus, logs and "
      "leases were real):\n");
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
  std::printf("  money                    spent %s, all on on-demand %s, saved %s\n",
              usd(story.spent()).c_str(), usd(instead).c_str(),
              usd(instead - story.spent()).c_str());
  for (const DemoStory::Vm& vm : story.vms())
    std::printf("  %-10s               %s at %s\n", vm.name.c_str(), vm.state.c_str(),
                vm.node.empty() ? "-" : story.place_of_node(vm.node).c_str());
  const std::string cluster = directory.filename().string();
  std::printf(
      "\nIts run directory: %s\n\nAsk it:\n  %s explain web1 --cluster %s\n  %s events --since "
      "start "
      "'migration.>' --cluster %s\n",
      directory.c_str(), invoked.c_str(), cluster.c_str(), invoked.c_str(), cluster.c_str());
}

void print_json(const DemoStory& story, absl::Time market, const std::filesystem::path& directory) {
  const DemoStory::Figures& figures = story.figures();
  const nlohmann::ordered_json answer = {
      {"directory", directory.string()},
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

  const Interrupt interrupt;
  const bool live = program.terminal && !program.json;
  const auto print_line = [&](const DemoStory::Line& line) {
    if (live || program.json) return;
    std::printf("%s  %s\n", market_text(line.market).c_str(), line.text.c_str());
    std::fflush(stdout);
  };
  if (!live && !program.json) {
    std::printf(
        "supercloud demo: real node processes, bus, logs and leases; simulated: cloud, machines, "
        "guests; prices: %s\n",
        plan->prices.c_str());
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
    print_json((*cluster)->story(), ended, (*cluster)->directory());
  else
    print_summary((*cluster)->story(), ended, (*cluster)->directory(), program.invoked);
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
  demo->footer(
      "Starts separate node processes for four zones and on-demand on this machine, with the real "
      "bus between them. What is\n"
      "simulated (cloud, machines, guests) is called so on screen. Ctrl-C ends it and leaves "
      "nothing but its run directory.\n"
      "\n"
      "Examples:\n"
      "  supercloud demo\n"
      "  supercloud demo --duration 300 --seed 3\n"
      "  supercloud demo --prices 2015_r3.large.csv --from 2015-08-22");
  demo->callback([arguments, &program] { program.exit_code = run_demo(*arguments, program); });
}

}  // namespace supercloud
