#include "storage/remote_lease_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/lease_codec.h"
#include "storage/lease_site.h"

namespace supercloud {
namespace {

using Request = Message<schema::Request>;
using Response = Message<schema::Response>;
using OnResponse = absl::AnyInvocable<void(absl::StatusOr<Response>) &&>;

// Unavailable, as the caller must not take it for a refusal: the call may have taken effect.
absl::Status unexpected() {
  return absl::UnavailableError(
      "the lease site's answer makes no sense here; are both nodes' versions the same?");
}

absl::StatusOr<Response> to_response(absl::StatusOr<std::string> bytes) {
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<Response> response = Response::parse(*bytes);
  if (!response.ok()) return unexpected();
  if (absl::Status status = response_status(response->reader()); !status.ok()) return status;
  return response;
}

absl::StatusOr<Done> to_done(const Response& response) {
  if (!response.reader().isDone()) return unexpected();
  return Done{};
}

absl::StatusOr<Session> to_session(const Response& response) {
  if (!response.reader().isSession()) return unexpected();
  const auto session = response.reader().getSession();
  if (session.getId().size() == 0 || session.getTtlNs() <= 0) return unexpected();
  return Session{.id = std::string(text(session.getId())),
                 .ttl = absl::Nanoseconds(session.getTtlNs()),
                 .went_on = session.getWentOn()};
}

absl::StatusOr<SwapResult> to_swap_result(const Response& response) {
  if (!response.reader().isSwapResult()) return unexpected();
  const auto fields = response.reader().getSwapResult();
  SwapResult result{.won = fields.getWon(),
                    .why = std::string(text(fields.getWhy())),
                    .claimed_by = std::string(text(fields.getClaimedBy()))};
  if (fields.getHasLease()) {
    absl::StatusOr<LeaseRecord> record = read_lease(fields.getLease());
    if (!record.ok()) return unexpected();
    result.record = *std::move(record);
  }
  return result;
}

absl::StatusOr<LeaseRecord> to_lease(const Response& response) {
  if (!response.reader().isLease()) return unexpected();
  absl::StatusOr<LeaseRecord> record = read_lease(response.reader().getLease());
  // Not understood is not absent.
  if (!record.ok()) return unexpected();
  return record;
}

bool worth_another_try(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

template <class T, class Convert>
OnResponse answering(Reply<T> reply, Convert convert) {
  return [reply = std::move(reply), convert](absl::StatusOr<Response> response) mutable {
    if (response.ok()) {
      reply(convert(*response));
    } else {
      reply(response.status());
    }
  };
}

}  // namespace

struct RemoteLeaseTable::State : std::enable_shared_from_this<RemoteLeaseTable::State> {
  State(Scheduler& s, Bus& b, std::string site, RemoteLeaseTableOptions o)
      : scheduler(s), bus(b), address{std::move(site), std::string(lease_site_actor)}, options(o) {}

  // One attempt.
  void ask(const Request& request, Instant deadline, OnResponse then) {
    bus.request(address, std::string(request.bytes()),
                Reply<std::string>(deadline, [weak = weak_from_this(), then = std::move(then)](
                                                 absl::StatusOr<std::string> bytes) mutable {
                  if (!weak.expired()) std::move(then)(to_response(std::move(bytes)));
                }));
  }

  // As many as the deadline allows, and at least one.
  void ask_until(Request request, Instant deadline, OnResponse then) {
    const Instant now = scheduler.clock().now();
    const Instant attempt_ends = std::min(deadline, now + options.attempt);
    ask(request, attempt_ends,
        [this, request, deadline,
         then = std::move(then)](absl::StatusOr<Response> response) mutable {
          const Instant again = scheduler.clock().now() + options.pause;
          if (response.ok() || !worth_another_try(response.status()) || again >= deadline) {
            std::move(then)(std::move(response));
            return;
          }
          scheduler.at(again, [weak = weak_from_this(), request = std::move(request), deadline,
                               then = std::move(then)]() mutable {
            if (const auto state = weak.lock()) {
              state->ask_until(std::move(request), deadline, std::move(then));
            }
          });
        });
  }

