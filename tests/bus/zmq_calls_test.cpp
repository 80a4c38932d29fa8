// What only the ZeroMQ bus promises about requests that take long: to whom they belong, and what becomes of them with a node that knows nothing
// of it.
#include <gtest/gtest.h>
#include <zmq.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "bus/calls.h"
#include "bus/zmq_bus.h"
#include "core/event_loop.h"
#include "tests/bus/bus_process.h"

namespace supercloud {
namespace {

// A connection to what answers at a node.
class Connection {
 public:
  Connection(EventLoop& loop, const std::string& endpoint)
      : socket_(context_, ZMQ_DEALER, {}, loop, [this](ZmqSocket::Frames frames) {
          auto control = decode_control(frames[0]);
          ASSERT_TRUE(control.ok()) << control.status();
          if (auto* answer = std::get_if<WireAnswer>(&*control))
            answers.insert_or_assign(answer->id, answer->value);
        }) {
    EXPECT_TRUE(socket_.connect(endpoint).ok());
    socket_.start();
  }
  void say(const Control& control) {
    const std::string frame = encode(control);
    const std::string_view frames[] = {frame};
    socket_.send(frames);
  }
  void ask(std::uint64_t id, std::string_view actor, std::string bytes) {
    say(WireRequest{id, std::string(actor), std::move(bytes)});
  }
  absl::StatusCode code(std::uint64_t id) const { return answers.at(id).status().code(); }

  std::map<std::uint64_t, absl::StatusOr<std::string>> answers;

 private:
  std::shared_ptr<ZmqContext> context_ = std::make_shared<ZmqContext>();
  ZmqSocket socket_;
};

// A member that answers as a node of before: of what it does not know, that there is no such actor.
class MemberWithoutCalls {
 public:
  MemberWithoutCalls(EventLoop& loop, const std::string& requests)
      : socket_(context_, ZMQ_ROUTER, {}, loop,
                [this](ZmqSocket::Frames frames) { take(frames); }) {
    EXPECT_TRUE(socket_.bind(requests).ok());
    self_ = {"older", 1, requests + ".pub", socket_.endpoint()};
    socket_.start();
  }
  void answer() {
    for (const auto& [to, id] : std::exchange(kept_, {}))
      send(to, WireAnswer{id, std::string("there")});
  }
  std::vector<std::string> asked;

 private:
  void take(ZmqSocket::Frames frames) {
    const std::string from(frames[0]);
    const auto control = decode_control(frames[1]);
    ASSERT_TRUE(control.ok()) << control.status();
    if (const Hello* hello = std::get_if<Hello>(&*control)) {
      send(from, Welcome{hello->beat, self_, {}});
    } else if (const WireRequest* request = std::get_if<WireRequest>(&*control)) {
      asked.push_back(request->actor);
      if (request->actor == "far")
        kept_.emplace_back(from, request->id);
      else
        send(from, WireAnswer{request->id, absl::NotFoundError("node older has no such actor")});
    }
  }
  void send(const std::string& to, const Control& control) {
    const std::string frame = encode(control);
    const std::string_view frames[] = {to, frame};
    socket_.send(frames);
  }

  std::shared_ptr<ZmqContext> context_ = std::make_shared<ZmqContext>();
  Member self_;
  std::vector<std::pair<std::string, std::uint64_t>> kept_;
  ZmqSocket socket_;
};

class ZmqCallsTest : public testing::Test {
 protected:
  ZmqCallsTest() {
    std::string name = testing::TempDir() + "callsXXXXXX";
    directory_ = mkdtemp(name.data());
  }
  ~ZmqCallsTest() override { std::filesystem::remove_all(directory_); }

  std::string ipc(const std::string& name) const { return "ipc://" + directory_ + "/" + name; }
  std::unique_ptr<BusProcess> start(const std::string& name, std::vector<std::string> seeds = {}) {
    ZmqBusOptions options;
    options.name = name;
    options.publish_bind = ipc(name + ".pub");
    options.request_bind = ipc(name + ".req");
    options.seeds = std::move(seeds);
    auto process = std::make_unique<BusProcess>(name, std::make_unique<EventPool>());
    auto bus = ZmqBus::open(loop_, *process->pool, std::move(options));
    EXPECT_TRUE(bus.ok()) << bus.status();
    process->bus = *std::move(bus);
    process->bus->start(*process, {});
    return process;
  }
  bool run_until(const std::function<bool()>& condition) {
    return loop_.run_until(condition, absl::Seconds(20));
  }
  bool answered(const Connection& connection, std::uint64_t id) {
    return run_until([&] { return connection.answers.contains(id); });
  }

