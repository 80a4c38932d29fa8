#include "hypercall/qemu/qemu_hypervisor.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "hypercall/qemu/record.h"
#include "tests/hypercall/qemu/qemu_world.h"

namespace supercloud {
namespace {

INSTANTIATE_TEST_SUITE_P(Qemu, HypervisorConformance,
                         ::testing::Values(HypervisorWorldFactory{
                             "qemu", [] { return std::make_unique<QemuWorld>(); }}),
                         [](const auto& world) { return world.param.name; });

class QemuHypervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!world_.missing().empty()) GTEST_SKIP() << world_.missing();
  }
  void use(const QemuOptions& options) { world_.start_daemon(0, options); }
  // What one that is given these says to its start, at once.
  absl::Status start_of(const QemuOptions& options) {
    auto network = SocketLinkNetwork::open(world_.loop, "unix:" + world_.run_folder(0) + ".other");
    EXPECT_TRUE(network.ok()) << network.status();
    QemuHypervisor other(world_.loop, **network, options);
    const LateAnswer started;
    other.start(started.reply());
    EXPECT_TRUE(started.came());
    return started.status();
  }
  // The daemon's connections to a socket; how many there were.
  static int cut_connections_to(const std::string& path) {
    int cut = 0;
    for (int fd = 3; fd < 1024; ++fd) {
      sockaddr_un peer{};
      socklen_t size = sizeof peer;
      if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
          peer.sun_family == AF_UNIX && size > sizeof peer.sun_family && path == peer.sun_path &&
          ::shutdown(fd, SHUT_RDWR) == 0)
        ++cut;
    }
    return cut;
  }

  bool is_gone(int index) {
    return world_.wait(patience,
                       [&] { return !std::filesystem::exists(world_.folder(index, vm_)); });
  }
  void run_guest() {
    ASSERT_EQ(a_.create(spec_, 1), absl::OkStatus());
    ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  }

  static constexpr Duration patience = absl::Seconds(30);
  QemuWorld world_;
  HostCalls a_{world_, 0};
  const std::string vm_ = "main/web1";
  const Message<schema::VmSpec> spec_ = test_vm("web1", 32 << 20);
};

TEST_F(QemuHypervisorTest, AStandbyThatIsKilledLeavesNothingAndIsMadeAgainAtTheNextAsking) {
  for (const bool kills_keeper : {false, true}) {
    ASSERT_EQ(a_.keep(spec_), absl::OkStatus());
    const pid_t killed = kills_keeper ? world_.keeper_process(0, vm_) : world_.qemu_process(0, vm_);
    ASSERT_GT(killed, 0);
    ::kill(killed, SIGKILL);
    EXPECT_TRUE(is_gone(0));
    EXPECT_TRUE(world_.wait(patience, [&] { return a_.host().standby_bytes(vm_) == 0; }));
    EXPECT_FALSE(world_.cgroup_is_left(0, vm_));
  }
  ASSERT_EQ(a_.keep(spec_), absl::OkStatus());
  EXPECT_EQ(a_.prepare(spec_, test_migration(), 1), absl::OkStatus());
}

TEST_F(QemuHypervisorTest, AStandbyOfAnEarlierDaemonIsEndedUnlessAMigrationHadTakenIt) {
  ASSERT_EQ(a_.keep(spec_), absl::OkStatus());
  const pid_t qemu = world_.qemu_process(0, vm_);
  world_.restart_daemon(0);
  EXPECT_TRUE(is_gone(0));
  EXPECT_FALSE(QemuWorld::lives(qemu));
  ASSERT_EQ(a_.keep(spec_), absl::OkStatus());
  ASSERT_EQ(a_.prepare(spec_, test_migration(), 1), absl::OkStatus());
  const pid_t taken = world_.qemu_process(0, vm_);
  world_.restart_daemon(0);
  EXPECT_EQ(a_.migration_of(vm_), test_migration());
  EXPECT_TRUE(a_.is(vm_, GuestStatus::State::incoming));
  EXPECT_TRUE(QemuWorld::lives(taken));
}

