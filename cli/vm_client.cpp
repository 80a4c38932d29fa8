#include "cli/vm_client.h"

#include <algorithm>
#include <iostream>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/migration/commands.h"
#include "cli/interrupt.h"
#include "cli/live_lines.h"
#include "cli/suggest.h"
#include "core/topic.h"
#include "core/vm_spec.h"

namespace supercloud {
namespace {

constexpr Duration list_deadline = absl::Seconds(3);

absl::Status nobody_hosts(const std::string& cluster) {
  return absl::UnavailableError(
      absl::StrCat("no node of ", cluster, " that hosts VMs runs now; try again in a moment"));
}

Message<schema::Request> list_request() {
  return Message<schema::Request>::build(
      [](schema::Request::Builder builder) { builder.setListVms(); });
}

}  // namespace

absl::StatusOr<VmName> parse_vm_name(const std::string& text, const std::string& tenant) {
  absl::StatusOr<VmName> vm = VmName::parse(text);
  if (!vm.ok() || tenant.empty()) return vm;
  if (text.find('/') == std::string::npos) vm->tenant = tenant;
  if (vm->tenant == tenant) return vm;
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" and --tenant ", tenant,
                                                 " name two tenants: leave one of them out"));
}

absl::StatusOr<Duration> parse_span(const std::string& option, const std::string& written,
                                    const std::string& example) {
  Duration span;
  if (written.empty() || (absl::ParseDuration(written, &span) && span > absl::ZeroDuration() &&
                          span <= absl::Hours(24 * 365)))
    return span;
  return absl::InvalidArgumentError(
      absl::StrCat(option, " ", written, " is no duration of up to a year: write ", example));
}

VmFacts VmFacts::from(schema::Response::VmView::Reader view) {
  VmFacts facts;
  facts.name = str(text(view.getSpec().getName()));
  facts.tenant = str(text(view.getSpec().getTenant()));
  facts.node = str(text(view.getNode()));
  facts.place = str(text(view.getPlace()));
  facts.state = str(text(view.getState()));
  if (view.getSpec().getDestroyed()) facts.state = "being destroyed";
  facts.heir = str(text(view.getHeir()));
  facts.epoch = view.getEpoch();
  facts.migration = EventId::from(view.getMigration());
  for (const auto node : view.getInSync()) facts.in_sync.push_back(str(text(node)));
  facts.spec = Message<schema::VmSpec>::build(
      [&](schema::VmSpec::Builder spec) { copy_spec(view.getSpec(), spec); });
  return facts;
}

absl::StatusOr<std::unique_ptr<VmClient>> VmClient::connect(const Program& program) {
  auto target = find_cluster(program);
  if (!target.ok()) return target.status();
  if (!target->running)
    return absl::UnavailableError(
        absl::StrCat("cluster ", target->name, " does not run, so its VMs cannot be asked for: ",
                     "`supercloud demo` starts one; `supercloud explain VM --cluster ",
                     target->name, "` tells what happened in it"));
  auto client = ClusterClient::connect(*target);
  if (!client.ok()) return client.status();
  return std::unique_ptr<VmClient>(new VmClient(*std::move(target), *std::move(client)));
}

std::vector<std::string> VmClient::nodes() const {
  std::vector<std::string> names;
  for (const NodeEntry& node : target_.nodes)
    if (node.alive) names.push_back(node.name);
  return names;
}

absl::StatusOr<Message<schema::Response>> VmClient::ask_node(
    const std::string& node, const Message<schema::Request>& request, Duration deadline,
    const Waiting& waiting) {
  return client_->ask({node, "executor"}, request, deadline, waiting);
}

absl::StatusOr<Message<schema::Response>> VmClient::ask_patiently(
    const Message<schema::Request>& request, Duration deadline) {
  const Interrupt interrupt;
  LiveLines lines(now(), /*quiet=*/!LiveLines::on_terminal());
  const Waiting waiting{.on_progress =
                            [&](const Progress& progress) {
                              lines.status(now(), [progress](std::size_t width) {
                                return progress_line(progress, width);
                              });
                            },
                        .interrupted = [&] { return interrupt.requested(); }};
  auto answer = ask(request, deadline, waiting);
  lines.end();
  return answer;
}

