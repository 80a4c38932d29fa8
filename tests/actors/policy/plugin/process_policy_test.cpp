// Policies that are processes, good and bad, as real processes.
#include "actors/policy/plugin/process_policy.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/policy/plugin/blocking_policy.h"
#include "core/text.h"
#include "tests/actors/policy/plugin/worlds.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

// A process that is over may wait for init to take note.
bool is_there(pid_t pid) {
  std::ifstream stat(absl::StrCat("/proc/", pid, "/stat"));
  std::string number, name, state;
  return static_cast<bool>(stat >> number >> name >> state) && state != "Z" && state != "X";
}

// How many sockets of policies of this process there are, their connections too.
int sockets_of(pid_t pid) {
  std::ifstream sockets("/proc/net/unix");
  int count = 0;
  for (std::string line; std::getline(sockets, line);)
    if (line.find(absl::StrCat("@supercloud-policy-", pid, "-")) != std::string::npos) ++count;
  return count;
}

class ProcessPolicyTest : public testing::Test {
 protected:
  ~ProcessPolicyTest() override {
    // Whatever a test did, no child is left, as a zombie neither, and no socket.
    errno = 0;
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
    EXPECT_EQ(sockets_of(::getpid()), 0);
  }
  // Patient with a busy machine, but where the test is about impatience.
  static ProcessPolicyOptions that(const std::string& behaves) {
    ProcessPolicyOptions options;
    options.name = "test";
    options.file = "test.py";
    options.command = {"/proc/self/exe", {"test.py", "policy", behaves}, {}};
    options.deadline = absl::Seconds(30);
    options.start_deadline = absl::Seconds(30);
    options.pause_min = absl::Milliseconds(1);
    return options;
  }
  Decided decide(ProcessPolicy& policy) { return answer_of(loop_, ask(policy)); }
  Decided decide_within(ProcessPolicy& policy, Duration span) {
    auto slot = std::make_shared<std::optional<Decided>>();
    policy.decide(world_of(), Reply<Message<schema::Decision>>(
                                  loop_.clock().now() + span,
                                  [slot](Decided decided) { *slot = std::move(decided); }));
    return answer_of(loop_, slot);
  }
  std::string why(ProcessPolicy& policy) {
    const Decided decided = decide(policy);
    EXPECT_FALSE(decided.ok());
    return std::string(decided.status().message());
  }
  pid_t greeted(ProcessPolicy& policy) {
    bool heard = false;
    policy.on_greeting([&](const absl::StatusOr<PolicyGreeting>&) { heard = true; });
    EXPECT_TRUE(loop_.run_until([&] { return heard; }, absl::Seconds(30)));
    return policy.pid();
  }
  bool eventually(const std::function<bool()>& holds) {
    return loop_.run_until(
        [&] {
          loop_.at(loop_.clock().now() + absl::Milliseconds(5), [] {});  // look again then
          return holds();
        },
        absl::Seconds(30));
  }

  EventLoop loop_;
};

TEST_F(ProcessPolicyTest, DecidesQuestionAfterQuestion) {
  ProcessPolicy policy(loop_, that("is good"));
  std::vector<Slot> slots;
  for (int i = 0; i < 50; ++i) slots.push_back(ask(policy));
  for (const Slot& slot : slots) {
    const Decided decided = answer_of(loop_, slot);
    EXPECT_EQ(choice_of(decided), place_in("b"));
    EXPECT_EQ(text(decided->reader().getReason()), "a test says so");
  }
}

TEST_F(ProcessPolicyTest, TellsWhoItIs) {
  ProcessPolicy policy(loop_, that("is good"));
  std::optional<absl::StatusOr<PolicyGreeting>> heard;
  policy.on_greeting([&](absl::StatusOr<PolicyGreeting> greeting) { heard = std::move(greeting); });
  ASSERT_TRUE(loop_.run_until([&] { return heard.has_value(); }, absl::Seconds(30)));
  ASSERT_TRUE(heard->ok()) << heard->status();
  EXPECT_EQ((*heard)->name, "x");
  EXPECT_EQ((*heard)->version, "2");
  EXPECT_EQ((*heard)->decides_on, "nothing");
}

