// The checks of a move: what is asked of the source, of the target, and of the way between them.
#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/migration/proposals.h"

namespace supercloud {
namespace {

Message<schema::Request> check_request(const VmWorker& worker, const std::string& source,
                                       Duration hold) {
  return Message<schema::Request>::build([&](schema::Request::Builder builder) {
    auto prepare = builder.initPrepareIncoming();
    prepare.setVm(worker.spec()->reader());
    prepare.setSource(source);
    prepare.setCheckOnly(true);
    prepare.setHoldNs(absl::ToInt64Nanoseconds(hold));
  });
}

// What is waited for, of one check.
struct Checking {
  std::vector<Failure> failures, of_way;
  std::optional<Way> way;
  bool target_answered = false, way_tried = false;
  std::function<void()> release;  // the room that the target holds
  Proposals::Checked done;
  // Of who asks; null: nobody hears of it.
  std::shared_ptr<Call> call;
  std::shared_ptr<Call> target_asked;
  std::string target;
  bool way_again = false;  // it is measured once more

  // The checks here, at the target and of the way are three.
  void tell() const {
    if (call == nullptr || !done) return;
    std::string what;
    if (!target_answered) what = absl::StrCat("asking ", target);
    if (!way_tried)
      absl::StrAppend(&what, what.empty() ? "" : ", ", "measuring the way of memory to ", target,
                      way_again ? " once more" : "");
    call->tell({std::uint64_t{1} + (target_answered ? 1 : 0) + (way_tried ? 1 : 0), 3, what});
  }
  // Nobody waits for it any more.
  void give_up() {
    done = nullptr;
    if (target_asked != nullptr) target_asked->cancel();
  }