  void list_from(LeaseQuery query, std::string after, std::vector<LeaseRecord> have,
                 Reply<std::vector<LeaseRecord>> reply) {
    const auto request = Request::build([&](schema::Request::Builder builder) {
      auto fields = builder.initListLeases();
      fields.setPrefix(query.prefix);
      fields.setNode(query.node);
      fields.setAfter(after);
    });
    const Instant deadline = reply.deadline();
    ask_until(request, deadline,
              [this, query = std::move(query), after = std::move(after), have = std::move(have),
               reply = std::move(reply)](absl::StatusOr<Response> response) mutable {
                if (!response.ok()) {
                  reply(response.status());
                  return;
                }
                if (!response->reader().isLeases()) {
                  reply(unexpected());
                  return;
                }
                for (const auto lease : response->reader().getLeases()) {
                  absl::StatusOr<LeaseRecord> record = read_lease(lease);
                  if (!record.ok()) {
                    reply(record.status());
                    return;
                  }
                  if (record->key <= after) {  // else a faulty site could keep us asking for ever
                    reply(unexpected());
                    return;
                  }
                  after = record->key;
                  have.push_back(*std::move(record));
                }
                if (!response->reader().getMore() || response->reader().getLeases().size() == 0) {
                  reply(std::move(have));
                  return;
                }
                list_from(std::move(query), std::move(after), std::move(have), std::move(reply));
              });
  }

  Scheduler& scheduler;
  Bus& bus;
  const Address address;
  const RemoteLeaseTableOptions options;
};

RemoteLeaseTable::RemoteLeaseTable(Scheduler& scheduler, Bus& bus, std::string site_node,
                                   RemoteLeaseTableOptions options)
    : state_(std::make_shared<State>(scheduler, bus, std::move(site_node), options)) {}

RemoteLeaseTable::~RemoteLeaseTable() = default;

void RemoteLeaseTable::open_session(OpenSession open, Reply<Session> reply) {
  const auto request = Request::build([&](schema::Request::Builder builder) {
    auto fields = builder.initOpenSession();
    fields.setNode(open.node);
    fields.setIdentity(open.identity);
  });
  const Instant deadline = reply.deadline();
  state_->ask(request, deadline, answering(std::move(reply), to_session));
}

void RemoteLeaseTable::renew(SessionId session, Reply<Done> reply) {
  const auto request =
      Request::build([&](schema::Request::Builder builder) { builder.setRenewSession(session); });
  const Instant deadline = reply.deadline();
  state_->ask_until(request, deadline, answering(std::move(reply), to_done));
}

void RemoteLeaseTable::end_session(SessionId session, Reply<Done> reply) {
  const auto request =
      Request::build([&](schema::Request::Builder builder) { builder.setEndSession(session); });
  const Instant deadline = reply.deadline();
  state_->ask(request, deadline, answering(std::move(reply), to_done));
}

void RemoteLeaseTable::swap(Swap swap, Reply<SwapResult> reply) {
  // Not sent if it could not be taken: an oversized one would otherwise come back as if its outcome were open.
  if (absl::Status good = validate(swap); !good.ok()) {
    state_->scheduler.post(
        [reply = std::move(reply), good = std::move(good)]() mutable { reply(std::move(good)); });
    return;
  }
  const auto request = Request::build(
      [&](schema::Request::Builder builder) { write_swap(swap, builder.initSwap()); });
  const Instant deadline = reply.deadline();
  state_->ask(request, deadline, answering(std::move(reply), to_swap_result));
}

void RemoteLeaseTable::read(std::string key, Reply<LeaseRecord> reply) {
  const auto request =
      Request::build([&](schema::Request::Builder builder) { builder.setReadLease(key); });
  const Instant deadline = reply.deadline();
  state_->ask_until(request, deadline, answering(std::move(reply), to_lease));
}

void RemoteLeaseTable::list(LeaseQuery query, Reply<std::vector<LeaseRecord>> reply) {
  state_->list_from(std::move(query), "", {}, std::move(reply));
}

}  // namespace supercloud
