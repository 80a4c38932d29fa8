// Transfers between real QEMUs that do not go as they should: what ends, is ended in QEMU too, and nothing of it meets the next one.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "hypercall/qemu/handshake.h"
#include "hypercall/qemu/stream_socket.h"
#include "tests/hypercall/qemu/qemu_world.h"

namespace supercloud {
namespace {

constexpr Duration transfer_patience = absl::Seconds(30);

// A target that takes a stream, reads it, and says nothing of what comes of it.
class IdleTarget {
 public:
  IdleTarget(EventLoop& loop, const std::string& at, bool accepts) : loop_(loop) {
    auto network = SocketLinkNetwork::open(loop, "unix:" + at + ".link");
    auto listener =
        StreamListener::open(loop, "unix:" + at + ".stream",
                             [this](const std::string&, OwnFd stream) { take(std::move(stream)); });
    EXPECT_TRUE(network.ok() && listener.ok());
    network_ = *std::move(network);
    listener_ = *std::move(listener);
    EXPECT_TRUE(network_
                    ->listen(qemu_handshake::service,
                             [this, accepts](std::unique_ptr<Link> link) {
                               link_ = std::move(link);
                               Link::Handler handler;
                               handler.on_frame = [this, accepts](const std::string&) {
                                 const std::string token(qemu_handshake::token_bytes, 't');
                                 if (accepts)
                                   say(qemu_handshake::Accept{listener_->endpoint(), token});
                               };
                               link_->set_handler(std::move(handler));
                             })
                    .ok());
  }
  ~IdleTarget() { end(); }
  IdleTarget(const IdleTarget&) = delete;
  IdleTarget& operator=(const IdleTarget&) = delete;

  std::string endpoint() const { return network_->endpoint(); }
  void say(const qemu_handshake::Frame& frame) { link_->send(qemu_handshake::encode(frame)); }
  bool receives() const { return received_; }
  bool ended() const { return received_ && stream_.get() < 0; }

 private:
  void take(OwnFd stream) {
    stream_ = std::move(stream);
    EXPECT_TRUE(loop_.watch_fd(stream_.get(), EPOLLIN, [this](std::uint32_t) { read(); }).ok());
  }
  void read() {
    std::array<char, 65536> bytes{};
    const ssize_t got = ::recv(stream_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0) received_ = true;
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) end();
  }
  void end() {
    if (stream_.get() < 0) return;
    loop_.unwatch_fd(stream_.get());
    stream_ = OwnFd();
  }

  EventLoop& loop_;
  std::unique_ptr<SocketLinkNetwork> network_;
  std::unique_ptr<StreamListener> listener_;
  std::unique_ptr<Link> link_;
  OwnFd stream_;
  bool received_ = false;
};

using Memory = GuestStatus::Memory;

class QemuTransferTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!world_.missing().empty()) GTEST_SKIP() << world_.missing();
    ASSERT_EQ(a_.create(spec_, 1), absl::OkStatus());
    ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  }
  // A whole transfer, at this epoch.
  void move(const EventId& migration, Epoch epoch) {
    ASSERT_EQ(b_.prepare(spec_, migration, epoch), absl::OkStatus());
    ASSERT_EQ(world_.until_ok([&] { return a_.send(vm_, migration, world_.endpoint(1)); }),
              absl::OkStatus());
    ASSERT_EQ(a_.pause(vm_), absl::OkStatus());
    ASSERT_EQ(a_.finish_send(vm_), absl::OkStatus());
    ASSERT_EQ(b_.start(vm_, epoch + 1), absl::OkStatus());
    EXPECT_TRUE(b_.executes(vm_));
    EXPECT_TRUE(world_.memory_intact(vm_));
  }
  // It executes at b, and most of its memory follows, in some seconds.
  void move_by_post_copy() {
    const auto spec = Message<schema::VmSpec>::build([&](schema::VmSpec::Builder built) {
      built.setName("web1");
      built.setMemoryBytes(32 << 20);
      built.setPostCopy(true);
    });
    ASSERT_EQ(b_.prepare(spec, test_migration(), 1), absl::OkStatus());
    TransferOptions options{.migration = test_migration(), .endpoint = world_.endpoint(1)};
    options.bytes_per_second_max = 4 << 20;
    options.passes_max = TransferOptions::passes_unlimited;
    options.post_copy = true;
    const LateAnswer converged;
    a_.host().send(
        vm_, options, [this](const TransferProgress& progress) { told_ = progress; },
        Reply<TransferProgress>(far_future,
                                [reply = std::make_shared<Reply<Done>>(converged.reply())](
                                    const absl::StatusOr<TransferProgress>& said) {
                                  said.ok() ? (*reply)(Done{}) : (*reply)(said.status());
                                }));
    ASSERT_TRUE(wait([&] { return told_.can_follow && told_.sent_bytes > 0; }));
    a_.host().start_post_copy(vm_);
    ASSERT_TRUE(wait([&] { return converged.came(); }));
    ASSERT_EQ(converged.status(), absl::OkStatus());
    ASSERT_EQ(a_.pause(vm_), absl::OkStatus());
    ASSERT_EQ(a_.finish_send(vm_), absl::OkStatus());
    ASSERT_EQ(b_.start(vm_, 2), absl::OkStatus());
    ASSERT_EQ(b_.memory_of(vm_), Memory::following);
    ASSERT_EQ(a_.memory_of(vm_), Memory::needed);
  }
  bool becomes_whole() {
    return world_.wait(absl::Minutes(1), [&] {
      return b_.memory_of(vm_) == Memory::whole && a_.memory_of(vm_) == Memory::whole;
    });
  }
  bool wait(const std::function<bool()>& condition) {
    return world_.wait(transfer_patience, condition);
  }

  QemuWorld world_;
  HostCalls a_{world_, 0};
  HostCalls b_{world_, 1};
  const std::string vm_ = "main/web1";
  const Message<schema::VmSpec> spec_ = test_vm("web1", 32 << 20);
  TransferProgress told_;  // of a move by post-copy
};

