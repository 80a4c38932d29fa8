#include "cli/policy_command.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/interrupt.h"
#include "cli/price_arguments.h"
#include "cli/program.h"
#include "cli/replay/policy_choice.h"
#include "cli/replay/run.h"
#include "cli/replay/setup.h"
#include "cli/replay/told.h"
#include "cli/replay/weeks.h"
#include "cli/text_table.h"
#include "cli/vm_client.h"

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

// ---- list ------------------------------------------------------------------------------------------------------------------

int list_policies(const Program& program) {
  Json json = Json::array();
  std::vector<std::vector<std::string>> rows = {{"POLICY", "DOES"}};
  for (const PolicyWords& policy : built_in_policy_words()) {
    json.push_back({{"name", policy.name}, {"does", policy.does}});
    rows.push_back({policy.name, policy.does});
  }
  if (program.json)
    std::cout << json.dump(2) << "\n";
  else
    std::cout << text_table(rows)
              << "\nA file is a policy too, a program or a shared object: docs/policies.md\n";
  return exit_ok;
}

// ---- test, compare -----------------------------------------------------------------------------------------------------------

absl::StatusOr<ReplayResult> run(const CLI::App& command, ReplaySetup& setup,
                                 const std::vector<std::string>& wanted) {
  if (setup.plain)
    return absl::InvalidArgumentError(
        "--model plain and plain-hours know no policies, only rules of their own: `supercloud "
        "replay` has them");
  if (absl::Status fits = check_model(command, setup); !fits.ok()) return fits;
  setup.policy = wanted.front();
  auto prepared = prepare(setup);
  if (!prepared.ok()) return prepared.status();
  std::cerr << prepared->notes;
  const auto names = take_policies(wanted, setup.answer_within, prepared->options.policies);
  if (!names.ok()) return names.status();
  const Interrupt interrupt;
  ReplayWatch watch;
  watch.stop = [&interrupt] { return interrupt.requested(); };
  auto result = run_strategies(*prepared, *names, watch);
  if (result.ok()) std::cerr << damage_text(*result);
  return result;
}

int test_policy(const CLI::App& command, ReplaySetup& setup, const std::string& policy,
                const Program& program) {
  const auto result = run(command, setup, {policy, "cheapest", "stay"});
  if (!result.ok()) return came_to_nothing("policy", result.status());
  const ReplayStrategy& tested = result->strategies.front();
  std::cout << (program.json ? replay_json(*result) : replay_text(*result));
  std::cerr << failures_text(*result);
  if (tested.failures == 0 && tested.caught == 0) return exit_ok;
  if (tested.caught > 0)
    std::cerr << "policy " << tested.name << " was caught " << tested.caught
              << " times by the end of an instance; when World.noticeDeadlineNs is not 0, choose "
                 "another place\n";
  return exit_failed;
}

