#include "hypercall/qemu/qmp_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/hypercall/qemu/scripted_qmp.h"

namespace supercloud {
namespace {

using Answer = std::optional<absl::StatusOr<QmpValue>>;

class QmpClientTest : public ::testing::Test {
 protected:
  QmpHandler handler() {
    QmpHandler handler;
    handler.on_event = [this](const QmpEvent& event) { events_.push_back(event.name); };
    handler.on_lost = [this](const absl::Status& why) { lost_ = why; };
    handler.obituary = [this](Reply<std::string> reply) {
      ++obituaries_;
      if (obituary_) reply(*obituary_);
    };
    return handler;
  }
  void execute(const std::string& command, Answer& answer, Instant deadline = far_future) {
    client_->execute(command, Reply<QmpValue>(deadline, [&answer](absl::StatusOr<QmpValue> value) {
                       answer = std::move(value);
                     }));
  }
  bool until(absl::FunctionRef<bool()> done) { return loop_.run_until(done, absl::Seconds(5)); }
  absl::Status status(const Answer& answer) {
    EXPECT_TRUE(until([&] { return answer.has_value(); }));
    return answer ? answer->status() : absl::OkStatus();
  }
  absl::Status loss() {
    EXPECT_TRUE(until([&] { return lost_.has_value(); }));
    return lost_.value_or(absl::OkStatus());
  }
  void open(QmpClientOptions options = {.vm = "main/web1"}) {
    client_ = std::make_unique<QmpClient>(loop_, qemu_.client_end(), std::move(options), handler());
  }
  void open_and_greet(QmpClientOptions options = {.vm = "main/web1"}) {
    open(std::move(options));
    qemu_.greet();
    ASSERT_TRUE(until([&] { return client_->ready(); }));
  }

  EventLoop loop_;
  ScriptedQmp qemu_{loop_};
  std::vector<std::string> events_;
  std::optional<absl::Status> lost_;
  std::optional<std::string> obituary_ = ", killed";
  int obituaries_ = 0;
  std::unique_ptr<QmpClient> client_;
};

TEST_F(QmpClientTest, TheGreetingNamesTheVersionAndOutOfBandIsEnabledIfOffered) {
  open();
  qemu_.say(test_greeting);
  const QmpValue first = qemu_.command();
  EXPECT_EQ(first["execute"], "qmp_capabilities");
  EXPECT_EQ(first["arguments"]["enable"][0], "oob");
  EXPECT_EQ(client_->version(), (QemuVersion{10, 0, 2}));
  EXPECT_FALSE(client_->ready());
  qemu_.answer(first["id"]);
  EXPECT_TRUE(until([&] { return client_->ready(); }));
}

TEST_F(QmpClientTest, WhatIsAskedBeforeTheGreetingIsSentAfterIt) {
  open();
  Answer answer;
  execute("query-status", answer);
  qemu_.greet();
  const QmpValue command = qemu_.command();
  EXPECT_EQ(command["execute"], "query-status");
  qemu_.answer(command["id"], {{"running", true}});
  ASSERT_TRUE(status(answer).ok());
  EXPECT_TRUE(qmp_flag(**answer, "running"));
}

TEST_F(QmpClientTest, AnErrorNamesCommandVmAndQemusOwnWords) {
  open_and_greet();
  Answer refused;
  Answer unknown;
  execute("cont", refused);
  execute("fly", unknown);
  qemu_.fail(qemu_.command()["id"], "Resetting the Virtual Machine is required");
  qemu_.fail(qemu_.command()["id"], "The command fly has not been found", "CommandNotFound");
  EXPECT_EQ(status(refused).message(),
            "cont for main/web1: QEMU says: Resetting the Virtual Machine is required");
  EXPECT_EQ(status(unknown).code(), absl::StatusCode::kNotFound);
}

TEST_F(QmpClientTest, AnswersOutOfOrderReachTheCommandsTheyBelongTo) {
  open_and_greet();
  Answer first;
  Answer second;
  execute("one", first);
  execute("two", second);
  const QmpValue one = qemu_.command();
  const QmpValue two = qemu_.command();
  qemu_.answer(two["id"], "second");
  qemu_.answer(one["id"], "first");
  ASSERT_TRUE(status(first).ok());
  EXPECT_EQ(**first, "first");
  EXPECT_EQ(**second, "second");
}

TEST_F(QmpClientTest, EventsComeBetweenAnswers) {
  open_and_greet();
  Answer answer;
  execute("stop", answer);
  const QmpValue command = qemu_.command();
  qemu_.say(R"({"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}})");
  qemu_.answer(command["id"]);
  ASSERT_TRUE(status(answer).ok());
  EXPECT_EQ(events_, std::vector<std::string>{"STOP"});
}