  std::string directory_;
  EventLoop loop_;
};

TEST_F(ZmqCallsTest, another_connection_neither_cancels_nor_watches_a_request) {
  auto a = start("a");
  Connection one(loop_, ipc("a.req")), other(loop_, ipc("a.req"));
  one.ask(1, "far", "x");
  ASSERT_TRUE(run_until([&] { return a->kept.contains("x"); }));
  a->kept.at("x").call()->tell({1, 2, "halfway"});
  other.ask(7, cancel_actor, encode_cancel(1));
  other.ask(8, progress_actor, encode(ProgressQuestion{1, 0}));
  ASSERT_TRUE(answered(other, 7));
  ASSERT_TRUE(answered(other, 8));
  EXPECT_EQ(other.code(7), absl::StatusCode::kNotFound);
  EXPECT_EQ(other.code(8), absl::StatusCode::kNotFound);
  EXPECT_EQ(a->cancelled["x"], 0);
  one.ask(2, progress_actor, encode(ProgressQuestion{1, 0}));
  ASSERT_TRUE(answered(one, 2));
  ASSERT_EQ(one.code(2), absl::StatusCode::kOk);
  EXPECT_EQ(decode_progress_answer(*one.answers.at(2))->progress.what, "halfway");
  one.ask(3, cancel_actor, encode_cancel(1));
  ASSERT_TRUE(answered(one, 3));
  EXPECT_EQ(one.code(3), absl::StatusCode::kOk);
  EXPECT_EQ(a->cancelled["x"], 1);
  EXPECT_EQ(a->served.count(encode_cancel(1)), 0U) << "no actor is asked for it";
}

TEST_F(ZmqCallsTest, who_waits_for_progress_is_answered_when_the_request_is) {
  auto a = start("a");
  Connection one(loop_, ipc("a.req"));
  one.ask(1, "far", "x");
  one.ask(2, progress_actor, encode(ProgressQuestion{1, 0}));
  ASSERT_TRUE(run_until([&] { return a->kept.contains("x"); }));
  a->kept.at("x")("there");
  ASSERT_TRUE(answered(one, 2));
  EXPECT_EQ(one.code(2), absl::StatusCode::kNotFound);
  EXPECT_EQ(one.code(1), absl::StatusCode::kOk) << "which came first";
}

TEST_F(ZmqCallsTest, endless_and_malformed_questions_are_answered_and_keep_nothing) {
  auto a = start("a");
  Connection one(loop_, ipc("a.req"));
  one.ask(1, "far", "x");
  constexpr std::uint64_t many = 500;  // for which a queue has room
  for (std::uint64_t i = 0; i < many; ++i)
    one.ask(10 + i, progress_actor, encode(ProgressQuestion{1, 0}));
  one.ask(2, progress_actor, "no question");
  one.ask(3, cancel_actor, "");
  ASSERT_TRUE(answered(one, 3));
  EXPECT_EQ(one.code(2), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(one.code(3), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(one.answers.size(), many - 1 + 2) << "all but the last question, which waits";
  EXPECT_EQ(one.code(10), absl::StatusCode::kAborted);
}

TEST_F(ZmqCallsTest, what_nobody_asks_through_a_node_is_not_cancelled_through_it) {
  auto a = start("a");
  Connection one(loop_, ipc("a.req"));
  one.say(WireOnward{1, "b", std::string(cancel_actor), encode_cancel(1)});
  ASSERT_TRUE(answered(one, 1));
  EXPECT_FALSE(one.answers.at(1).ok());
}

TEST_F(ZmqCallsTest, with_an_older_node_there_is_no_progress_and_all_else_is_as_ever) {
  MemberWithoutCalls older(loop_, ipc("older.req"));
  auto a = start("a", {ipc("older.req")});
  ASSERT_TRUE(run_until([&] { return a->sees("older"); }));
  std::vector<Progress> heard;
  std::vector<absl::StatusOr<std::string>> answers;
  const auto ask = [&] {
    auto call = std::make_shared<Call>([&](const Progress& each) { heard.push_back(each); });
    a->bus->request(
        {"older", "far"}, "x",
        Reply<std::string>(
            far_future, [&](auto value) { answers.push_back(std::move(value)); }, call));
    return call;
  };
  const auto call = ask();
  ASSERT_TRUE(run_until([&] { return older.asked.size() == 2; }));
  EXPECT_EQ(older.asked, (std::vector<std::string>{"far", "bus.progress"}));
  older.answer();
  ASSERT_TRUE(run_until([&] { return answers.size() == 1; }));
  ASSERT_TRUE(answers[0].ok()) << answers[0].status();
  EXPECT_EQ(*answers[0], "there");
  ask()->cancel();
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_TRUE(absl::IsCancelled(answers[1].status()));
  ASSERT_TRUE(run_until([&] { return older.asked.size() == 4; }));
  EXPECT_EQ(older.asked.back(), "bus.cancel");
  EXPECT_TRUE(heard.empty());
  EXPECT_TRUE(a->rejected.empty());
}

}  // namespace
}  // namespace supercloud
