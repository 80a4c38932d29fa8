#include <cstdio>
#include <deque>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/zmq_bus.h"
#include "cli/client_bus.h"
#include "cli/cluster_target.h"

namespace supercloud {
namespace {

constexpr int redirects_max = 5;
constexpr Duration answer_deadline = absl::Seconds(5);
// A member that has died is waited for until its neighbours, and then this client, have missed it for silence_max.
constexpr Duration subscribe_deadline = absl::Seconds(15);
constexpr Duration settle_deadline = absl::Seconds(1);
constexpr Duration look_interval = absl::Milliseconds(100);

absl::StatusOr<Message<schema::Response>> understood(absl::StatusOr<std::string> bytes) {
  if (!bytes.ok()) return bytes.status();
  auto response = Message<schema::Response>::parse(*bytes);
  if (response.ok() && response->reader().getCode() != 0)
    return absl::Status(static_cast<absl::StatusCode>(response->reader().getCode()),
                        absl::string_view(text(response->reader().getMessage()).data(),
                                          response->reader().getMessage().size()));
  return response;
}

}  // namespace

struct ClusterClient::State final : BusReceiver {
  struct Subscription {
    Pattern pattern;
    std::function<void(const Event&)> each;
  };

  EventLoop loop;
  EventPool pool;
  std::deque<Subscription> subscriptions;
  std::function<void(const BusGap&)> gap;
  bool answered = false;  // by any member
  bool joined = false;
  std::set<std::string> shut_out_by;  // nodes
  Credentials credentials;            // none: the bus has no keys
  std::unique_ptr<ZmqBus> bus;        // first to go

  // As far as one's own trust file says.
  void warn_of_rights(const Pattern& pattern) const {
    if (credentials.key == nullptr) return;
    const std::string* own = credentials.trust->name_of(credentials.key->public_key().text());
    const std::string& prefix = pattern.wire_prefix();
    if (own == nullptr) return;
    const std::vector<std::string> allowed = credentials.trust->rights.allowed(*own, prefix);
    if (allowed.size() == 1 && allowed[0] == prefix) return;
    std::fprintf(stderr,
                 "%s has no right to subscribe all of %s: what it may not see is missing%s; "
                 "`subscribe` in the trust file gives it\n",
                 own->c_str(), pattern.text().c_str(),
                 allowed.empty() ? ", which is all of it" : "");
  }