// Rule 7: the session that this resume was won in has ended by then, and another node may run the guest.
TEST_F(QemuTransferTest, AResumeDoesNotOutliveADeadlineThatPassedWhileItWasUnderWay) {
  ASSERT_EQ(b_.prepare(spec_, test_migration(), 1), absl::OkStatus());
  ASSERT_EQ(a_.send(vm_, test_migration(), world_.endpoint(1)), absl::OkStatus());
  ASSERT_EQ(a_.pause(vm_), absl::OkStatus());
  const pid_t qemu = world_.qemu_process(0, vm_);
  ASSERT_GT(qemu, 1);
  ::kill(qemu, SIGSTOP);  // so that its transfer is not ended soon
  a_.host().arm(vm_, world_.now() + absl::Milliseconds(300));
  const LateAnswer resumed;
  a_.host().resume(vm_, 2, resumed.reply());
  world_.wait(absl::Milliseconds(400), [] { return false; });
  EXPECT_FALSE(resumed.came()) << resumed.status();
  a_.host().arm(vm_, world_.now() + absl::Hours(1));
  ::kill(qemu, SIGCONT);
  ASSERT_TRUE(wait([&] { return resumed.came(); }));
  EXPECT_EQ(resumed.status().code(), absl::StatusCode::kFailedPrecondition) << resumed.status();
  EXPECT_FALSE(a_.executes(vm_));
  EXPECT_EQ(a_.start(vm_, 3), absl::OkStatus());
  EXPECT_TRUE(a_.executes(vm_));
}

TEST_F(QemuTransferTest, ATransferThatItsTargetGivesUpIsEndedInQemuToo) {
  IdleTarget target(world_.loop, world_.run_folder(0) + "-idle", true);
  TransferOptions options;
  options.migration = test_migration(1);
  options.endpoint = target.endpoint();
  a_.host().send(vm_, options, nullptr, Reply<TransferProgress>());
  ASSERT_TRUE(wait([&] { return target.receives(); }));
  EXPECT_EQ(a_.migration_of(vm_), test_migration(1));
  target.say(qemu_handshake::Lost{"it was given up"});
  EXPECT_TRUE(wait([&] { return target.ended(); })) << "QEMU sends on";
  EXPECT_TRUE(wait([&] { return a_.migration_of(vm_) == EventId{}; }));
  EXPECT_TRUE(a_.executes(vm_));
  move(test_migration(2), 1);
}

