#include "cli/node_drain.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cli/drain_follower.h"
#include "cli/interrupt.h"
#include "cli/live_lines.h"
#include "cli/suggest.h"
#include "cli/vm_client.h"

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

constexpr Duration status_interval = absl::Milliseconds(200);
// After so long without a word, the logs are asked.
constexpr Duration silence_max = absl::Seconds(5);
constexpr const char* patterns[] = {"node.draining.>", "node.drained.>", "node.undrained.>",
                                    "node.left.>", "migration.>"};
constexpr Duration cluster_look = absl::Seconds(1);
// Past the deadline: what was begun in time comes to its end, and that is told.
constexpr Duration margin = absl::Seconds(30);

void print(const Json& json) {
  std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << std::endl;
}

int tell(const DrainOptions& options, const Program& program, const char* outcome,
         const std::string& words, int code) {
  if (program.json)
    print({{"node", options.node}, {"outcome", outcome}, {"what", words}});
  else
    (code == exit_ok ? std::cout : std::cerr)
        << (code == exit_ok ? "" : "supercloud: ") << absl::StrReplaceAll(words, {{"\n", "\n  "}})
        << std::endl;
  return code;
}

// Connected, and it is a node of that cluster; or the exit code.
std::unique_ptr<VmClient> connect(const DrainOptions& options, const Program& program, int* code) {
  auto connected = VmClient::connect(program);
  if (!connected.ok()) {
    *code = tell_vm_error(connected.status(), options.node, nullptr);
    return nullptr;
  }
  const std::vector<std::string> nodes = (*connected)->nodes();
  // One that runs on another machine is not in the list of this one.
  if (std::ranges::find(nodes, options.node) != nodes.end() ||
      (*connected)->hosts_vms(options.node))
    return *std::move(connected);
  std::cerr << "supercloud: there is no node " << options.node << " in "
            << (*connected)->target().name << "; "
            << suggest(options.node, nodes, "none of its nodes runs") << "\n";
  *code = exit_no_match;
  return nullptr;
}

class Following {
 public:
  Following(VmClient& vms, const DrainOptions& options, const Program& program)
      : vms_(vms),
        options_(options),
        program_(program),
        follower_(options.node),
        lines_(vms.now(), program.json) {}

  absl::Status listen() {
    for (const char* pattern : patterns)
      if (const absl::Status status = vms_.client().subscribe(
              Pattern::of(pattern), [this](const Event& event) { take(event); });
          !status.ok())
        return status;
    return absl::OkStatus();
  }

  // `limit`: then it is told who is there yet.
  int follow(Instant limit) {
    const Interrupt interrupt;
    // Its words of before are those of another drain.
    begun_ = true;
    for (const Event& event : std::exchange(early_, {})) take(event);
    Instant asked = vms_.now(), looked = vms_.now();
    while (!follower_.outcome() && !interrupt.requested() && vms_.now() < limit) {
      vms_.client().run_until([&] { return follower_.outcome() || interrupt.requested(); },
                              vms_.now() + status_interval);
      if (!follower_.any_on_the_way())
        lines_.end();
      else
        lines_.status(vms_.now(), [this](std::size_t width) { return follower_.status(width); });
      if (vms_.now() - looked >= cluster_look) {
        looked = vms_.now();
        const auto target = load_cluster(vms_.target().directory);
        if (target.ok() && !target->running) {
          lines_.end();
          return tell(options_, program_, "not known",
                      absl::StrCat("cluster ", target->name, " has ended"), exit_unreachable);
        }
      }
      if (vms_.now() - std::max(heard_, asked) < silence_max) continue;
      ask_logs();
      asked = vms_.now();
    }
    if (!follower_.outcome()) ask_logs();
    lines_.end();
    if (const auto& outcome = follower_.outcome())
      return tell(options_, program_, outcome->drained ? "drained" : "ended", outcome->words,
                  outcome->drained ? exit_ok : exit_failed);
    if (!interrupt.requested())
      return tell(options_, program_, "late",
                  absl::StrCat("the deadline has passed, and ", options_.node, " is not empty",
                               follower_.stays().empty() ? "" : ":\n", follower_.stays(),
                               "\nits guests go on leaving: `supercloud node drain ", options_.node,
                               "` follows that"),
                  exit_failed);
    std::cerr << "no longer following: the drain goes on\n"
              << "  end it:  supercloud node undrain " << options_.node << "\n"
              << "  see it:  supercloud events 'node.*.*." << options_.node << "'" << std::endl;
    return exit_interrupted;
  }

 private:
  void take(const Event& event) {
    if (!begun_) return early_.push_back(event);
    if (follower_.concerns(event)) heard_ = vms_.now();
    if (const std::string words = follower_.fold(event); !words.empty())
      lines_.line(vms_.now(), words);
  }

  void ask_logs() {
    for (const char* pattern : patterns) {
      const auto target = load_cluster(vms_.target().directory);
      const auto history = read_history(target.ok() ? *target : vms_.target(), Pattern::of(pattern),
                                        vms_.client().pool(), &vms_.client(), nullptr, since_);
      if (!history.ok()) return;
      for (const Event& event : *history)
        if (event.time() >= since_) take(event);
    }
  }

  VmClient& vms_;
  const DrainOptions& options_;
  const Program& program_;
  DrainFollower follower_;
  LiveLines lines_;
  // The clocks of machines may stand a little off.
  const HybridTime since_ = HybridTime::at(absl::Now() - absl::Seconds(10));
  bool begun_ = false;
  std::vector<Event> early_;
  Instant heard_{};
};

}  // namespace

int drain_node(const DrainOptions& options, const Program& program) {
  const auto deadline = parse_span("--deadline", options.deadline, "90s or 10m");
  if (!deadline.ok()) return tell_vm_error(deadline.status(), options.node, nullptr);
  int code = exit_ok;
  const auto vms = connect(options, program, &code);
  if (vms == nullptr) return code;
  Following following(*vms, options, program);
  if (options.wait)
    if (const absl::Status listening = following.listen(); !listening.ok())
      return tell_vm_error(listening, options.node, nullptr);
  const auto answer = vms->ask_node(
      options.node, Message<schema::Request>::build([&](schema::Request::Builder builder) {
        auto request = builder.initDrainNode();
        request.setNode(options.node);
        request.setWhy(options.why);
        request.setDeadlineNs(absl::ToInt64Nanoseconds(*deadline));
      }));
  if (!answer.ok()) return tell_vm_error(answer.status(), options.node, nullptr);
  if (!options.wait)
    return tell(options, program, "draining",
                absl::StrCat(options.node, " is being drained\nend it: supercloud node undrain ",
                             options.node),
                exit_ok);
  return following.follow(*deadline > absl::ZeroDuration() ? vms->now() + *deadline + margin
                                                           : far_future);
}

int undrain_node(const DrainOptions& options, const Program& program) {
  int code = exit_ok;
  const auto vms = connect(options, program, &code);
  if (vms == nullptr) return code;
  const auto answer = vms->ask_node(
      options.node, Message<schema::Request>::build([&](schema::Request::Builder builder) {
        auto request = builder.initUndrainNode();
        request.setNode(options.node);
        request.setWhy(options.why);
      }));
  if (!answer.ok()) return tell_vm_error(answer.status(), options.node, nullptr);
  return tell(options, program, "undrained", options.node + " takes guests again", exit_ok);
}

}  // namespace supercloud
