// The lease table as other nodes see it, over a bus that loses requests or answers.
#include "storage/remote_lease_table.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "storage/lease_codec.h"
#include "tests/storage/driven_scheduler.h"

namespace supercloud {
namespace {

// Answers each request with the next of `answers`; when there is none, at the deadline.
class ScriptedBus final : public Bus {
 public:
  explicit ScriptedBus(Scheduler& scheduler) : scheduler_(scheduler) {}

  void start(BusReceiver&, std::vector<OriginTail>) override {}
  void publish(const Event&) override {}
  void subscribe(std::string, Reply<Done>) override {}
  void unsubscribe(std::string) override {}
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    EXPECT_EQ(to.to_string(), "site/lease");
    requests.push_back(std::move(bytes));
    const bool scripted = !answers.empty();
    absl::StatusOr<std::string> answer = absl::DeadlineExceededError("no answer");
    if (scripted) {
      answer = std::move(answers.front());
      answers.erase(answers.begin());
    }
    scheduler_.at(scripted ? scheduler_.clock().now() : reply.deadline(),
                  [reply = std::move(reply), answer = std::move(answer)]() mutable {
                    reply(std::move(answer));
                  });
  }

  std::vector<std::string> requests;
  std::vector<absl::StatusOr<std::string>> answers;

 private:
  Scheduler& scheduler_;
};

class RemoteTable : public testing::Test {
 protected:
  static std::string done() {
    return std::string(Message<schema::Response>::build([](schema::Response::Builder builder) {
                         builder.setDone();
                       }).bytes());
  }
  absl::Status renew(Duration deadline) {
    return scheduler_
        .wait<Done>([&](Reply<Done> reply) { table_.renew("a:1", std::move(reply)); }, false,
                    deadline)
        .status();
  }
  absl::Status swap(Swap swap) {
    return scheduler_
        .wait<SwapResult>([&](Reply<SwapResult> reply) { table_.swap(swap, std::move(reply)); },
                          false, absl::Seconds(2))
        .status();
  }
  const Swap reclaim_{.key = "vm/main/web1",
                      .kind = SwapKind::RECLAIM,
                      .session = "a:1",
                      .swap_id = "swap-1",
                      .epoch = 1};

  DrivenScheduler scheduler_;
  ScriptedBus bus_{scheduler_};
  RemoteLeaseTable table_{scheduler_, bus_, "site"};
};

TEST_F(RemoteTable, asks_again_for_a_renewal_until_it_is_answered) {
  bus_.answers = {absl::UnavailableError("no route"), absl::DeadlineExceededError("lost"), done()};
  EXPECT_TRUE(renew(absl::Seconds(2)).ok());
  EXPECT_EQ(bus_.requests.size(), 3U);
}

TEST_F(RemoteTable, asks_again_for_a_renewal_until_its_deadline_and_not_longer) {
  const Instant start = scheduler_.now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(renew(absl::Seconds(2))));
  EXPECT_EQ(scheduler_.now() - start, absl::Seconds(2));
  EXPECT_EQ(bus_.requests.size(), 4U);  // each attempt 0.5 s, and 0.1 s between them
}

TEST_F(RemoteTable, takes_a_refusal_for_an_answer) {
  bus_.answers = {absl::NotFoundError("over"), done()};
  EXPECT_TRUE(absl::IsNotFound(renew(absl::Seconds(2))));
  bus_.answers = {std::string(error_response(absl::NotFoundError("over")).bytes())};
  EXPECT_TRUE(absl::IsNotFound(renew(absl::Seconds(2))));
  EXPECT_EQ(bus_.requests.size(), 2U);
}

TEST_F(RemoteTable, asks_once_for_a_swap) {
  EXPECT_TRUE(absl::IsDeadlineExceeded(swap(reclaim_)));
  bus_.answers = {absl::UnavailableError("no route")};
  EXPECT_TRUE(absl::IsUnavailable(swap(reclaim_)));
  EXPECT_EQ(bus_.requests.size(), 2U);
}

TEST_F(RemoteTable, does_not_take_a_swaps_unreadable_answer_for_a_refusal) {
  for (const std::string& answer : {std::string("garbage"), std::string(), done()}) {
    bus_.answers = {answer};
    EXPECT_TRUE(absl::IsUnavailable(swap(reclaim_)));
  }
}

TEST_F(RemoteTable, does_not_send_what_cannot_be_taken) {
  Swap swapped = reclaim_;
  swapped.value = std::string(2 << 20, 'x');
  EXPECT_TRUE(absl::IsInvalidArgument(swap(swapped)));
  EXPECT_TRUE(bus_.requests.empty());
}

TEST_F(RemoteTable, ends_a_listing_that_does_not_get_on) {
  const std::string page =
      std::string(Message<schema::Response>::build([](schema::Response::Builder builder) {
                    const LeaseRecord record{.key = "role/ledger", .holder = "a", .epoch = 1};
                    write_lease(record, builder.initLeases(1)[0]);
                    builder.setMore(true);
                  }).bytes());
  bus_.answers = {page, page, page};
  const auto listed = scheduler_.wait<std::vector<LeaseRecord>>(
      [&](Reply<std::vector<LeaseRecord>> reply) { table_.list({}, std::move(reply)); }, false);
  EXPECT_TRUE(absl::IsUnavailable(listed.status())) << listed.status();
  EXPECT_EQ(bus_.requests.size(), 2U);
}

TEST_F(RemoteTable, may_be_destroyed_while_calls_are_under_way) {
  auto table = std::make_unique<RemoteLeaseTable>(scheduler_, bus_, "site");
  bool answered = false;
  table->renew("a:1", Reply<Done>(scheduler_.now() + absl::Seconds(2),
                                  [&](absl::StatusOr<Done>) { answered = true; }));
  scheduler_.run_for(absl::Milliseconds(550));  // between two attempts
  table.reset();
  scheduler_.run_for(absl::Seconds(5));
  EXPECT_FALSE(answered);
  EXPECT_EQ(bus_.requests.size(), 1U);
}

}  // namespace
}  // namespace supercloud
