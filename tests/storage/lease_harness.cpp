#include "tests/storage/lease_harness.h"

#include <gtest/gtest.h>

#include <optional>

namespace supercloud {
namespace {

// The value with which `start` calls its reply.
template <class T>
absl::StatusOr<T> wait(LeaseHarness& on, absl::FunctionRef<void(Reply<T>)> start) {
  auto value = std::make_shared<std::optional<absl::StatusOr<T>>>();
  start(Reply<T>(on.now() + absl::Seconds(30),
                 [value](absl::StatusOr<T> answer) { value->emplace(std::move(answer)); }));
  if (!on.drive([&] { return value->has_value(); })) {
    ADD_FAILURE() << "no answer came";
    return absl::InternalError("no answer came");
  }
  return *std::move(*value);
}

}  // namespace

absl::StatusOr<Session> LeaseHarness::open(std::string node, std::string identity) {
  return wait<Session>(*this, [&](Reply<Session> reply) {
    table().open_session({node, identity}, std::move(reply));
  });
}

absl::StatusOr<Done> LeaseHarness::renew(SessionId session) {
  return wait<Done>(*this, [&](Reply<Done> reply) { table().renew(session, std::move(reply)); });
}

absl::StatusOr<Done> LeaseHarness::end(SessionId session) {
  return wait<Done>(*this,
                    [&](Reply<Done> reply) { table().end_session(session, std::move(reply)); });
}

absl::StatusOr<SwapResult> LeaseHarness::swap(Swap swap) {
  return wait<SwapResult>(*this,
                          [&](Reply<SwapResult> reply) { table().swap(swap, std::move(reply)); });
}

absl::StatusOr<LeaseRecord> LeaseHarness::read(std::string key) {
  return wait<LeaseRecord>(*this,
                           [&](Reply<LeaseRecord> reply) { table().read(key, std::move(reply)); });
}

absl::StatusOr<std::vector<LeaseRecord>> LeaseHarness::list(LeaseQuery query) {
  return wait<std::vector<LeaseRecord>>(
      *this, [&](Reply<std::vector<LeaseRecord>> reply) { table().list(query, std::move(reply)); });
}

}  // namespace supercloud