TEST_F(QemuTransferTest, TheTransferOfAFrozenGuestIsStoppedAtOnceAndEndsWhenItGoesOn) {
  ASSERT_EQ(b_.prepare(spec_, test_migration(1), 1), absl::OkStatus());
  ASSERT_EQ(a_.send(vm_, test_migration(1), world_.endpoint(1)), absl::OkStatus());
  a_.host().arm(vm_, world_.now());
  ASSERT_TRUE(wait([&] { return a_.is(vm_, GuestStatus::State::frozen); }));
  EXPECT_EQ(a_.stop_send(vm_), absl::OkStatus());
  EXPECT_EQ(a_.stop_send(vm_), absl::OkStatus());
  EXPECT_EQ(a_.migration_of(vm_), EventId{});
  EXPECT_TRUE(a_.is(vm_, GuestStatus::State::frozen));
  ASSERT_EQ(a_.start(vm_, 2), absl::OkStatus());
  EXPECT_TRUE(a_.executes(vm_));
  EXPECT_TRUE(wait([&] { return !b_.status(vm_).has_value(); })) << "it is sent on";
  move(test_migration(2), 2);
}

TEST_F(QemuTransferTest, TheTransferOfAFrozenGuestThatAnEarlierDaemonStoppedEndsWhenItGoesOn) {
  ASSERT_EQ(b_.prepare(spec_, test_migration(1), 1), absl::OkStatus());
  ASSERT_EQ(a_.send(vm_, test_migration(1), world_.endpoint(1)), absl::OkStatus());
  a_.host().arm(vm_, world_.now());
  ASSERT_TRUE(wait([&] { return a_.is(vm_, GuestStatus::State::frozen); }));
  ASSERT_EQ(a_.stop_send(vm_), absl::OkStatus());
  world_.restart_daemon(0);
  ASSERT_TRUE(a_.is(vm_, GuestStatus::State::frozen));
  ASSERT_EQ(a_.start(vm_, 2), absl::OkStatus());
  EXPECT_TRUE(a_.executes(vm_));
  EXPECT_TRUE(wait([&] { return !b_.status(vm_).has_value(); })) << "it is sent on";
  move(test_migration(2), 2);
}

TEST_F(QemuTransferTest, ATargetThatDoesNotAnswerIsNotWaitedForForEver) {
  IdleTarget target(world_.loop, world_.run_folder(0) + "-idle", false);
  const absl::Status sent = a_.send(vm_, test_migration(1), target.endpoint());
  EXPECT_EQ(sent.code(), absl::StatusCode::kUnavailable) << sent;
  EXPECT_NE(sent.message().find("does not answer"), std::string::npos) << sent;
  EXPECT_TRUE(a_.executes(vm_));
}

// ---- the target's side -----------------------------------------------------------------------------------------------

TEST_F(QemuTransferTest, ACopyThatWasPreparedIsStillFilledAfterARestart) {
  ASSERT_EQ(b_.prepare(spec_, test_migration(), 1), absl::OkStatus());
  world_.restart_daemon(1);
  EXPECT_TRUE(b_.is(vm_, GuestStatus::State::incoming));
  move(test_migration(), 1);
}

// A serial port that waits for a reader at its source would wait for ever where nobody is connected as it arrives.
TEST_F(QemuTransferTest, AGuestWhoseConsoleNobodyReadIsHeardAtItsTarget) {
  world_.leave_console(0, vm_);
  move(test_migration(), 1);
}

TEST_F(QemuTransferTest, AGuestWhoseConsoleNobodyReadIsHeardAtATargetThatWasRestarted) {
  world_.leave_console(0, vm_);
  ASSERT_EQ(b_.prepare(spec_, test_migration(), 1), absl::OkStatus());
  world_.restart_daemon(1);
  move(test_migration(), 1);
}

// ---- while its memory follows ----------------------------------------------------------------------------------------

TEST_F(QemuTransferTest, ASourceWhoseQemuIsSilentAsItsDaemonStartsIsNotTakenForWhole) {
  move_by_post_copy();
  if (HasFatalFailure()) return;
  const pid_t qemu = world_.qemu_process(0, vm_);
  ASSERT_GT(qemu, 1);
  ::kill(qemu, SIGSTOP);
  world_.restart_daemon(0);
  EXPECT_EQ(a_.memory_of(vm_), Memory::unknown);
  EXPECT_EQ(a_.migration_of(vm_), test_migration());
  ::kill(qemu, SIGCONT);
  EXPECT_TRUE(wait([&] { return a_.memory_of(vm_) == Memory::needed; }));
  EXPECT_TRUE(becomes_whole());
  EXPECT_TRUE(b_.executes(vm_));
  EXPECT_TRUE(world_.memory_intact(vm_));
}

