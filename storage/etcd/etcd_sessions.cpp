// The sessions of an EtcdLeaseTable.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/etcd/etcd_lease_table.h"
#include "storage/etcd/session_id.h"

namespace supercloud {
namespace {

constexpr int session_attempts_max = 5;  // while the session comes, goes, or changes its leader

absl::Status session_over(const SessionId& session) {
  return absl::NotFoundError(absl::StrCat("session ", session, " has ended; open a new one"));
}

}  // namespace

// ---- opening -------------------------------------------------------------------------------------------------------

struct EtcdLeaseTable::Opening {
  OpenSession request;
  Reply<Session> reply;
  etcd::LeaseAnswer granted;  // id 0: none yet
  int attempts = 0;
};

void EtcdLeaseTable::open_session(OpenSession request, Reply<Session> reply) {
  if (const absl::Status good = validate(request); !good.ok()) return reply(good);
  auto opening = std::make_shared<Opening>();
  opening->request = std::move(request);
  opening->reply = std::move(reply);
  look_before_opening(std::move(opening));
}

void EtcdLeaseTable::look_before_opening(std::shared_ptr<Opening> opening) {
  if (++opening->attempts > session_attempts_max)
    return opening->reply(absl::UnavailableError(
        absl::StrCat("the session of ", opening->request.node, " comes and goes; ask again")));
  read_range({.key = session_key(opening->request.node)}, opening->reply.deadline(),
             [this, opening](absl::StatusOr<etcd::TxnAnswer> answer) mutable {
               if (!answer.ok()) return opening->reply(answer.status());
               const absl::StatusOr<Seen> known =
                   read_session(opening->request.node, answer->reads.front());
               if (!known.ok()) return opening->reply(known.status());
               if (known->session.id.empty()) return grant(std::move(opening));
               // The answer to its making was lost.
               if (known->lease == opening->granted.id)
                 return opening->reply(Session{.id = known->session.id,
                                               .ttl = absl::Seconds(opening->granted.ttl_seconds)});
               go_on(std::move(opening), *known);
             });
}

// There is one already. One that is shorter than is wanted, as after a change of the configuration, has to end: a renewal would keep it so.
void EtcdLeaseTable::go_on(std::shared_ptr<Opening> opening, const Seen& known) {
  if (known.session.identity != opening->request.identity)
    return opening->reply(absl::AlreadyExistsError(absl::StrCat(
        "another node named '", opening->request.node,
        "' is alive, with another data directory; give this one another name, or wait ",
        absl::FormatDuration(ttl_), " after stopping that one")));
  client_.timetolive(
      known.lease, opening->reply.deadline(),
      [this, opening, known](absl::StatusOr<etcd::LeaseAnswer> lease) mutable {
        if (!lease.ok() && !absl::IsNotFound(lease.status())) return opening->reply(lease.status());
        if (lease.ok() && lease->ttl_seconds > 0 && lease->ttl_seconds < ttl_seconds())
          return opening->reply(absl::UnavailableError(
              absl::StrCat("the session of ", lease->ttl_seconds, "s has to end first, as one of ",
                           ttl_seconds(), "s is wanted; this takes no longer than that")));
        renew_lease(known.session, known.lease, session_attempts_max, opening->reply.deadline(),
                    [this, opening, id = known.session.id](absl::StatusOr<Duration> ttl) mutable {
                      if (absl::IsNotFound(ttl.status()))
                        return look_before_opening(std::move(opening));
                      if (!ttl.ok()) return opening->reply(ttl.status());
                      opening->reply(Session{.id = std::move(id), .ttl = *ttl, .went_on = true});
                    });
      });
}

std::int64_t EtcdLeaseTable::ttl_seconds() const {
  return absl::ToInt64Seconds(absl::Ceil(ttl_, absl::Seconds(1)));
}

void EtcdLeaseTable::grant(std::shared_ptr<Opening> opening) {
  if (opening->granted.id != 0) return put_session(std::move(opening));
  client_.grant(ttl_seconds(), opening->reply.deadline(),
                [this, opening](absl::StatusOr<etcd::LeaseAnswer> granted) mutable {
                  if (!granted.ok()) return opening->reply(granted.status());
                  opening->granted = *granted;
                  put_session(std::move(opening));
                });
}

void EtcdLeaseTable::put_session(std::shared_ptr<Opening> opening) {
  const OpenSession& request = opening->request;
  const StoredSession session{etcd::session_id(request.node, opening->granted.id), request.node,
                              request.identity};
  etcd::Txn txn;
  txn.compares = {{session_key(request.node), etcd::Compare::What::created, 0}};
  txn.puts = {{session_key(request.node), encode_stored_session(session), opening->granted.id}};
  client_.txn(txn, etcd::Repeat::never, opening->reply.deadline(),
              [this, opening, id = session.id](absl::StatusOr<etcd::TxnAnswer> answer) mutable {
                // The lease may have ended before it was used.
                if (absl::IsNotFound(answer.status())) opening->granted = {};
                // Somebody was faster: this same call, perhaps, sent twice by a connection that broke.
                if (absl::IsNotFound(answer.status()) || (answer.ok() && !answer->succeeded))
                  return look_before_opening(std::move(opening));
                if (!answer.ok()) return opening->reply(answer.status());
                opening->reply(Session{.id = std::move(id),
                                       .ttl = absl::Seconds(opening->granted.ttl_seconds)});
              });
}

// ---- renewing and ending -------------------------------------------------------------------------------------------

void EtcdLeaseTable::renew(SessionId session, Reply<Done> reply) {
  const std::optional<std::int64_t> lease = etcd::lease_of_session(session);
  if (!lease) return reply(session_over(session));
  const Instant deadline = reply.deadline();
  const std::string node = etcd::node_of_session(session);
  renew_lease({std::move(session), node, ""}, *lease, session_attempts_max, deadline,
              [reply = std::move(reply)](absl::StatusOr<Duration> ttl) mutable {
                reply(ttl.ok() ? absl::StatusOr<Done>(Done{}) : ttl.status());
              });
}

// A leader that was frozen, or whose disk hangs, may renew what its successor ends, until it learns that it was deposed (etcd's issue 15247).
// So a renewal counts once a linearizable read at the same member has shown that the leader of before it was still the leader after it: a term
// has one leader, and the term in the answer to a renewal is that of before. The read is of the table: an etcd that is not its own may know
// nothing of the lease, or have given its number to somebody else.
void EtcdLeaseTable::renew_lease(StoredSession session, std::int64_t lease, int attempts,
                                 Instant deadline, Then<Duration> then) {
  client_.keepalive(
      lease, deadline,
      [=, this, session = std::move(session),
       then = std::move(then)](absl::StatusOr<etcd::LeaseAnswer> renewed) mutable {
        if (!renewed.ok() && !absl::IsNotFound(renewed.status()))
          return std::move(then)(renewed.status());
        std::string node = session.node;
        has_lease(std::move(node), lease, deadline,
                  [=, this, session = std::move(session), then = std::move(then),
                   renewed = renewed.ok() ? *renewed : etcd::LeaseAnswer{}](
                      absl::StatusOr<etcd::Header> read) mutable {
                    if (absl::IsNotFound(read.status()))
                      return std::move(then)(session_over(session.id));
                    if (!read.ok()) return std::move(then)(read.status());
                    if (renewed.ttl_seconds > 0 && read->term == renewed.header.term &&
                        read->member == renewed.header.member)
                      return std::move(then)(absl::Seconds(renewed.ttl_seconds));
                    if (attempts <= 1)
                      return std::move(then)(absl::UnavailableError(
                          "etcd's leaders change too fast, or its members know different leases"));
                    renew_lease(std::move(session), lease, attempts - 1, deadline, std::move(then));
                  });
      });
}

void EtcdLeaseTable::has_lease(std::string node, std::int64_t lease, Instant deadline,
                               Then<etcd::Header> then) {
  read_range({.key = session_key(node)}, deadline,
             [lease, then = std::move(then)](absl::StatusOr<etcd::TxnAnswer> read) mutable {
               if (!read.ok()) return std::move(then)(read.status());
               const std::vector<etcd::KeyValue>& found = read->reads.front();
               if (found.empty() || found.front().lease != lease)
                 return std::move(then)(absl::NotFoundError("the session has ended"));
               std::move(then)(read->header);
             });
}

void EtcdLeaseTable::end_session(SessionId session, Reply<Done> reply) {
  const std::optional<std::int64_t> lease = etcd::lease_of_session(session);
  if (!lease) return reply(Done{});  // never was one
  revoke(etcd::node_of_session(session), *lease, session_attempts_max, std::move(reply));
}

void EtcdLeaseTable::revoke(std::string node, std::int64_t lease, int attempts, Reply<Done> reply) {
  const Instant deadline = reply.deadline();
  client_.revoke(
      lease, deadline,
      [=, this, node = std::move(node),
       reply = std::move(reply)](absl::StatusOr<etcd::Header> ended) mutable {
        if (!ended.ok() && !absl::IsNotFound(ended.status())) return reply(ended.status());
        // Whoever says that it is over may not be the table's etcd.
        std::string of = node;
        has_lease(std::move(of), lease, deadline,
                  [=, this, node = std::move(node),
                   reply = std::move(reply)](absl::StatusOr<etcd::Header> read) mutable {
                    if (absl::IsNotFound(read.status())) return reply(Done{});
                    if (!read.ok()) return reply(read.status());
                    if (attempts <= 1)
                      return reply(absl::UnavailableError("etcd's members know different leases"));
                    revoke(std::move(node), lease, attempts - 1, std::move(reply));
                  });
      });
}

}  // namespace supercloud