absl::StatusOr<Message<schema::Response>> VmClient::ask(const Message<schema::Request>& request,
                                                        Duration deadline, const Waiting& waiting) {
  const Instant end = now() + deadline;
  absl::StatusOr<Message<schema::Response>> answer =
      absl::UnavailableError(absl::StrCat("no node of ", target_.name, " runs"));
  for (const std::string& node : nodes()) {
    answer = ask_node(node, request, std::max(end - now(), absl::Milliseconds(100)), waiting);
    if (absl::IsUnavailable(answer.status()) || absl::IsUnimplemented(answer.status())) {
      if (now() >= end) return answer;
      continue;
    }
    // NotFound is the word of a process that hosts no executor too, about the actor.
    if (!absl::IsNotFound(answer.status()) || hosts_vms(node)) return answer;
    answer = nobody_hosts(target_.name);
    if (now() >= end) return answer;
  }
  if (absl::IsUnimplemented(answer.status())) return nobody_hosts(target_.name);
  return answer;
}

bool VmClient::hosts_vms(const std::string& node) {
  return ask_node(node, list_request(), list_deadline).ok();
}

absl::StatusOr<bool> VmClient::was_there(const VmName& vm) {
  const auto pattern =
      Pattern::parse(absl::StrCat("vm.*.", encode_token(vm.tenant), ".", encode_token(vm.name)));
  if (!pattern.ok()) return false;  // no VM can have such a name
  const auto history = read_history(target_, *pattern, client_->pool(), client_.get());
  if (!history.ok()) return history.status();
  return !history->empty();
}

absl::StatusOr<std::vector<VmFacts>> VmClient::list() {
  const auto request = list_request();
  std::map<std::string, VmFacts> known;
  absl::Status problem = absl::UnavailableError(absl::StrCat("no node of ", target_.name, " runs"));
  bool answered = false;
  for (const std::string& node : nodes()) {
    const auto answer = ask_node(node, request, list_deadline);
    if (!answer.ok() || !answer->reader().isVms()) {
      if (!answer.ok()) problem = answer.status();
      continue;
    }
    answered = true;
    for (const auto view : answer->reader().getVms()) {
      VmFacts facts = VmFacts::from(view);
      auto& slot = known[facts.key()];
      const bool holder = facts.node == node;
      if (slot.place.empty() || holder) {
        if (facts.place.empty()) facts.place = slot.place;
        slot = std::move(facts);
      }
    }
  }
  if (!answered && absl::IsNotFound(problem)) return nobody_hosts(target_.name);
  if (!answered) return problem;
  std::vector<VmFacts> vms;
  for (auto& [key, facts] : known) vms.push_back(std::move(facts));
  return vms;
}

absl::StatusOr<VmFacts> VmClient::show(const VmName& vm) {
  const auto answer = ask(Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { vm.write(builder.initShowVm()); }));
  if (!answer.ok()) return answer.status();
  if (!answer->reader().isVms() || answer->reader().getVms().size() != 1)
    return absl::InternalError(
        absl::StrCat("the node that holds ", vm.to_string(),
                     " answered with something else: are both of one version?"));
  return VmFacts::from(answer->reader().getVms()[0]);
}

int tell_vm_error(const absl::Status& status, const std::string& vm, VmClient* client) {
  complain(status, exit_failed);
  if (client == nullptr) {
    if (absl::IsInvalidArgument(status)) return exit_usage;
    return exit_unreachable;
  }
  if (absl::IsNotFound(status)) {
    if (const auto vms = client->list(); vms.ok()) {
      std::vector<std::string> names;
      const std::string wanted = vm.starts_with("main/") ? vm.substr(5) : vm;
      for (const VmFacts& facts : *vms)
        names.push_back(facts.tenant == "main" ? facts.name : facts.key());
      std::cerr << suggest(wanted, names,
                           "there are no VMs: `supercloud vm create FILE.toml` makes one")
                << "\n";
    }
    return exit_no_match;
  }
  if (absl::IsCancelled(status)) return exit_interrupted;
  return absl::IsUnavailable(status) ? exit_unreachable : exit_failed;
}

}  // namespace supercloud