  void on_event(Event event) override {
    for (const Subscription& subscription : subscriptions)
      if (subscription.pattern.matches(event.topic())) subscription.each(event);
  }
  void on_gap(const BusGap& missed) override {
    if (gap) gap(missed);
  }
  void on_request(std::string, std::string, Reply<std::string> answer) override {
    answer(absl::NotFoundError("a client serves nothing"));
  }
  void on_rejected(std::string, std::string) override {}
  void on_peer(std::string, bool alive) override { answered = answered || alive; }
};

ClusterClient::ClusterClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
ClusterClient::~ClusterClient() = default;

absl::StatusOr<std::unique_ptr<ClusterClient>> ClusterClient::connect(const ClusterTarget& target) {
  auto state = std::make_unique<State>();
  const auto unreachable = [&](std::string_view why) {
    return absl::UnavailableError(absl::StrCat("cluster ", target.name,
                                               " cannot be asked: ", std::string(why),
                                               "; its logs are in ", target.directory.string()));
  };
  auto options = client_options(target, "client");
  if (absl::IsUnavailable(options.status())) return unreachable("none of its processes runs");
  if (!options.ok()) return options.status();
  state->credentials = options->credentials;
  options->on_shut_out = [raw = state.get(), target, credentials = options->credentials](
                             const std::string& node, const std::string&) {
    if (!raw->shut_out_by.insert(node).second || !raw->joined) return;
    std::fprintf(stderr, "%s\n",
                 std::string(shut_out(target, credentials, node).message()).c_str());
  };
  auto bus = ZmqBus::open(state->loop, state->pool, *options);
  if (!bus.ok()) return bus.status();
  state->bus = *std::move(bus);
  state->bus->start(*state, {});
  std::unique_ptr<ClusterClient> client(new ClusterClient(std::move(state)));
  const State& seen = *client->state_;
  client->run_until(
      [&] { return seen.answered || seen.shut_out_by.size() == options->seeds.size(); },
      client->loop().clock().now() + answer_deadline);
  if (!seen.answered && !seen.shut_out_by.empty())
    return shut_out(target, seen.credentials, *seen.shut_out_by.begin());
  if (!seen.answered && seen.credentials.key != nullptr)
    return unreachable(
        "none of its processes answers, or none has the key that the trust file says");
  if (!seen.answered) return unreachable("none of its processes answers");
  // A subscription is in effect once every member that is there has confirmed it: then all of them are known.
  if (const auto joined = client->subscribe(Pattern::of("node.left.>"), [](const Event&) {});
      !joined.ok())
    return unreachable(std::string(joined.message()));
  client->state_->joined = true;
  for (const std::string& node : seen.shut_out_by)
    std::fprintf(stderr, "%s\n",
                 std::string(shut_out(target, seen.credentials, node).message()).c_str());
  return client;
}

void ClusterClient::send(const Address& to, const Message<schema::Request>& request,
                         Duration deadline,
                         std::function<void(absl::StatusOr<Message<schema::Response>>)> then,
                         std::shared_ptr<Call> call) {
  state_->bus->request(to, std::string(request.bytes()),
                       Reply<std::string>(
                           state_->loop.clock().now() + deadline,
                           [then = std::move(then)](absl::StatusOr<std::string> bytes) {
                             then(understood(std::move(bytes)));
                           },
                           std::move(call)));
}

// What was said to it before has arrived, or it does not answer.
void ClusterClient::settle(const std::string& node) {
  auto answered = std::make_shared<bool>(false);
  send({node, "node"},
       Message<schema::Request>::build([](schema::Request::Builder ping) { ping.setPing(); }),
       settle_deadline, [answered](const auto&) { *answered = true; });
  run_until([&] { return *answered; }, state_->loop.clock().now() + settle_deadline);
}

absl::StatusOr<Message<schema::Response>> ClusterClient::ask(
    const Address& to, const Message<schema::Request>& request, Duration deadline,
    const Waiting& waiting) {
  const Instant end = state_->loop.clock().now() + deadline;
  Address asked = to;
  for (int redirects = 0; redirects <= redirects_max; ++redirects) {
    // Outlives this call, as the reply may.
    auto answer = std::make_shared<std::optional<absl::StatusOr<Message<schema::Response>>>>();
    const auto call = std::make_shared<Call>(waiting.on_progress);
    send(
        asked, request, end - state_->loop.clock().now(),
        [answer](absl::StatusOr<Message<schema::Response>> response) {
          *answer = std::move(response);
        },
        call);
    const auto interrupted = [&] { return waiting.interrupted && waiting.interrupted(); };
    while (!answer->has_value() && state_->loop.clock().now() < end) {
      // A signal ends no wait for messages: it is looked at now and then.
      run_until(
          [&] { return answer->has_value() || interrupted(); },
          waiting.interrupted ? std::min(end, state_->loop.clock().now() + look_interval) : end);
      if (answer->has_value() || !interrupted()) continue;
      call->cancel();
      settle(asked.node);
      return absl::CancelledError(
          absl::StrCat("interrupted: ", asked.to_string(), " is told that nobody waits any more"));
    }
    if (!answer->has_value()) {
      call->cancel();  // what it would tell yet is nobody's
      return absl::DeadlineExceededError(absl::StrCat(asked.to_string(), " did not answer within ",
                                                      absl::FormatDuration(deadline)));
    }
    if (!(*answer)->ok() || !(**answer)->reader().isRedirect()) return **std::move(answer);
    asked.node = text((**answer)->reader().getRedirect());
  }
  return absl::UnavailableError(
      absl::StrCat(to.to_string(), ": nodes send each other in a circle; ask again in a moment"));
}

absl::Status ClusterClient::subscribe(const Pattern& pattern,
                                      std::function<void(const Event&)> each) {
  state_->subscriptions.push_back({pattern, std::move(each)});
  if (state_->joined) state_->warn_of_rights(pattern);
  auto joined = std::make_shared<std::optional<absl::Status>>();
  const Instant end = state_->loop.clock().now() + subscribe_deadline;
  state_->bus->subscribe(
      pattern.wire_prefix(),
      Reply<Done>(end, [joined](absl::StatusOr<Done> done) { *joined = done.status(); }));
  run_until([&] { return joined->has_value(); }, end);
  return joined->value_or(
      absl::DeadlineExceededError("the cluster did not confirm the subscription"));
}

void ClusterClient::on_gap(std::function<void(const BusGap&)> told) {
  state_->gap = std::move(told);
}

void ClusterClient::run_until(std::function<bool()> done, Instant deadline) {
  state_->loop.run_until(done, deadline - state_->loop.clock().now());
}

std::set<std::string> ClusterClient::members() const { return state_->bus->told_of(); }

EventLoop& ClusterClient::loop() { return state_->loop; }
EventPool& ClusterClient::pool() { return state_->pool; }

}  // namespace supercloud