TEST_F(ProcessPolicyTest, DropsAnAnswerThatIsLateAndTakesTheNextOne) {
  // Nonsense or not: the next question is not to blame.
  for (const char* how : {"is late", "is late with nonsense", "is late with a frame too many"}) {
    SCOPED_TRACE(how);
    ProcessPolicy policy(loop_, that(how));
    greeted(policy);
    // The answers to the first two come after their deadlines, with the next question each.
    for (int i = 0; i < 2; ++i)
      EXPECT_TRUE(absl::IsDeadlineExceeded(decide_within(policy, absl::Milliseconds(1)).status()));
    EXPECT_EQ(choice_of(decide(policy)), place_in("b"));
  }
}

TEST_F(ProcessPolicyTest, TellsOfNonsenseToAnEarlierQuestionWhereTheNextHasNoAnswerEither) {
  ProcessPolicy policy(loop_, that("is late with nonsense, then silent"));
  greeted(policy);
  const std::string nonsense =
      "; what it said to an earlier one: its \"decision\" has 2 frames, not three";
  const auto first = decide_within(policy, absl::Milliseconds(1));
  EXPECT_FALSE(std::string(first.status().message()).ends_with(nonsense)) << first.status();
  // Long enough for the nonsense to come; the question that it comes with is open until its end.
  const auto second = decide_within(policy, absl::Seconds(3));
  EXPECT_TRUE(absl::IsDeadlineExceeded(second.status())) << second.status();
  EXPECT_TRUE(std::string(second.status().message()).ends_with(nonsense)) << second.status();
}

TEST_F(ProcessPolicyTest, KillsAndStartsAgainAProcessThatNeverAnswers) {
  ProcessPolicyOptions options = that("never answers");
  options.deadline = absl::Milliseconds(20);
  ProcessPolicy policy(loop_, options);
  const pid_t first = greeted(policy);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(is_there(first));
    EXPECT_EQ(why(policy), "test.py did not answer within 20ms");
  }
  EXPECT_TRUE(eventually([&] { return !is_there(first); }));
  EXPECT_TRUE(eventually([&] { return policy.pid() != 0 && policy.pid() != first; }));
}

TEST_F(ProcessPolicyTest, TellsThatItIsStillStarting) {
  ProcessPolicyOptions options = that("says nothing");
  options.deadline = absl::Milliseconds(20);
  ProcessPolicy policy(loop_, options);
  const Decided decided = decide(policy);
  EXPECT_TRUE(absl::IsFailedPrecondition(decided.status())) << decided.status();
  EXPECT_EQ(decided.status().message(), "test.py was still starting after 20ms");
}

TEST_F(ProcessPolicyTest, KillsAProcessThatSaysNoHello) {
  ProcessPolicyOptions options = that("says nothing");
  options.start_deadline = absl::Milliseconds(50);
  options.pause_min = absl::Minutes(1);
  ProcessPolicy policy(loop_, options);
  EXPECT_EQ(why(policy), "test.py was killed: it said no hello within 50ms");
  EXPECT_EQ(policy.pid(), 0);
}

TEST_F(ProcessPolicyTest, TellsHowAProcessCrashedInItsAnswerAndWhatItWroteLast) {
  ProcessPolicy policy(loop_, that("crashes in its answer"));
  EXPECT_EQ(why(policy), "test.py ended with signal 11 (SEGV); it wrote last: its last words");
}

TEST_F(ProcessPolicyTest, TellsOfAProcessThatEndsBeforeItsHello) {
  ProcessPolicyOptions options = that("exits");
  options.pause_min = absl::Minutes(1);
  ProcessPolicy policy(loop_, options);
  EXPECT_EQ(why(policy),
            "test.py ended with exit code 3, before its hello; it wrote last: this machine has no "
            "luck");
  EXPECT_TRUE(why(policy).starts_with("test.py ended with exit code 3"))
      << "at once, while it is down";
  EXPECT_NE(why(policy).find("; it is started again in "), std::string::npos);
}

