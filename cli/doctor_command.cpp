#include "cli/doctor_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/cluster_target.h"
#include "cli/program.h"
#include "cli/run_directory.h"
#include "cli/text_table.h"
#include "core/lease_table.h"

namespace supercloud {
namespace {

constexpr Duration table_deadline = absl::Seconds(3);

MachineFacts::Cluster look_at_cluster(const Program& program) {
  MachineFacts::Cluster cluster;
  const auto target = find_cluster(program.cluster, state_root());
  if (!target.ok()) {
    if (!absl::IsNotFound(target.status()) || !program.cluster.empty())
      cluster.problem = std::string(target.status().message());
    return cluster;
  }
  cluster.name = target->name;
  cluster.running = target->running;
  if (!target->running) return cluster;
  const auto client = ClusterClient::connect(*target);
  if (!client.ok()) {
    cluster.problem = std::string(client.status().message());
    return cluster;
  }
  if (target->site.empty()) {
    cluster.leases_on_etcd = true;
    return cluster;
  }
  const auto request = Message<schema::Request>::build(
      [](schema::Request::Builder builder) { builder.initListLeases().setPrefix(vm_keys); });
  const auto answer = (*client)->ask({target->site, "lease"}, request, table_deadline);
  cluster.table_answers = answer.ok();
  if (!answer.ok()) cluster.problem = std::string(answer.status().message());
  return cluster;
}

}  // namespace

std::string doctor_text(const std::vector<Finding>& findings) {
  std::vector<std::vector<std::string>> rows = {{"", "what", "found"}};
  std::string details;
  for (const Finding& finding : findings) {
    rows.push_back({to_string(finding.standing), finding.name, finding.found});
    if (finding.standing == Standing::present) continue;
    absl::StrAppend(&details, "\n", finding.name, "\n  costs  ", finding.costs, "\n  cure   ",
                    finding.cure, "\n");
  }
  const auto count = [&](Standing standing) {
    return std::count_if(findings.begin(), findings.end(),
                         [&](const Finding& finding) { return finding.standing == standing; });
  };
  return absl::StrCat(text_table(rows), details, "\n", count(Standing::present), " ok, ",
                      count(Standing::missing), " missing, ", count(Standing::wrong), " wrong; ",
                      count(Standing::wrong) == 0
                          ? "the demo and all simulated parts need nothing of what is missing"
                          : "mend what is wrong first",
                      "\n");
}

std::string doctor_json(const std::vector<Finding>& findings) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const Finding& finding : findings)
    json.push_back({{"name", finding.name},
                    {"standing", to_string(finding.standing)},
                    {"found", finding.found},
                    {"costs", finding.costs},
                    {"cure", finding.cure}});
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int doctor_exit_code(const std::vector<Finding>& findings) {
  const bool wrong = std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.standing == Standing::wrong;
  });
  return wrong ? exit_failed : exit_ok;
}

void add_doctor_command(CLI::App& root, Program& program) {
  CLI::App* command =
      root.add_subcommand("doctor", "What this machine has, what is missing, and what cures it");
  command->fallthrough();
  command->footer(
      "Looks, and changes nothing. Exit code 1: something is wrong; that something is missing is "
      "no failure.\n\n"
      "Examples:\n  supercloud doctor\n  supercloud doctor --json");
  command->callback([&program] {
    MachineFacts facts = look_at_machine(state_root());
    facts.cluster = look_at_cluster(program);
    const std::vector<Finding> findings = diagnose(facts);
    std::cout << (program.json ? doctor_json(findings) : doctor_text(findings)) << std::flush;
    program.exit_code = doctor_exit_code(findings);
  });
}

}  // namespace supercloud