  void look() {
    if (!(target_answered && way_tried)) tell();
    if (!done || !target_answered || !way_tried) return;
    if (failures.empty() && !of_way.empty() && release) release();
    std::ranges::move(of_way, std::back_inserter(failures));
    std::exchange(done, nullptr)(std::move(failures), way);
  }
};

}  // namespace

std::optional<NodeFacts> Proposals::here_until(Instant deadline) const {
  const NodeFacts* here = shared_.nodes.find(shared_.context.node());
  if (here == nullptr) return std::nullopt;
  NodeFacts facts = *here;
  if (deadline == far_future) return facts;
  facts.noticed = true;
  facts.gone_by =
      std::min(facts.gone_by, shared_.context.wall() + (deadline - shared_.context.now()));
  return facts;
}

void Proposals::check(const std::string& vm, const std::string& target_node, Duration time_left,
                      Duration hold, bool measure, Checked done, std::shared_ptr<Call> call) {
  const VmWorker* worker = find_(vm);
  if (worker == nullptr || !worker->spec())
    return done(
        {{"vm", absl::StrCat(vm, " is not held by this node"), "ask the node that holds it"}}, {});
  const auto flight = pending_.find(vm);
  const bool leaving = flight != pending_.end() && flight->second.leaving();
  const std::optional<NodeFacts> here = here_until(leaving ? flight->second.deadline : far_future);
  const NodeFacts* target = shared_.nodes.find(target_node);
  auto checking = std::make_shared<Checking>();
  checking->done = std::move(done);
  checking->call = std::move(call);
  checking->target = target_node;
  if (checking->call != nullptr)
    checking->call->when_cancelled([weak = std::weak_ptr<Checking>(checking)] {
      if (const auto open = weak.lock(); open != nullptr) open->give_up();
    });
  checking->failures =
      preflight_here(worker->spec()->reader(), worker->state(), here ? &*here : nullptr, target,
                     shared_.seams.session.current().has_value(), time_left);
  if (!checking->failures.empty()) hold = absl::ZeroDuration();
  if (hold > absl::ZeroDuration())
    checking->release = [this, vm, target_node] {
      const VmWorker* still = find_(vm);
      if (still == nullptr || !still->spec()) return;
      shared_.context.request({target_node, "executor"},
                              check_request(*still, shared_.context.node(), absl::ZeroDuration()),
                              shared_.options.call_deadline,
                              [](const absl::StatusOr<Message<schema::Response>>&) {});
    };
  checking->target_asked = shared_.context.request(
      {target_node, "executor"}, check_request(*worker, shared_.context.node(), hold),
      shared_.options.call_deadline,
      [checking, target_node](absl::StatusOr<Message<schema::Response>> answer) {
        if (!checking->done) return;
        std::vector<Failure>& failures = checking->failures;
        if (!answer.ok()) {
          failures.push_back(
              {"reachable",
               absl::StrCat(target_node, " does not answer: ", answer.status().message()),
               "see whether the node runs and the network reaches it", /*there=*/true});
          checking->way_tried = true;  // nor is the way waited for
        } else if (answer->reader().isChecks()) {
          for (auto check : answer->reader().getChecks()) {
            Failure failure{std::string(text(check.getName())),
                            std::string(text(check.getDetail())),
                            std::string(text(check.getCure())), /*there=*/true};
            const bool known =
                std::any_of(failures.begin(), failures.end(), [&](const Failure& other) {
                  return other.name == failure.name && other.detail == failure.detail;
                });
            if (!known) failures.push_back(std::move(failure));
          }
        }
        checking->target_answered = true;
        checking->look();
      });
  // Who has to leave goes without its memory, if need be; between unlike hypervisors there is no way.
  if (leaving || target == nullptr || target->left || target->endpoint.empty() ||
      target_node == shared_.context.node() || (here && here->hypervisor != target->hypervisor)) {
    checking->way_tried = true;
    return checking->look();
  }
  checking->tell();
  check_way(
      vm, target_node, time_left, measure,
      [checking](const std::vector<Failure>& failures, const absl::StatusOr<Way>& way) {
        checking->of_way = failures;
        if (way.ok()) checking->way = *way;
        checking->way_tried = true;
        checking->look();
      },
      [checking] {
        checking->way_again = true;
        checking->tell();
        return static_cast<bool>(checking->done);
      });
}

void Proposals::check_way(const std::string& vm, const std::string& target, Duration time_left,
                          bool measure, WayChecked done, std::function<bool()> again) {
  const NodeFacts* node = shared_.nodes.find(target);
  if (node == nullptr || node->endpoint.empty()) return done({}, absl::UnknownError(""));
  const Instant end = shared_.context.now() + time_left;
  const auto tried = [this, vm, target, end, endpoint = node->endpoint, done = std::move(done),
                      again = std::move(again)](const absl::StatusOr<Way>& way) {
    const auto failures = way_failures(vm, target, way, end - shared_.context.now());
    if (failures.empty() || !way.ok()) return done(failures, way);
    if (again && !again()) return;
    ways_.measure_again(
        endpoint, [this, vm, target, end, done, first = *way](const absl::StatusOr<Way>& second) {
          // Not measured again: what was seen first is told, and refuses nothing.
          if (second.ok() && second->bytes_per_second == 0) return done({}, first);
          done(way_failures(vm, target, second, end - shared_.context.now()), second);
        });
  };
  if (measure)
    ways_.measure(node->endpoint, tried);
  else
    ways_.reach(node->endpoint, tried);
}

// How much of its memory the guest has touched is looked at only where it matters; where that is not known nothing is refused.
std::vector<Failure> Proposals::way_failures(const std::string& vm, const std::string& target,
                                             const absl::StatusOr<Way>& way,
                                             Duration time_left) const {
  const VmWorker* worker = find_(vm);
  const NodeFacts* node = shared_.nodes.find(target);
  if (worker == nullptr || !worker->spec() || node == nullptr) return {};
  auto failures = preflight_way(way, *node, worker->spec()->reader().getMemoryBytes(), time_left);
  if (failures.empty() || !way.ok()) return failures;
  return preflight_way(way, *node, shared_.seams.hypervisor.touched_bytes(vm), time_left);
}

void Proposals::measure_way(const std::string& vm, const EventId& id, const std::string& target) {
  const VmWorker* begun = find_(vm);
  if (begun == nullptr || !begun->outgoing()) return;
  check_way(vm, target, begun->outgoing()->deadline - shared_.context.now(), /*measure=*/true,
            [this, vm, id](const std::vector<Failure>& failures, const absl::StatusOr<Way>& way) {
              VmWorker* worker = find_(vm);
              if (!way.ok() || failures.empty() || worker == nullptr) return;
              const auto& out = worker->outgoing();
              if (out && out->migration == id && !out->sending && out->no_return == far_future)
                worker->fail_outgoing("it cannot be done in time: " + failures.front().detail);
            });
}

std::vector<Failure> Proposals::check_rented(const VmWorker& worker, const std::string& place,
                                             Duration time_left) const {
  return preflight_rented(worker.spec()->reader(), worker.state(), shared_.nodes,
                          shared_.context.node(), place,
                          shared_.seams.session.current().has_value(), time_left);
}

}  // namespace supercloud