TEST_F(ProcessPolicyTest, TellsWhyAFileCannotBeExecuted) {
  ProcessPolicyOptions options = that("");
  options.command.program = "/dev/null";
  options.pause_min = absl::Minutes(1);
  ProcessPolicy policy(loop_, options);
  EXPECT_EQ(why(policy),
            "test.py ended with exit code 127, before its hello; it wrote last: it cannot be "
            "executed: Permission denied");
}

TEST_F(ProcessPolicyTest, AnswersAgainAfterACrash) {
  std::string folder = "/tmp/scq-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  ProcessPolicyOptions options = that("crashes once");
  options.command.environment = {{"TEST_FLAG", folder + "/flag"}};
  ProcessPolicy policy(loop_, options);
  EXPECT_EQ(why(policy), "test.py ended with exit code 4");
  EXPECT_EQ(choice_of(decide(policy)), place_in("b"));
  files::remove_all(folder);
}

TEST_F(ProcessPolicyTest, PausesLongerAfterEachFailure) {
  ProcessPolicyOptions options = that("exits");
  options.deadline = absl::Milliseconds(1);  // nobody waits for the next process
  options.pause_min = absl::Milliseconds(20);
  ProcessPolicy policy(loop_, options);
  // Each start is another process.
  std::vector<Instant> starts{loop_.clock().now()};
  pid_t last = policy.pid();
  EXPECT_TRUE(eventually([&] {
    if (policy.pid() != 0 && policy.pid() != last) {
      last = policy.pid();
      starts.push_back(loop_.clock().now());
    }
    return starts.size() == 5;
  }));
  for (std::size_t i = 1; i < starts.size(); ++i)
    EXPECT_GE(starts[i] - starts[i - 1], absl::Milliseconds(20) * (1 << (i - 1)));
}

TEST_F(ProcessPolicyTest, TakesNoGarbageAndGoesOn) {
  for (const auto& [behaves, said] : std::vector<std::pair<std::string, std::string>>{
           {"answers garbage", "test.py: not the JSON of Decision: "},
           {"answers without an id", "test.py: its \"decision\" has 2 frames, not three"},
           {"cannot decide", "test.py: it says that it cannot decide: no idea"}}) {
    SCOPED_TRACE(behaves);
    ProcessPolicy policy(loop_, that(behaves));
    const pid_t first = greeted(policy);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(why(policy).starts_with(said)) << why(policy);
    EXPECT_EQ(policy.pid(), first);
  }
}

TEST_F(ProcessPolicyTest, RefusesAnotherProtocol) {
  ProcessPolicyOptions options = that("speaks another protocol");
  options.pause_min = absl::Minutes(1);
  ProcessPolicy policy(loop_, options);
  EXPECT_EQ(
      why(policy),
      "test.py was killed: it speaks protocol 7, this program speaks 1: change its hello, and "
      "what differs (docs/policies.md)");
}

TEST_F(ProcessPolicyTest, IsNotHeldUpByAProcessThatTalksALot) {
  ProcessPolicy policy(loop_, that("talks"));
  EXPECT_EQ(choice_of(decide(policy)), place_in("b"));
}

TEST_F(ProcessPolicyTest, EndsWhatTheProcessHasStartedWithIt) {
  ProcessPolicyOptions options = that("leaves a child behind");
  options.pause_min = absl::Minutes(1);
  ProcessPolicy policy(loop_, options);
  const pid_t group = greeted(policy);
  EXPECT_EQ(why(policy), "test.py ended with exit code 0");
  EXPECT_TRUE(eventually([&] { return ::kill(-group, 0) != 0; }));
}

TEST_F(ProcessPolicyTest, RefusesMoreQuestionsThanMayWait) {
  ProcessPolicyOptions options = that("never answers");
  options.waiting_max = 2;
  ProcessPolicy policy(loop_, options);
  greeted(policy);
  const std::vector<Slot> open{ask(policy), ask(policy), ask(policy)};  // one is being asked
  EXPECT_TRUE(absl::IsResourceExhausted(decide(policy).status()));
  for (const Slot& slot : open) EXPECT_FALSE(slot->has_value());
}

TEST_F(ProcessPolicyTest, TakesItsProcessAlongWhenItIsDestroyed) {
  pid_t pid = 0;
  {
    ProcessPolicy policy(loop_, that("never answers"));
    pid = greeted(policy);
    ask(policy);
    EXPECT_GT(sockets_of(::getpid()), 0);
  }
  EXPECT_FALSE(is_there(pid));
}

