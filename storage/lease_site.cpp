#include "storage/lease_site.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/lease_codec.h"

namespace supercloud {
namespace {

using Response = Message<schema::Response>;

// Of a page of a listing, so that the answer stays below what one message may hold.
constexpr std::size_t page_bytes_max = 512 << 10;

Response done_response() {
  return Response::build([](schema::Response::Builder builder) { builder.setDone(); });
}

Response session_response(const Session& session) {
  return Response::build([&](schema::Response::Builder builder) {
    auto fields = builder.initSession();
    fields.setId(session.id);
    fields.setTtlNs(absl::ToInt64Nanoseconds(session.ttl));
    fields.setWentOn(session.went_on);
  });
}

Response swap_response(const SwapResult& result) {
  return Response::build([&](schema::Response::Builder builder) {
    auto fields = builder.initSwapResult();
    fields.setWon(result.won);
    fields.setWhy(result.why);
    fields.setHasLease(result.record.has_value());
    fields.setClaimedBy(result.claimed_by);
    if (result.record) write_lease(*result.record, fields.initLease());
  });
}

Response lease_response(const LeaseRecord& record) {
  return Response::build(
      [&](schema::Response::Builder builder) { write_lease(record, builder.initLease()); });
}

std::size_t rough_bytes(const LeaseRecord& record) {
  std::size_t bytes = 512 + record.value.size() + record.claim.size();
  for (const std::string& node : record.in_sync) bytes += node.size() + 16;
  return bytes;
}

Response leases_response(const std::vector<LeaseRecord>& records, const std::string& after) {
  std::vector<const LeaseRecord*> page;
  std::size_t bytes = 0;
  bool more = false;
  for (const LeaseRecord& record : records) {
    if (!after.empty() && record.key <= after) continue;
    bytes += rough_bytes(record);
    more = !page.empty() && bytes > page_bytes_max;
    if (more) break;
    page.push_back(&record);
  }
  return Response::build([&](schema::Response::Builder builder) {
    auto leases = builder.initLeases(static_cast<unsigned>(page.size()));
    for (unsigned i = 0; i < leases.size(); ++i) write_lease(*page[i], leases[i]);
    builder.setMore(more);
  });
}

// A table's reply that answers a request, with what `respond` makes of the value.
template <class T, class Respond>
Reply<T> forward(Answer answer, Respond respond) {
  const Instant deadline = answer.deadline();
  return Reply<T>(deadline, [answer = std::move(answer),
                             respond = std::move(respond)](absl::StatusOr<T> value) mutable {
    if (value.ok()) {
      answer(respond(*value));
    } else {
      answer(value.status());
    }
  });
}

}  // namespace

void LeaseSite::receive(const Event&) {}

// What does not hold of the fields' contents is for the table to refuse: it does so for every caller alike.
void LeaseSite::serve(Message<schema::Request> request, Answer answer) {
  const schema::Request::Reader reader = request.reader();
  switch (reader.which()) {
    case schema::Request::PING:
      answer(done_response());
      return;
    case schema::Request::OPEN_SESSION: {
      const auto fields = reader.getOpenSession();
      OpenSession open{.node = std::string(text(fields.getNode())),
                       .identity = std::string(text(fields.getIdentity()))};
      table_.open_session(std::move(open), forward<Session>(std::move(answer), session_response));
      return;
    }
    case schema::Request::RENEW_SESSION:
      table_.renew(std::string(text(reader.getRenewSession())),
                   forward<Done>(std::move(answer), [](Done) { return done_response(); }));
      return;
    case schema::Request::END_SESSION:
      table_.end_session(std::string(text(reader.getEndSession())),
                         forward<Done>(std::move(answer), [](Done) { return done_response(); }));
      return;
    case schema::Request::SWAP: {
      absl::StatusOr<Swap> swap = read_swap(reader.getSwap());
      if (!swap.ok()) {
        answer(swap.status());
        return;
      }
      table_.swap(*std::move(swap), forward<SwapResult>(std::move(answer), swap_response));
      return;
    }
    case schema::Request::READ_LEASE:
      table_.read(std::string(text(reader.getReadLease())),
                  forward<LeaseRecord>(std::move(answer), lease_response));
      return;
    case schema::Request::LIST_LEASES: {
      const auto fields = reader.getListLeases();
      table_.list({.prefix = std::string(text(fields.getPrefix())),
                   .node = std::string(text(fields.getNode()))},
                  forward<std::vector<LeaseRecord>>(std::move(answer),
                                                    [after = std::string(text(fields.getAfter()))](
                                                        const std::vector<LeaseRecord>& records) {
                                                      return leases_response(records, after);
                                                    }));
      return;
    }
    default:
      Actor::serve(std::move(request), std::move(answer));
  }
}

}  // namespace supercloud
