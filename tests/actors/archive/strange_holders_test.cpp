// What holders of another node may do to a publisher's: no end of words, and no end of waiting.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/actors/archive/holders_world.h"

namespace supercloud {
namespace {

// A process that says of its node whatever it likes, and takes no questions.
class Stranger final : public BusReceiver {
 public:
  Stranger(std::string name, SimulatedNetwork& network, Scheduler& scheduler,
           std::uint64_t incarnation)
      : origin_(name + "/node"),
        incarnation_(incarnation),
        scheduler_(scheduler),
        bus_(std::move(name), network, scheduler, pool_) {
    bus_.start(*this, {});
  }

  void holds(const std::vector<std::string>& actors) {
    Draft draft = pool_.draft(std::string(node_of(origin_)));
    auto holds = draft.payload().initBusHolding().initHolds(static_cast<unsigned>(actors.size()));
    for (unsigned i = 0; i < holds.size(); ++i) {
      holds[i].setActor(actors[i]);
      holds[i].setPattern("instance.>");
    }
    draft.set_topic().IgnoreError();
    Envelope envelope;
    envelope.origin = origin_;
    envelope.incarnation = incarnation_;
    envelope.sequence = ++sequence_;
    for (std::uint64_t& previous : envelope.previous) previous = sequence_ - 1;
    envelope.time = {static_cast<std::uint64_t>(absl::ToUnixMicros(scheduler_.clock().wall()))
                     << 12U};
    bus_.publish(*std::move(draft).seal(envelope));
  }
  void holds(const std::string& actors, int count) {
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) names.push_back(absl::StrCat(actors, i));
    holds(names);
  }

  absl::Status refusal;  // OK: it does not answer
  std::size_t asked = 0;

 private:
  void on_event(Event) override {}
  void on_gap(const BusGap&) override {}
  void on_request(std::string, std::string, Reply<std::string> answer) override {
    ++asked;
    if (!refusal.ok()) answer(refusal);
  }
  void on_rejected(std::string, std::string) override {}
  void on_peer(std::string, bool) override {}

  const std::string origin_;
  const std::uint64_t incarnation_;
  Scheduler& scheduler_;
  EventPool pool_;
  SimulatedBus bus_;
  std::uint64_t sequence_ = 0;
};

class HoldersOfStrangersTest : public HoldersTest {
 protected:
  // Another process of that name.
  Stranger& stranger(const std::string& name) {
    stranger_.reset();
    stranger_ = std::make_unique<Stranger>(name, network, scheduler, ++incarnation_);
    run(absl::Seconds(2));
    return *stranger_;
  }

  std::unique_ptr<Stranger> stranger_;
  std::uint64_t incarnation_ = 0;
};

TEST_F(HoldersOfStrangersTest, of_many_that_are_released_their_node_is_named_once_in_ten_seconds) {
  TestNode& a = publisher();
  Stranger& b = stranger("b");
  std::vector<std::shared_ptr<Told>> all;
  for (const char* which : {"one", "two", "three", "four"}) {
    b.holds(which, 200);
    run(absl::Milliseconds(100));
    all.push_back(request(a, which));
    run(absl::Milliseconds(100));
    EXPECT_FALSE(all.back()->status);
  }
  EXPECT_TRUE(all[0]->ok() && all[1]->ok() && all[2]->ok());
  const std::string first = "b/one0 200: held them, released: it holds no more; and 199 more of b";
  EXPECT_EQ(said(a), std::vector<std::string>{first});
  for (int i = 0; i < 12; ++i) {
    b.holds("four", 200);
    run(absl::Seconds(1));
  }
  std::vector<std::string> released;
  for (const std::string& each : said(a))
    if (absl::StrContains(each, "released")) released.push_back(each);
  EXPECT_EQ(released,
            (std::vector<std::string>{
                first, "b/two0 400: held them, released: it holds no more; and 399 more of b"}));
}

TEST_F(HoldersTest, of_many_that_are_slow_one_of_their_node_is_named_in_ten_seconds) {
  TestNode& a = publisher();
  for (const char* actor : {"holder", "other", "third"}) hold("b", actor);
  request(a, "one");
  run(absl::Seconds(15));
  EXPECT_EQ(said(a).size(), 1);
  run(absl::Seconds(40));
  std::vector<std::string> names;
  for (const std::string& each : said(a)) names.push_back(each.substr(0, each.find(' ')));
  EXPECT_EQ(names, (std::vector<std::string>{"b/holder", "b/other", "b/third"}));
}

TEST_F(HoldersTest, what_finds_no_room_in_the_log_is_said_in_one_word_when_there_is_some) {
  TestNode& a = publisher();
  for (const char* actor : {"holder", "other", "third"}) hold("b", actor);
  const auto told = request(a, "one");
  run(absl::Seconds(1));
  a.log->set_full(true);
  for (const char* actor : {"holder", "other", "third"}) {
    holders.at(absl::StrCat("b/", actor)).context->unsubscribe(Pattern::of("instance.requested.>"));
    run(absl::Seconds(1));
  }
  EXPECT_TRUE(told->ok());
  run(absl::Seconds(30));
  EXPECT_TRUE(said(a).empty());
  a.log->set_full(false);
  run(absl::Seconds(30));
  EXPECT_EQ(said(a), std::vector<std::string>{
                         "b/holder 3: held them, released: it holds no more; and 2 more of b"});
}

TEST_F(HoldersOfStrangersTest, one_whose_node_cannot_be_asked_is_released_until_that_begins_anew) {
  TestNode& a = publisher();
  std::size_t words = 0;
  for (const absl::Status& refusal : {absl::PermissionDeniedError("a may not make requests"),
                                      absl::UnimplementedError("no such question"),
                                      absl::InvalidArgumentError("malformed request")}) {
    Stranger& b = stranger("b");
    b.refusal = refusal;
    b.holds({"holder"});
    run(absl::Milliseconds(100));
    const auto told = request(a, "one");
    run(absl::Milliseconds(500));
    EXPECT_TRUE(told->ok());
    EXPECT_EQ(b.asked, 1);
    for (int i = 0; i < 20; ++i) {
      b.holds({"holder"});
      run(absl::Seconds(1));
    }
    const auto second = request(a, "two");
    run(absl::Milliseconds(500));
    EXPECT_TRUE(second->ok());
    EXPECT_EQ(b.asked, 1) << "it is remembered";
    ASSERT_EQ(said(a).size(), ++words);
    EXPECT_EQ(said(a).back(), absl::StrCat("b/holder 1: held them, released: cannot be asked: ",
                                           std::string(refusal.message())));
  }
}

TEST_F(HoldersOfStrangersTest, one_whose_node_does_not_answer_is_waited_for_and_named) {
  TestNode& a = publisher();
  Stranger& b = stranger("b");
  b.refusal = absl::UnavailableError("not at the moment");
  b.holds({"holder"});
  run(absl::Milliseconds(100));
  const auto told = request(a, "one");
  for (int i = 0; i < 20; ++i) {
    b.holds({"holder"});
    run(absl::Seconds(1));
  }
  EXPECT_FALSE(told->status);
  EXPECT_GT(b.asked, 1);
  ASSERT_EQ(said(a).size(), 1);
  EXPECT_TRUE(said(a)[0].ends_with("; asked: not at the moment")) << said(a)[0];
}

}  // namespace
}  // namespace supercloud