TEST_F(ProcessPolicyTest, DiesWithANodeThatIsKilled) {
  int output[2];
  ASSERT_EQ(::pipe(output), 0);
  const pid_t node = ::fork();
  if (node == 0) {
    ::dup2(output[1], 1);
    ::execl("/proc/self/exe", "test", "node", nullptr);
    ::_exit(127);
  }
  ::close(output[1]);
  std::string line;
  for (char c = 0; ::read(output[0], &c, 1) == 1 && c != '\n';) line += c;
  ::close(output[0]);
  const pid_t policy = std::atoi(line.c_str());
  ASSERT_GT(policy, 0);
  EXPECT_TRUE(is_there(policy));
  ::kill(node, SIGKILL);
  EXPECT_EQ(::waitpid(node, nullptr, 0), node);
  EXPECT_TRUE(eventually([&] { return !is_there(policy); }));
  EXPECT_TRUE(eventually([&] { return sockets_of(node) == 0; }));
}

TEST_F(ProcessPolicyTest, AnswersInsideOfTheCallWhereTimeIsVirtual) {
  ProcessPolicyOptions options = that("is good");
  BlockingPolicy policy(options);
  for (int i = 0; i < 10; ++i) {
    const Slot slot = ask(policy);
    ASSERT_TRUE(slot->has_value());
    EXPECT_EQ(choice_of(**slot), place_in("b"));
  }
}

TEST_F(ProcessPolicyTest, GivesUpInsideOfTheCallAtItsDeadlineInRealTime) {
  ProcessPolicyOptions options = that("never answers");
  options.deadline = absl::Milliseconds(30);
  BlockingPolicy policy(options);
  ASSERT_TRUE(policy.greeting().ok());
  const Slot slot = ask(policy);
  ASSERT_TRUE(slot->has_value());
  EXPECT_TRUE(absl::IsDeadlineExceeded((*slot)->status())) << (*slot)->status();
}

TEST_F(ProcessPolicyTest, FailsTheSameWayEachTimeWhereTimeIsVirtualAndIsGivenUp) {
  for (const auto& [how, once, for_good] : std::vector<std::array<std::string, 3>>{
           {"never answers", "test.py did not answer within 50ms",
            "test.py was killed: it left a question without an answer; it failed 3 times in a row "
            "and is not started again"},
           {"crashes in its answer",
            "test.py ended with signal 11 (SEGV); it wrote last: its last words",
            "test.py ended with signal 11 (SEGV); it wrote last: its last words; it failed 3 times "
            "in a row and is not started again"},
           {"exits",
            "test.py ended with exit code 3, before its hello; it wrote last: this machine has no "
            "luck; it failed 3 times in a row and is not started again",
            ""}}) {
    ProcessPolicyOptions options = that(how);
    options.deadline = how == "never answers" ? absl::Milliseconds(50) : absl::Seconds(60);
    for (int run = 0; run < 2; ++run) {
      BlockingPolicy policy(BlockingPolicy::of_virtual_time(options));
      std::vector<std::string> said;
      for (int i = 0; i < 5; ++i) said.emplace_back((**ask(policy)).status().message());
      std::vector<std::string> expected(5, once);
      if (how == "never answers") expected[3] = expected[4] = for_good;
      if (how == "crashes in its answer") expected[2] = expected[3] = expected[4] = for_good;
      EXPECT_EQ(said, expected) << how;
      EXPECT_EQ(policy.pid(), 0) << how;
    }
  }
}

TEST_F(ProcessPolicyTest, WaitsInsideOfTheCallForTheNextProcessAfterACrash) {
  std::string folder = "/tmp/scq-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  ProcessPolicyOptions options = that("crashes once");
  options.command.environment = {{"TEST_FLAG", folder + "/flag"}};
  BlockingPolicy policy(options);
  EXPECT_FALSE((**ask(policy)).ok());
  EXPECT_EQ(choice_of(**ask(policy)), place_in("b"));
  files::remove_all(folder);
}

}  // namespace
}  // namespace supercloud