TEST_F(QemuHypervisorTest, AMissingKernelIsNamedAndLeavesNothing) {
  world_.guests.usual.kernel = "/nowhere/vmlinux";
  use(world_.options(0));
  const absl::Status refused = a_.create(spec_, 1);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("/nowhere/vmlinux"), std::string::npos) << refused;
  EXPECT_TRUE(a_.host().list().empty());
}

TEST_F(QemuHypervisorTest, AKernelThatIsNoneEndsTheStartInQemusOwnWords) {
  world_.guests.usual.kernel = "/etc/passwd";
  use(world_.options(0));
  const absl::Status refused = a_.create(spec_, 1);
  EXPECT_FALSE(refused.ok());
  EXPECT_NE(refused.message().find("kernel"), std::string::npos) << refused;
  EXPECT_FALSE(a_.status(vm_).has_value());
  EXPECT_FALSE(std::filesystem::exists(world_.folder(0, vm_)));
  EXPECT_EQ(a_.create(spec_, 1).code(), refused.code()) << "and it may be tried again";
}

TEST_F(QemuHypervisorTest, AQemuThatIsNoneIsAnErrorThatSaysSo) {
  QemuOptions options = world_.options(0);
  options.qemu = "/bin/false";
  use(options);
  const absl::Status refused = a_.create(spec_, 1);
  EXPECT_FALSE(refused.ok());
  EXPECT_TRUE(a_.host().list().empty());
  EXPECT_FALSE(std::filesystem::exists(world_.folder(0, vm_)));
}

TEST_F(QemuHypervisorTest, AQemuThatCorruptsGuestsIsRefusedAtTheStart) {
  QemuOptions options = world_.options(0);
  options.version = {7, 2, 0};
  EXPECT_EQ(start_of(options).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(QemuHypervisorTest, AKeeperOrARunFolderThatCannotBeUsedIsNamedAtTheStart) {
  QemuOptions options = world_.options(0);
  options.keeper = "/nowhere/keeper";
  absl::Status refused = start_of(options);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("/nowhere/keeper"), std::string::npos) << refused;

  options = world_.options(0);
  options.run_folder += std::string(100, 'x');
  refused = start_of(options);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("shorter"), std::string::npos) << refused;
  EXPECT_FALSE(std::filesystem::exists(options.run_folder));
}