int compare_policies(const CLI::App& command, ReplaySetup& setup,
                     const std::pair<std::string, std::string>& both, const Program& program) {
  if (both.first == both.second)
    return complain(absl::InvalidArgumentError(absl::StrCat(
                        both.first, " cannot be compared with itself; name another policy")),
                    exit_usage);
  const auto result = run(command, setup, {both.first, both.second});
  if (!result.ok()) return came_to_nothing("policy", result.status());
  std::cerr << failures_text(*result);
  // What never decided anything has no cost to compare.
  const int exit_code = never_answered(*result) ? exit_failed : exit_ok;
  const ReplayStrategy& first = result->strategies[0];
  const ReplayStrategy& second = result->strategies[1];
  const auto a = weekly_costs(first, result->from, result->to);
  const auto b = weekly_costs(second, result->from, result->to);
  const WeekComparison weeks = compare_weeks(a, b);
  if (program.json) {
    Json json = Json::parse(replay_json(*result));
    Json by_week = Json::array();
    for (std::size_t i = 0; i < a.size(); ++i) by_week.push_back({in_usd(a[i]), in_usd(b[i])});
    json["weeks"] = {{"count", weeks.weeks},         {"first_cheaper", weeks.cheaper},
                     {"first_dearer", weeks.dearer}, {"mean_usd", in_usd(weeks.mean)},
                     {"p_value", weeks.p_value},     {"costs_usd", std::move(by_week)}};
    std::cout << json.dump(2) << "\n";
    return exit_code;
  }
  std::cout << replay_text(*result) << "\n";
  std::vector<std::vector<std::string>> rows = {
      {"WEEK FROM", first.name, second.name, "DIFFERENCE"}};
  for (std::size_t i = 0; i < a.size(); ++i)
    rows.push_back(
        {absl::FormatTime("%Y-%m-%d", result->from + absl::Hours(24 * 7) * static_cast<int>(i),
                          absl::UTCTimeZone()),
         absl::StrFormat("%.2f", in_usd(a[i])), absl::StrFormat("%.2f", in_usd(b[i])),
         absl::StrFormat("%+.2f", in_usd(a[i] - b[i]))});
  if (rows.size() > 1) std::cout << text_table(rows) << "\n";
  if (weeks.weeks < 2) {
    std::cout << "Fewer than two whole weeks: nothing can be said of chance.\n";
    return exit_code;
  }
  const bool cheaper = weeks.mean.nano_usd < 0;
  std::cout << absl::StrFormat(
      "%s was %.4f USD a week %s than %s on average, cheaper in %d of %d weeks and dearer in %d. "
      "By chance alone, a difference as large: p = %.3g%s\n",
      first.name, std::abs(in_usd(weeks.mean)), cheaper ? "cheaper" : "dearer", second.name,
      weeks.cheaper, weeks.weeks, weeks.dearer, weeks.p_value,
      weeks.p_value < 0.05 ? "." : ": these prices do not tell them apart.");
  return exit_code;
}

// ---- explain -----------------------------------------------------------------------------------------------------------------

std::string money_text(const Json& nano_usd) {
  // 64-bit integers are strings in Cap'n Proto's JSON.
  const std::string digits = nano_usd.is_string() ? nano_usd.get<std::string>() : "0";
  return absl::StrFormat("%.4f", std::strtod(digits.c_str(), nullptr) / 1e9);
}

std::string time_text(const Json& ns) {
  const std::string digits = ns.is_string() ? ns.get<std::string>() : "0";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S",
                          absl::FromUnixNanos(std::strtoll(digits.c_str(), nullptr, 10)),
                          absl::UTCTimeZone());
}

void tell_decision(const VmFacts& vm, const Json& decision) {
  const std::string choice = decision.value("choice", "");
  std::cout << "VM " << vm.name << " at " << vm.place << ", policy "
            << std::string(text(vm.spec.reader().getPolicy())) << "\n"
            << (choice.empty() ? "It would stay: " : "It would move to " + choice + ": ")
            << decision.value("reason", "") << "\n";
  std::vector<std::vector<std::string>> rows = {{"PLACE", "COST", "GAIN", "WHY NOT"}};
  for (const Json& candidate : decision.value("candidates", Json::array())) {
    const std::string place = candidate.value("place", "");
    const std::string excluded = candidate.value("excluded", "");
    rows.push_back({place, money_text(candidate.value("costNanoUsd", Json())),
                    money_text(candidate.value("gainNanoUsd", Json())),
                    place == vm.place && excluded.empty() ? "it is there"
                    : place == choice                     ? "this one"
                                                          : excluded});
  }
  std::cout << "\n" << text_table(rows);
  if (const Json wake = decision.value("wakeAtNs", Json()); wake.is_string() && wake != "0")
    std::cout << "\nThe next look that it asked for: " << time_text(wake) << " of market time\n";
}