TEST_F(QmpClientTest, AnAnswerThatNeverComesEndsAtTheDeadlineAndIsIgnoredWhenItIsLate) {
  open_and_greet();
  Answer answer;
  execute("stop", answer, loop_.clock().now() + absl::Milliseconds(20));
  const QmpValue command = qemu_.command();
  EXPECT_EQ(status(answer).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_NE(answer->status().message().find("stop: QEMU of main/web1"), std::string::npos);
  qemu_.answer(command["id"]);
  Answer next;
  execute("cont", next);
  qemu_.answer(qemu_.command()["id"]);
  EXPECT_TRUE(status(next).ok());
}

TEST_F(QmpClientTest, NoMoreAreSentThanQemuReadsAndWhatIsNotSentExpiresUnsent) {
  open_and_greet();
  std::vector<Answer> answers(9);
  for (std::size_t i = 0; i < 9; ++i) {
    execute(absl::StrCat("c", i), answers[i],
            i == 8 ? loop_.clock().now() + absl::Milliseconds(50) : far_future);
  }
  std::vector<QmpValue> commands;
  for (int i = 0; i < 7; ++i) commands.push_back(qemu_.command());
  EXPECT_EQ(status(answers[8]).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(commands[6]["execute"], "c6");
  qemu_.answer(commands[0]["id"]);
  EXPECT_EQ(qemu_.command()["execute"], "c7");
}

TEST_F(QmpClientTest, MoreCommandsThanAllowedAreRefused) {
  open_and_greet({.vm = "main/web1", .commands_max = 2});
  std::vector<Answer> answers(3);
  for (Answer& answer : answers) execute("stop", answer);
  EXPECT_EQ(status(answers[2]).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(QmpClientTest, AQemuThatDiesAnswersAllThatIsUnderWayWithItsLastWords) {
  open_and_greet();
  Answer sent;
  execute("migrate", sent);
  ASSERT_TRUE(qemu_.has_command());
  qemu_.hang_up();
  EXPECT_EQ(status(sent).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(sent->status().message(), "migrate: QEMU of main/web1 closed its QMP socket, killed");
  EXPECT_EQ(loss().message(), "QEMU of main/web1 closed its QMP socket, killed");
  EXPECT_EQ(obituaries_, 1);
  Answer after;
  execute("cont", after);
  EXPECT_EQ(status(after).code(), absl::StatusCode::kUnavailable);
}

TEST_F(QmpClientTest, AnObituaryThatDoesNotComeIsNotWaitedForLong) {
  obituary_.reset();
  open_and_greet();
  Answer sent;
  execute("migrate", sent);
  qemu_.hang_up();
  EXPECT_EQ(status(sent).message(), "migrate: QEMU of main/web1 closed its QMP socket");
}

TEST_F(QmpClientTest, NonsenseLosesTheConnectionAndIsQuoted) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"rm -rf", "no JSON: rm -rf"},
      {"[1]", "no JSON object"},
      {"{}", "neither greeting, answer nor event"},
      {R"({"return": {}})", "an answer without a number"},
      {R"({"return": {}, "id": 77})", "answered a command that it never got, number 77"},
      {R"({"error": {"class": "GenericError", "desc": "JSON parse error"}})", "JSON parse error"},
      {std::string(test_greeting), "greeted twice"},
      {std::string(100, '[') + std::string(100, ']'), "nested too deeply"},
      {std::string("{\"event\": \"\xff\xfe\"}"), "no JSON"},
  };
  for (const auto& [line, why] : cases) {
    ScriptedQmp other(loop_);
    lost_.reset();
    client_ = std::make_unique<QmpClient>(loop_, other.client_end(),
                                          QmpClientOptions{.vm = "main/web1"}, handler());
    other.greet();
    ASSERT_TRUE(until([&] { return client_->ready(); }));
    other.say(line);
    EXPECT_NE(loss().message().find(why), std::string::npos) << loss() << " for " << line;
  }
}

TEST_F(QmpClientTest, AnAnswerToACommandThatWasNotSentYetIsNonsense) {
  open_and_greet();
  std::vector<Answer> answers(8);
  for (Answer& answer : answers) execute("stop", answer);
  QmpValue last;
  for (int i = 0; i < 7; ++i) last = qemu_.command()["id"];
  qemu_.answer(last.get<int>() + 1);
  EXPECT_NE(loss().message().find("before it got it"), std::string::npos);
}

TEST_F(QmpClientTest, ALineWithoutAnEndIsNotKeptForEver) {
  open_and_greet();
  qemu_.say_bytes("{\"event\": \"");
  const std::string chunk(256 << 10, 'x');
  for (int i = 0; i < 8; ++i) qemu_.say_bytes(chunk);
  EXPECT_NE(loss().message().find("a line of more than"), std::string::npos) << loss();
}

TEST_F(QmpClientTest, SilenceInPlaceOfAGreetingIsALoss) {
  open({.vm = "main/web1", .greeting_max = absl::Milliseconds(20)});
  EXPECT_NE(loss().message().find("has not greeted"), std::string::npos);
}

TEST_F(QmpClientTest, AStreamMayArriveByteByByte) {
  open();
  for (const char c : std::string(test_greeting) + "\n") qemu_.say_bytes(std::string(1, c));
  EXPECT_EQ(qemu_.command()["execute"], "qmp_capabilities");
}

TEST_F(QmpClientTest, ADescriptorTravelsWithItsCommand) {
  open_and_greet();
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  Answer answer;
  client_->execute(
      "getfd", {{"fdname", "stream"}},
      Reply<QmpValue>(far_future, [&](absl::StatusOr<QmpValue> v) { answer = std::move(v); }),
      pipe[0]);
  const QmpValue command = qemu_.command();
  EXPECT_EQ(command["arguments"]["fdname"], "stream");
  const int arrived = qemu_.take_fd();
  struct stat sent{};
  struct stat got{};
  ASSERT_EQ(::fstat(pipe[0], &sent), 0);
  ASSERT_EQ(::fstat(arrived, &got), 0);
  EXPECT_EQ(sent.st_ino, got.st_ino);
  for (const int fd : {pipe[0], pipe[1], arrived}) ::close(fd);
}

TEST_F(QmpClientTest, ItMayBeDestroyedByWhatItTells) {
  open_and_greet();
  client_->execute("quit", Reply<QmpValue>(far_future, [&](const absl::StatusOr<QmpValue>&) {
                     client_.reset();
                   }));
  qemu_.answer(qemu_.command()["id"]);
  EXPECT_TRUE(until([&] { return client_ == nullptr; }));
}

TEST_F(QmpClientTest, APathWithoutAQemuSaysWhichVm) {
  const auto client = QmpClient::connect(loop_, "/nowhere/qmp", {.vm = "main/web1"}, QmpHandler());
  EXPECT_EQ(client.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(client.status().message().find("main/web1"), std::string::npos);
  EXPECT_FALSE(QmpClient::connect(loop_, std::string(200, 'x'), {}, QmpHandler()).ok());
}

TEST_F(QmpClientTest, AQemuThatTakesNoConnectionKeepsNobodyWaiting) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = absl::StrCat(::testing::TempDir(), "qmp-", ::getpid());
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  std::vector<std::unique_ptr<QmpClient>> waiting;
  absl::Status last;
  while (last.ok() && waiting.size() < 16) {
    auto client = QmpClient::connect(loop_, path, {.vm = "main/web1"}, QmpHandler());
    last = client.status();
    if (client.ok()) waiting.push_back(*std::move(client));
  }
  EXPECT_EQ(last.code(), absl::StatusCode::kUnavailable) << last;
  waiting.clear();
  ::close(listener);
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace supercloud