TEST_F(QemuHypervisorTest, AKeeperThatDoesNotStartLeavesNothingThatCountsAsAGuest) {
  QemuOptions options = world_.options(0);
  options.freezer = "none";  // which ends it, and every sweep
  use(options);
  const absl::Status refused = a_.create(spec_, 1);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_NE(refused.message().find("--freezer"), std::string::npos) << refused;
  EXPECT_TRUE(a_.host().list().empty());
  EXPECT_FALSE(std::filesystem::exists(world_.folder(0, vm_)));

  options = world_.options(0);
  options.keeper = world_.run_folder(0) + "-keeper";
  std::filesystem::create_symlink(world_.options(0).keeper, options.keeper);
  use(options);
  std::filesystem::remove(options.keeper);
  EXPECT_EQ(a_.create(spec_, 1).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(a_.host().list().empty());
  EXPECT_FALSE(std::filesystem::exists(world_.folder(0, vm_)));
  use(world_.options(0));
  EXPECT_EQ(a_.create(spec_, 1), absl::OkStatus()) << "and it may be tried again";
}

// ---- what is found, and what may be taken for gone -------------------------------------------------------------------

TEST_F(QemuHypervisorTest, AGuestWhoseKeeperDoesNotAnswerIsKeptUntilThatIsKnown) {
  ASSERT_NO_FATAL_FAILURE(run_guest());
  const pid_t keeper = world_.keeper_process(0, vm_);
  ASSERT_GT(keeper, 1);
  ::kill(keeper, SIGSTOP);
  const absl::Cleanup goes_on = [keeper] { ::kill(keeper, SIGCONT); };
  world_.restart_daemon(0);
  EXPECT_TRUE(a_.status(vm_).has_value()) << "it lives";
  EXPECT_EQ(a_.pause(vm_).code(), absl::StatusCode::kUnavailable);
  const absl::Status destroyed = a_.destroy(vm_);
  EXPECT_EQ(destroyed.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(destroyed.message().find("is kept"), std::string::npos) << destroyed;
  EXPECT_EQ(a_.create(spec_, 2).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(a_.executes(vm_));
  ::kill(keeper, SIGCONT);
  EXPECT_EQ(world_.until_ok([&] { return a_.pause(vm_); }), absl::OkStatus());
  EXPECT_EQ(a_.start(vm_, 2), absl::OkStatus());
}

TEST_F(QemuHypervisorTest, QemusThatDoNotAnswerHoldUpNoDaemonAndNoOtherGuest) {
  ASSERT_NO_FATAL_FAILURE(run_guest());
  const std::vector<std::string> silent = {"web2", "web3", "web4"};
  std::vector<pid_t> stopped;
  const absl::Cleanup go_on = [&stopped] {
    for (const pid_t qemu : stopped) ::kill(qemu, SIGCONT);
  };
  for (const std::string& name : silent) {
    ASSERT_EQ(a_.create(test_vm(name, 32 << 20), 1), absl::OkStatus());
    ASSERT_EQ(a_.start("main/" + name, 1), absl::OkStatus());
    const pid_t qemu = world_.qemu_process(0, "main/" + name);
    ASSERT_GT(qemu, 1);
    ::kill(qemu, SIGSTOP);
    stopped.push_back(qemu);
  }
  const Instant before = world_.now();
  world_.restart_daemon(0);
  EXPECT_LT(world_.now() - before, absl::Seconds(5));
  EXPECT_TRUE(a_.executes(vm_));
  for (const std::string& name : silent) {
    EXPECT_TRUE(a_.is("main/" + name, GuestStatus::State::running)) << "it may execute";
    EXPECT_EQ(a_.pause("main/" + name).code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(a_.destroy("main/web2"), absl::OkStatus()) << "its keeper answers";
  ::kill(stopped[1], SIGCONT);
  EXPECT_EQ(world_.until_ok([&] { return a_.pause("main/web3"); }), absl::OkStatus());
  EXPECT_TRUE(a_.executes(vm_));
}

// What it was told to do late, it does after it has told of the freeze.
TEST_F(QemuHypervisorTest, AFreezeIsSeenAlthoughTheKeeperOwesAnswers) {
  ASSERT_NO_FATAL_FAILURE(run_guest());
  const pid_t keeper = world_.keeper_process(0, vm_);
  ASSERT_GT(keeper, 1);
  const Instant deadline = world_.now() + absl::Milliseconds(300);
  a_.host().arm(vm_, deadline);
  ::kill(keeper, SIGSTOP);
  const absl::Cleanup goes_on = [keeper] { ::kill(keeper, SIGCONT); };
  constexpr int owed = 100;  // so that it takes longer to answer them than to tell
  for (int i = 0; i < owed; ++i) a_.host().arm(vm_, world_.now() + absl::Hours(1));
  ASSERT_TRUE(world_.wait(patience, [&] { return world_.now() > deadline; }));
  EXPECT_TRUE(a_.is(vm_, GuestStatus::State::running));
  ::kill(keeper, SIGCONT);
  EXPECT_TRUE(world_.wait(patience, [&] { return a_.is(vm_, GuestStatus::State::frozen); }));
  EXPECT_FALSE(a_.executes(vm_));
}

TEST_F(QemuHypervisorTest, ADeadlineThatIsMovedWhileAGuestIsInDoubtHoldsWhenItIsFound) {
  ASSERT_NO_FATAL_FAILURE(run_guest());
  const pid_t keeper = world_.keeper_process(0, vm_);
  ASSERT_GT(keeper, 1);
  ::kill(keeper, SIGSTOP);
  const absl::Cleanup goes_on = [keeper] { ::kill(keeper, SIGCONT); };
  ASSERT_GT(cut_connections_to(world_.folder(0, vm_) + "/keeper"), 0);
  ASSERT_TRUE(world_.wait(
      patience, [&] { return a_.resume(vm_, 1).code() == absl::StatusCode::kUnavailable; }));
  a_.host().arm(vm_, world_.now());
  EXPECT_TRUE(a_.executes(vm_)) << "nobody could stop it yet";
  ::kill(keeper, SIGCONT);
  EXPECT_TRUE(world_.wait(patience, [&] { return a_.is(vm_, GuestStatus::State::frozen); }));
  EXPECT_FALSE(a_.executes(vm_));
}

TEST_F(QemuHypervisorTest, ARunFolderMayBeALinkAndEndWithASlash) {
  QemuOptions options = world_.options(0);
  const std::string link = options.run_folder + ".link";
  std::filesystem::create_directory_symlink(options.run_folder, link);
  options.run_folder = link + "/";
  use(options);
  ASSERT_EQ(a_.create(spec_, 1), absl::OkStatus());
  use(options);
  EXPECT_TRUE(a_.is(vm_, GuestStatus::State::stopped));
}

TEST_F(QemuHypervisorTest, AFolderWhoseRecordIsLostIsNotTakenFromAGuestThatLives) {
  ASSERT_NO_FATAL_FAILURE(run_guest());
  const std::filesystem::path folder = world_.folder(0, vm_);
  std::filesystem::rename(folder / QemuRecord::file, folder / "aside");
  world_.restart_daemon(0);
  EXPECT_FALSE(a_.status(vm_).has_value());
  const absl::Status refused = a_.create(spec_, 2);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("may live"), std::string::npos) << refused;
  EXPECT_TRUE(a_.executes(vm_));
  std::filesystem::rename(folder / "aside", folder / QemuRecord::file);
  world_.restart_daemon(0);
  EXPECT_TRUE(a_.is(vm_, GuestStatus::State::running));
}

TEST_F(QemuHypervisorTest, AFolderThatIsLeftOfADeadGuestIsTakenByTheNext) {
  ASSERT_NO_FATAL_FAILURE(run_guest());
  const std::filesystem::path folder = world_.folder(0, vm_);
  const pid_t keeper = world_.keeper_process(0, vm_);
  const pid_t qemu = world_.qemu_process(0, vm_);
  ASSERT_GT(keeper, 1);
  ASSERT_GT(qemu, 1);
  world_.stop_daemon(0);
  std::filesystem::remove(folder / QemuRecord::file);
  ::kill(keeper, SIGKILL);
  ASSERT_TRUE(world_.wait(patience, [&] { return !QemuWorld::lives(qemu); }));
  world_.restart_daemon(0);
  EXPECT_FALSE(a_.status(vm_).has_value());
  EXPECT_EQ(a_.create(spec_, 2), absl::OkStatus());
}

TEST_F(QemuHypervisorTest, AGuestWhoseKeeperIsKilledIsGoneWithAllThatItLeft) {
  for (const bool frozen : {false, true}) {
    SCOPED_TRACE(frozen);
    ASSERT_NO_FATAL_FAILURE(run_guest());
    if (frozen) a_.host().arm(vm_, world_.now());
    ASSERT_TRUE(
        world_.wait(patience, [&] { return !frozen || a_.is(vm_, GuestStatus::State::frozen); }));
    const pid_t qemu = world_.qemu_process(0, vm_);
    const pid_t keeper = world_.keeper_process(0, vm_);
    ASSERT_GT(qemu, 1);
    ASSERT_GT(keeper, 1);
    ::kill(keeper, SIGKILL);
    EXPECT_TRUE(world_.wait(patience, [&] { return !a_.status(vm_).has_value(); }));
    EXPECT_TRUE(is_gone(0));
    EXPECT_TRUE(world_.wait(patience, [&] { return !QemuWorld::lives(qemu); }));
    EXPECT_FALSE(world_.cgroup_is_left(0, vm_));
  }
}

TEST_F(QemuHypervisorTest, AGuestWhoseKeeperWasKilledWithItsDaemonIsSweptByTheNext) {
  ASSERT_NO_FATAL_FAILURE(run_guest());
  a_.host().arm(vm_, world_.now());
  const pid_t qemu = world_.qemu_process(0, vm_);
  const pid_t keeper = world_.keeper_process(0, vm_);
  ASSERT_GT(qemu, 1);
  ASSERT_GT(keeper, 1);
  world_.stop_daemon(0);
  ::kill(keeper, SIGKILL);
  ASSERT_TRUE(world_.wait(patience, [&] { return !QemuWorld::lives(keeper); }));
  world_.restart_daemon(0);
  EXPECT_FALSE(a_.status(vm_).has_value());
  EXPECT_TRUE(is_gone(0));
  EXPECT_TRUE(world_.wait(patience, [&] { return !QemuWorld::lives(qemu); }));
  EXPECT_FALSE(world_.cgroup_is_left(0, vm_));
}

TEST_F(QemuHypervisorTest, WhatIsAnotherUsersIsLeftToHim) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a folder another user's";
  constexpr uid_t nobody = 65534;
  const std::filesystem::path folder = world_.folder(0, vm_);
  std::filesystem::create_directories(folder);
  const QemuRecord record{.vm = vm_, .own = true};
  ASSERT_EQ(record.save(folder.string()), absl::OkStatus());
  ASSERT_EQ(::chown(folder.c_str(), nobody, nobody), 0);
  world_.restart_daemon(0);
  EXPECT_FALSE(a_.status(vm_).has_value());
  EXPECT_EQ(a_.create(spec_, 1).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(std::filesystem::exists(folder / QemuRecord::file));
  std::filesystem::remove_all(folder);

  QemuOptions options = world_.options(0);
  options.run_folder += "-other";
  std::filesystem::create_directories(options.run_folder);
  ASSERT_EQ(::chown(options.run_folder.c_str(), nobody, nobody), 0);
  auto network = SocketLinkNetwork::open(world_.loop, "unix:" + options.run_folder + ".link");
  ASSERT_TRUE(network.ok());
  QemuHypervisor foreign(world_.loop, **network, options);
  absl::Status status;
  foreign.start(
      Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) { status = done.status(); }));
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
}

TEST_F(QemuHypervisorTest, AGuestMayBeDestroyedWhileItStarts) {
  for (const int after_ms : {0, 5, 50, 200}) {
    SCOPED_TRACE(after_ms);
    const LateAnswer created;
    const LateAnswer destroyed;
    a_.host().create(spec_, 1, created.reply());
    world_.wait(absl::Milliseconds(after_ms), [] { return false; });
    a_.host().destroy(vm_, destroyed.reply());
    ASSERT_TRUE(world_.wait(patience, [&] { return created.came() && destroyed.came(); }));
    EXPECT_EQ(destroyed.status(), absl::OkStatus());
    if (after_ms == 0) {
      EXPECT_FALSE(created.status().ok());
    }
    EXPECT_FALSE(a_.status(vm_).has_value());
    EXPECT_FALSE(std::filesystem::exists(world_.folder(0, vm_)));
  }
}

// ---- QEMU ------------------------------------------------------------------------------------------------------------

TEST_F(QemuHypervisorTest, AConnectionToQemuThatIsLostIsMadeAgain) {
  ASSERT_NO_FATAL_FAILURE(run_guest());
  const std::string path = world_.folder(0, vm_) + "/qmp";
  ASSERT_EQ(cut_connections_to(path), 1) << "connections to " << path;
  world_.wait(absl::Milliseconds(1), [] { return false; });
  EXPECT_EQ(world_.until_ok([&] { return a_.pause(vm_); }), absl::OkStatus());
  EXPECT_FALSE(a_.executes(vm_));
  EXPECT_EQ(a_.start(vm_, 2), absl::OkStatus());
  EXPECT_TRUE(a_.executes(vm_));
}

}  // namespace
}  // namespace supercloud