TEST_F(QemuTransferTest, ASourceThatIsOnlySentIsKnownToBeWholeByTheNextDaemon) {
  ASSERT_EQ(b_.prepare(spec_, test_migration(), 1), absl::OkStatus());
  ASSERT_EQ(a_.send(vm_, test_migration(), world_.endpoint(1)), absl::OkStatus());
  world_.restart_daemon(0);
  EXPECT_TRUE(wait([&] { return a_.memory_of(vm_) == Memory::whole; }));
  ASSERT_EQ(a_.pause(vm_), absl::OkStatus());
  EXPECT_EQ(a_.finish_send(vm_), absl::OkStatus());
}

// Of a daemon that was away longer than its session, and whose QEMU takes its time then.
TEST_F(QemuTransferTest, WhatIsWholeIsNotGivenUpByTheNextDaemonHoweverLongItsQemuIsSilent) {
  move_by_post_copy();
  if (HasFatalFailure()) return;
  const pid_t qemu = world_.qemu_process(1, vm_);
  ASSERT_GT(qemu, 1);
  world_.stop_daemon(1);
  ASSERT_TRUE(wait([&] { return a_.memory_of(vm_) == Memory::whole; }));
  ::kill(qemu, SIGSTOP);
  QemuOptions options = world_.options(1);
  options.post_copy_patience = absl::Seconds(1);
  world_.start_daemon(1, options);
  EXPECT_EQ(b_.memory_of(vm_), Memory::waiting) << "whether it has come is not known yet";
  world_.wait(absl::Seconds(3), [&] { return b_.memory_of(vm_) != Memory::waiting; });
  ::kill(qemu, SIGCONT);
  EXPECT_TRUE(wait([&] { return b_.memory_of(vm_) != Memory::waiting; }));
  EXPECT_EQ(b_.memory_of(vm_), Memory::whole);
  EXPECT_TRUE(b_.executes(vm_));
}

// As if its host had lost its power: the stream stays open, and carries nothing.
TEST_F(QemuTransferTest, ASourceThatIsGoneWithoutAWordIsNotWaitedForForEver) {
  QemuOptions options = world_.options(1);
  options.post_copy_patience = absl::Seconds(2);
  world_.start_daemon(1, options);
  move_by_post_copy();
  if (HasFatalFailure()) return;
  world_.hold_streams();
  world_.stop_daemon(0);
  EXPECT_TRUE(world_.wait(absl::Minutes(1), [&] { return b_.memory_of(vm_) == Memory::waiting; }));
  EXPECT_TRUE(wait([&] { return b_.memory_of(vm_) == Memory::lost; }));
  world_.cut_streams();
  world_.restart_daemon(0);
}

// Its table is out of reach, as its target's is: rule 15.
TEST_F(QemuTransferTest, ASourceWaitsAsLongAsItsTargetIsFrozen) {
  for (const int index : {0, 1}) {
    QemuOptions options = world_.options(index);
    options.post_copy_patience = absl::Seconds(5);
    world_.start_daemon(index, options);
  }
  ASSERT_TRUE(a_.executes(vm_));
  move_by_post_copy();
  if (HasFatalFailure()) return;
  b_.host().arm(vm_, world_.now());
  ASSERT_TRUE(wait([&] { return b_.is(vm_, GuestStatus::State::frozen); }));
  EXPECT_TRUE(wait([&] { return a_.memory_of(vm_) == Memory::broken; })) << "it takes nothing";
  world_.wait(absl::Seconds(8), [&] { return a_.memory_of(vm_) != Memory::broken; });
  EXPECT_EQ(a_.memory_of(vm_), Memory::broken) << a_.status(vm_)->memory_why;
  ASSERT_EQ(b_.start(vm_, 3), absl::OkStatus());
  EXPECT_TRUE(becomes_whole()) << a_.status(vm_)->memory_why << ", " << b_.status(vm_)->memory_why;
  EXPECT_TRUE(b_.executes(vm_));
  EXPECT_TRUE(world_.memory_intact(vm_));
}

