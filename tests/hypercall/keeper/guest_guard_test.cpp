// A test that is ended in the midst of it leaves no guest behind.
#include "tests/hypercall/keeper/guest_guard.h"

#include "tests/hypercall/keeper/keeper_fixture.h"

namespace supercloud {
namespace {

class GuestGuardTest : public KeeperProcessTest {
 protected:
  // A program that guards the folder, and is ended so.
  void end_a_program(int signal) {
    const pid_t program = ::fork();
    if (program == 0) {
      const GuestGuard its_own(folder);
      ::raise(signal);
      ::_exit(0);
    }
    ASSERT_GT(program, 0);
    int status = 0;
    ASSERT_EQ(::waitpid(program, &status, 0), program);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal) << status;
  }
  bool has_ended() {
    return eventually(
        [&] { return !told.empty() && told.back().phase == KeeperState::Phase::ended; });
  }
};

TEST_F(GuestGuardTest, EndsTheGuestsOfAProgramThatIsTerminated) {
  start({"family"}, 4);
  end_a_program(SIGTERM);
  EXPECT_TRUE(has_ended());
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(folder); }));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(GuestGuardTest, EndsTheGuestsOfAProgramThatIsKilled) {
  start({"family"}, 4);
  end_a_program(SIGKILL);
  EXPECT_TRUE(has_ended());
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(folder); }));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(GuestGuardTest, EndsAFrozenGuestWhoseKeeperIsStopped) {
  start();
  ASSERT_TRUE(client->arm(now()).ok());
  ASSERT_TRUE(told_frozen());
  const pid_t keeper = keeper_process();
  ASSERT_GT(keeper, 1);
  ::kill(keeper, SIGSTOP);
  end_a_program(SIGTERM);
  EXPECT_TRUE(has_ended());
}

TEST_F(GuestGuardTest, EndsAGuestWhoseKeeperIsNotReached) {
  options.freezer = "signal";  // a cgroup would be left of a keeper that is killed
  start();
  ASSERT_EQ(::rename(options.socket.c_str(), (options.socket + ".aside").c_str()), 0);
  end_a_program(SIGTERM);
  EXPECT_TRUE(has_ended());
  EXPECT_TRUE(no_process_is_left());
}

}  // namespace
}  // namespace supercloud
