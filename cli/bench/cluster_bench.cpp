#include "cli/bench/cluster_bench.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/latency/latency_watcher.h"
#include "cli/suggest.h"

namespace supercloud {
namespace {

constexpr Duration probe_patience = absl::Seconds(10);
// A burst is soon over, also over a slow link, and long enough that its first and last messages do not count.
constexpr std::uint64_t probe_burst_messages = 1024, probe_burst_bytes = 2 << 20;

Message<schema::Request> probe_request(const std::string& resource, const std::string& content,
                                       std::uint64_t messages) {
  return Message<schema::Request>::build([&](schema::Request::Builder request) {
    auto access = request.initAccessResource();
    access.setResource(resource);
    access.initVm().setName(content);
    access.setBytes(messages * content.size());
  });
}

}  // namespace

absl::StatusOr<BenchSample> parse_probe_answer(const std::string& json) {
  const auto parsed = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  const auto number = [&parsed](const char* name) -> std::uint64_t {
    if (!parsed.is_object()) return 0;
    const auto found = parsed.find(name);
    return found != parsed.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
  };
  const BenchSample sample{.seconds = static_cast<double>(number("nanoseconds")) / 1e9,
                           .count = number("messages")};
  if (sample.count == 0 || sample.seconds <= 0)
    return absl::InvalidArgumentError(
        "the node answered with something else than a measurement: is it of another version?");
  return sample;
}

ClusterBench::ClusterBench(ClusterTarget target, ClusterBenchOptions options,
                           std::unique_ptr<ClusterClient> client)
    : target_(std::move(target)), options_(std::move(options)), client_(std::move(client)) {}

absl::StatusOr<std::unique_ptr<ClusterBench>> ClusterBench::connect(const ClusterTarget& target,
                                                                    ClusterBenchOptions options) {
  auto client = ClusterClient::connect(target);
  if (!client.ok()) return client.status();
  std::unique_ptr<ClusterBench> bench(
      new ClusterBench(target, std::move(options), *std::move(client)));
  if (absl::Status chosen = bench->choose(); !chosen.ok()) return chosen;
  // As long as makes the whole so long; a message cannot be shorter than one with a byte in it.
  const std::string& to = bench->options_.to;
  const std::size_t least = probe_request(to, "x", 1).bytes().size();
  const std::size_t wanted = std::max(least, bench->options_.bytes);
  bench->content_ = std::string(std::min(LinkProbe::content_bytes_max, wanted - least + 1), 'x');
  return bench;
}

absl::Status ClusterBench::choose() {
  if (!options_.from.empty() && options_.from == options_.to)
    return absl::FailedPreconditionError(
        absl::StrCat("--from and --to are both ", options_.to, ": a node is not far from itself"));
  std::string *const from = &options_.from, *const to = &options_.to;
  for (const std::string* given : {from, to})
    if (!given->empty())
      if (absl::Status can = check(*given); !can.ok()) return can;
  std::vector<std::string> fit;
  for (const NodeEntry& node : target_.nodes) {
    if (!from->empty() && !to->empty()) return absl::OkStatus();
    if (!node.alive || node.name == *from || node.name == *to) continue;
    const absl::Status can = check(node.name);
    // Who may ask none of them need not be told that of each.
    if (absl::IsCancelled(can) || absl::IsPermissionDenied(can)) return can;
    if (!can.ok()) continue;
    (from->empty() ? *from : *to) = node.name;
  }
  if (!from->empty() && !to->empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "it takes two nodes with a machine each, and of cluster ", target_.name, " ",
      from->empty() && to->empty() ? std::string("none answers")
                                   : absl::StrCat("only ", from->empty() ? *to : *from, " answers"),
      "; start another, or measure this machine with --local"));
}

absl::Status ClusterBench::check(const std::string& node) {
  const absl::Status can = ask(node, node, 1).status();
  if (can.ok() || absl::IsCancelled(can)) return can;
  std::vector<std::string> names;
  for (const NodeEntry& known : target_.nodes)
    if (known.alive) names.push_back(known.name);
  const bool known = std::find(names.begin(), names.end(), node) != names.end();
  if (!known && (absl::IsUnavailable(can) || absl::IsDeadlineExceeded(can)))
    return absl::NotFoundError(absl::StrCat("there is no node ", node, " in ", target_.name, "; ",
                                            suggest(node, names, "none of its nodes runs")));
  if (absl::IsNotFound(can))
    return absl::FailedPreconditionError(
        absl::StrCat("node ", node, " has no machine, and measures nothing: name another"));
  if (absl::IsUnimplemented(can))
    return absl::FailedPreconditionError(
        absl::StrCat("node ", node, " is of a version that measures nothing: update it"));
  return can;
}

absl::StatusOr<std::string> ClusterBench::ask(const std::string& node, const std::string& resource,
                                              std::uint64_t messages) {
  // Outlives this call, as the reply may.
  auto answer = std::make_shared<std::optional<absl::StatusOr<std::string>>>();
  client_->send({node, latency_actor}, probe_request(resource, content_, messages), probe_patience,
                [answer](absl::StatusOr<Message<schema::Response>> response) {
                  if (!response.ok())
                    *answer = response.status();
                  else
                    *answer = response->reader().isJson()
                                  ? std::string(text(response->reader().getJson()))
                                  : "";
                });
  client_->run_until([&] { return answer->has_value() || options_.stop(); },
                     client_->loop().clock().now() + probe_patience);
  if (answer->has_value()) return **answer;
  if (options_.stop()) return absl::CancelledError("stopped");
  return absl::DeadlineExceededError(
      absl::StrCat("node ", node, " did not answer within ", absl::FormatDuration(probe_patience)));
}

BenchSubject ClusterBench::subject() const {
  return {
      .cluster = target_.name, .from = options_.from, .to = options_.to, .bytes = options_.bytes};
}

absl::StatusOr<BenchSample> ClusterBench::measure(std::uint64_t messages) {
  const absl::StatusOr<std::string> answer = ask(options_.from, options_.to, messages);
  if (!answer.ok())
    return absl::Status(answer.status().code(), absl::StrCat(options_.from, " to ", options_.to,
                                                             ": ", answer.status().message()));
  return parse_probe_answer(*answer);
}

std::vector<BenchPlan> ClusterBench::plans() {
  const std::uint64_t messages =
      std::clamp<std::uint64_t>(probe_burst_bytes / content_.size(), 1, probe_burst_messages);
  return {{.name = "round_trip",
           .what = "round trip: a request to an actor there, and its answer",
           .once = [this] { return measure(1); }},
          {.name = "throughput",
           .what = "requests answered, 64 under way at a time",
           .rate = true,
           .once = [this, messages] { return measure(messages); }}};
}

}  // namespace supercloud