// It cannot go on itself; what becomes of it is decided there, as long as somebody answers.
TEST_F(QemuTransferTest, ASourceWhoseTargetHasAllWithoutItsQemuHavingHeardIsNotLost) {
  QemuOptions options = world_.options(0);
  options.post_copy_patience = absl::Seconds(2);
  world_.start_daemon(0, options);
  ASSERT_TRUE(a_.executes(vm_));
  move_by_post_copy();
  if (HasFatalFailure()) return;
  const std::string endpoint = world_.endpoint(1);
  world_.stop_daemon(1);
  auto target = SocketLinkNetwork::open(world_.loop, endpoint);
  ASSERT_TRUE(target.ok()) << target.status();
  std::unique_ptr<Link> link;
  const auto say_whole = [&](std::unique_ptr<Link> from) {
    link = std::move(from);
    Link::Handler handler;
    handler.on_frame = [&](const std::string&) {
      link->send(qemu_handshake::encode(qemu_handshake::Whole{}));
    };
    link->set_handler(std::move(handler));
  };
  ASSERT_EQ((*target)->listen(qemu_handshake::service, say_whole), absl::OkStatus());
  world_.cut_streams();
  ASSERT_TRUE(wait([&] { return a_.memory_of(vm_) == Memory::broken; }));
  world_.wait(absl::Seconds(5), [&] { return a_.memory_of(vm_) != Memory::broken; });
  EXPECT_EQ(a_.memory_of(vm_), Memory::broken) << a_.status(vm_)->memory_why;
  link.reset();
  (*target).reset();
  EXPECT_TRUE(wait([&] { return a_.memory_of(vm_) == Memory::lost; })) << "nobody answers";
  world_.restart_daemon(1);
}

// What anybody may say who reaches the links.
TEST_F(QemuTransferTest, WhoAsksAgainForWhatWasNotBroughtHereIsToldSoAndHarmsNobody) {
  ASSERT_EQ(b_.prepare(spec_, test_migration(1), 1), absl::OkStatus());
  const auto network = SocketLinkNetwork::open(world_.loop, "unix:" + world_.run_folder(0) + "-x");
  ASSERT_TRUE(network.ok()) << network.status();
  for (const char* vm : {"main/nothing", "main/web1"}) {
    SCOPED_TRACE(vm);
    const auto link = (*network)->connect(world_.endpoint(1), qemu_handshake::service);
    std::string said;
    Link::Handler handler;
    handler.on_frame = [&](const std::string& bytes) { said = bytes; };
    link->set_handler(std::move(handler));
    link->send(qemu_handshake::encode(qemu_handshake::Hello{
        vm, 1, test_migration(2), qemu_handshake::Hello::Kind::again, false}));
    ASSERT_TRUE(wait([&] { return !said.empty(); }));
    const auto frame = qemu_handshake::decode(said);
    ASSERT_TRUE(frame.ok()) << frame.status();
    EXPECT_TRUE(std::holds_alternative<qemu_handshake::Lost>(*frame)) << said;
  }
  move(test_migration(1), 1);
}

TEST_F(QemuTransferTest, ACopyMayBePreparedAgainWhileItStartsAndBothAreToldHowItEnds) {
  for (const bool bad : {true, false}) {
    SCOPED_TRACE(bad);
    QemuOptions options = world_.options(1);
    if (bad) options.guests.usual.kernel = "/etc/passwd";
    world_.start_daemon(1, options);
    const std::array<LateAnswer, 2> prepared{};
    for (const LateAnswer& each : prepared)
      b_.host().prepare_incoming(spec_, test_migration(), 1, each.reply());
    EXPECT_EQ(b_.prepare(spec_, test_migration(2), 1).code(), absl::StatusCode::kAlreadyExists);
    ASSERT_TRUE(wait([&] { return prepared[0].came() && prepared[1].came(); }));
    EXPECT_EQ(prepared[0].status().ok(), !bad) << prepared[0].status();
    EXPECT_EQ(prepared[1].status().ok(), !bad) << prepared[1].status();
    EXPECT_EQ(b_.status(vm_).has_value(), !bad);
  }
}

}  // namespace
}  // namespace supercloud