int explain_policy(const std::string& what, const Program& program) {
  const auto name = parse_vm_name(what, "");
  if (!name.ok()) return complain(name.status(), exit_usage);
  auto client = VmClient::connect(program);
  if (!client.ok()) return complain(client.status(), exit_unreachable);
  const auto vm = (*client)->show(*name);
  if (!vm.ok()) return tell_vm_error(vm.status(), what, client->get());
  const auto answer = (*client)->client().ask(
      {vm->node, "policy"}, Message<schema::Request>::build([&](schema::Request::Builder request) {
        name->write(request.initExplainPolicy());
      }),
      VmClient::usual_deadline);
  if (!answer.ok()) return complain(answer.status(), exit_failed);
  if (!answer->reader().isJson())
    return complain(absl::UnavailableError(
                        absl::StrCat(what, " has just left ", vm->node, "; ask again in a moment")),
                    exit_failed);
  const std::string json(text(answer->reader().getJson()));
  const Json decision = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!decision.is_object())
    return complain(absl::DataLossError(absl::StrCat("the policy of ", what, " at ", vm->node,
                                                     " answers with what is no JSON object")),
                    exit_failed);
  if (program.json)
    std::cout << decision.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  else
    tell_decision(*vm, decision);
  return exit_ok;
}

}  // namespace

void add_policy_command(CLI::App& root, Program& program) {
  CLI::App* command = root.add_subcommand(
      "policy", "Which policies there are, what they are worth, what one would do now");
  command->fallthrough();
  command->require_subcommand(1);
  command->footer(
      "Examples:\n"
      "  supercloud policy list\n"
      "  supercloud policy test smart-spot --prices prices.json\n"
      "  supercloud policy compare smart-spot cheapest --prices prices.json\n"
      "  supercloud policy explain web1");

  CLI::App* list = command->add_subcommand("list", "The policies that come with the program");
  list->fallthrough();
  list->footer(
      "Examples:\n"
      "  supercloud policy list");
  list->callback([&program] { program.exit_code = list_policies(program); });

  struct Arguments {
    ReplaySetup setup;
    std::string policy, vm;
    std::pair<std::string, std::string> both;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* test = command->add_subcommand(
      "test",
      "Let a policy decide over real prices, and say whether it is late, fails, or is caught");
  test->fallthrough();
  test->add_option("policy", arguments->policy, "A name, or a file")->required();
  add_replay_options(*test, arguments->setup);
  test->footer(
      "Exit code 1: it failed, or its VM was caught by the end of an instance.\n\n"
      "Examples:\n"
      "  supercloud policy test smart-spot --prices prices.json\n"
      "  supercloud policy test examples/policy.py --prices prices.json --answer-within 800ms");
  test->callback([arguments, test, &program] {
    program.exit_code = test_policy(*test, arguments->setup, arguments->policy, program);
  });

  auto comparison = std::make_shared<Arguments>();
  CLI::App* compare = command->add_subcommand(
      "compare", "Two policies over the same prices, week by week, and whether that may be chance");
  compare->fallthrough();
  compare->add_option("first", comparison->both.first, "A name, or a file")->required();
  compare->add_option("second", comparison->both.second, "A name, or a file")->required();
  add_replay_options(*compare, comparison->setup);
  compare->footer(
      "Exit code 1: one of them failed each time it was asked.\n\n"
      "Examples:\n"
      "  supercloud policy compare smart-spot cheapest --prices prices.json\n"
      "  supercloud policy compare smart-spot examples/policy.py --prices 2016.csv --type "
      "m4.xlarge "
      "--on-demand m4.xlarge=0.239");
  compare->callback([comparison, compare, &program] {
    program.exit_code = compare_policies(*compare, comparison->setup, comparison->both, program);
  });

  CLI::App* explain = command->add_subcommand(
      "explain", "What a VM's policy would do now, and why not more; nothing is done");
  explain->fallthrough();
  explain->add_option("vm", arguments->vm, "The VM: name, or tenant/name")->required();
  explain->footer(
      "Examples:\n"
      "  supercloud policy explain web1");
  explain->callback(
      [arguments, &program] { program.exit_code = explain_policy(arguments->vm, program); });
}

}  // namespace supercloud
