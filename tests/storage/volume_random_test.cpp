// Two hosts that write, flush, move, crash, restart and lose sight of each other at random moments of virtual time. The test plays the
// executor and the guest, and knows what the guest was promised.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/storage/volume_world.h"

namespace supercloud {
namespace {

constexpr std::uint64_t blocks = 12;

class Story {
 public:
  Story(std::uint64_t seed, bool sync) : random_(seed), sync_(sync) {
    world_.store(holder_).create(vm, 1 << 20, {});
    serve();
  }

  void play() {
    for (int i = 0; i < 150 && !testing::Test::HasFailure(); ++i) {
      step();
      world_.run(absl::Microseconds(random_.below(4) == 0 ? random_.between(0, 2'000'000)
                                                          : random_.between(0, 3000)));
    }
    if (testing::Test::HasFailure()) return;
    world_.set_blocked(false);
    world_.run(absl::Seconds(40));
    const auto replicas = world_.store(holder_).replicas(vm);
    ASSERT_EQ(replicas.size(), 1U);
    EXPECT_TRUE(replicas[0].caught_up) << replicas[0].error;
    EXPECT_EQ(disk(holder_).digest(), disk(other_).digest());
    EXPECT_EQ(disk(holder_).state().version, disk(other_).state().version);
    EXPECT_TRUE(disk(other_).state().complete);
    expect_kept(other_, &Block::acked, "after healing");
  }

  int moves = 0;
  int takeovers = 0;
  int crashes = 0;

 private:
  struct Block {
    std::vector<std::uint64_t> values{0};  // in the order in which the guest wrote them
    std::size_t acked = 0;                 // index of the newest whose write was answered
    std::size_t flushed = 0;               // ... that an answered flush covers
  };

  DiskVolume& disk(const std::string& host) {
    world_.store(host);
    return world_.at(host).disk.volumes().at(vm);
  }

  void step() {
    const std::uint64_t kind = random_.below(100);
    if (kind < 55) {
      write();
    } else if (kind < 72) {
      flush();
    } else if (kind < 77) {
      world_.set_blocked(random_.below(2) == 0);
    } else if (kind < 82) {
      world_.restart(other_);
      refeed();
    } else if (kind < 86) {
      ++crashes;
      world_.crash(other_, &random_);
      refeed();
    } else if (kind < 90) {
      ++crashes;
      world_.crash(holder_, &random_);
      expect_kept(holder_, &Block::flushed, "after a crash");
      adopt(holder_);
      serve();
    } else if (kind < 97) {
      move();
    } else {
      take_over();
    }
  }

  void write() {
    const std::uint64_t index = random_.below(blocks);
    Block& block = content_[index];
    block.values.push_back(++value_);
    const std::size_t at = block.values.size() - 1;
    world_.guest(holder_).write(
        vm, epoch_, index, value_,
        Reply<Done>(far_future, [this, index, at, copy = copy_](absl::StatusOr<Done> done) {
          ASSERT_TRUE(done.ok());
          ASSERT_EQ(copy, copy_) << "acknowledged to a copy that was lost";
          content_[index].acked = std::max(content_[index].acked, at);
        }));
  }

  void flush() {
    std::map<std::uint64_t, std::size_t> covered;
    for (const auto& [index, block] : content_) covered[index] = block.acked;
    world_.guest(holder_).flush(
        vm, epoch_,
        Reply<Done>(far_future, [this, covered, copy = copy_](absl::StatusOr<Done> done) {
          ASSERT_TRUE(done.ok());
          // A fenced holder may still hear that its peer had it all: nobody is there to listen.
          if (copy != copy_) return;
          for (const auto& [index, at] : covered) {
            content_[index].flushed = std::max(content_[index].flushed, at);
          }
        }));
  }

  // Every block is what the guest wrote last before the promise, or later; torn only where something later was written.
  void expect_kept(const std::string& host, std::size_t Block::* promise, const char* when) {
    const DiskBlocks& stored = disk(host).blocks();
    for (const auto& [index, block] : content_) {
      const auto found = stored.find(index);
      const std::uint64_t value = found == stored.end() ? 0 : found->second.value;
      const auto known = std::find(block.values.begin(), block.values.end(), value);
      const auto at = static_cast<std::size_t>(known - block.values.begin());
      if (known == block.values.end()) {
        EXPECT_GT(block.values.size() - 1, block.*promise)
            << when << ": block " << index << " is torn on " << host;
      } else {
        EXPECT_GE(at, block.*promise)
            << when << ": block " << index << " on " << host << " is older than promised";
      }
    }
  }

  // The guest goes on from what is on `host`, which was stable when it was looked at.
  void adopt(const std::string& host) {
    const DiskBlocks& stored = disk(host).blocks();
    ++copy_;
    content_.clear();
    for (const auto& [index, block] : stored) content_[index].values = {block.value};
  }

  void serve() {
    Outcome<VolumeStatus> served;
    world_.store(holder_).serve(vm, ++epoch_, served.reply());
    if (sync_) world_.store(holder_).set_sync_peers(vm, {other_});
    refeed();
    world_.run(absl::Microseconds(60));
    ASSERT_TRUE(served.ok()) << served.status();
  }
  void refeed() {
    world_.store(other_);
    world_.store(holder_).replicate(vm, other_, world_.endpoint(other_));
  }

  void move() {
    Outcome<Seal> sealed;
    Outcome<Done> verified;
    bool holder_crashed = false;
    world_.run(absl::Milliseconds(1));  // drained
    world_.store(holder_).seal(vm, epoch_, sealed.reply());
    world_.run(absl::Milliseconds(random_.between(0, 3)));
    if (random_.below(4) == 0) {
      ++crashes;
      holder_crashed = random_.below(2) == 0;
      world_.crash(holder_crashed ? holder_ : other_, &random_);
      refeed();
    }
    world_.run(absl::Milliseconds(5));
    if (sealed.ok()) {
      world_.store(other_).verify(vm, *sealed, verified.reply(world_.now() + absl::Seconds(3)));
      world_.run(absl::Seconds(4));
    }
    if (verified.ok()) {
      // Closed and stable: not even a crash now takes it back.
      if (random_.below(3) == 0) world_.crash(other_, &random_);
      expect_kept(other_, &Block::acked, "verified");
      EXPECT_EQ(disk(other_).digest(), sealed.value->value()->digest);
      EXPECT_GE(disk(other_).state().closed, epoch_);
      ++moves;
      std::swap(holder_, other_);
      adopt(holder_);
    } else if (holder_crashed) {
      expect_kept(holder_, &Block::flushed, "after a crash while sealing");
      adopt(holder_);
    } else {
      expect_kept(holder_, &Block::acked, "after a swap back");
    }
    serve();
  }

  // The holder is lost, with its disk if the VM's flushes wait for the replica.
  void take_over() {
    // the keeper has frozen the guest: nothing is under way any more
    world_.run(absl::Milliseconds(1));
    if (!sync_ || !disk_ready(other_)) return;
    expect_kept(other_, &Block::flushed, "takeover");
    ++takeovers;
    adopt(other_);
    std::swap(holder_, other_);
    if (random_.below(2) == 0) {
      world_.store(other_).destroy(vm, {});
    }
    serve();
  }
  bool disk_ready(const std::string& host) {
    world_.store(host);
    const auto& volumes = world_.at(host).disk.volumes();
    const auto found = volumes.find(vm);
    // What the record's in-sync set would say: it had the whole content at some time of this epoch.
    return found != volumes.end() && found->second.state().complete &&
           in_sync_epoch(found->second) == epoch_;
  }
  static Epoch in_sync_epoch(const DiskVolume& volume) {
    const auto& history = volume.state().history;
    return history.empty() ? 0 : history.back().epoch;
  }

  MemoryVolumeWorld world_;
  Random random_;
  bool sync_;
  std::string holder_ = "a", other_ = "b";
  Epoch epoch_ = 0;
  std::uint64_t copy_ = 0;  // of the guest: a swap back keeps it, and what it waits for
  std::uint64_t value_ = 0;
  std::map<std::uint64_t, Block> content_;
};

TEST(VolumeStories, whatever_was_promised_is_kept_whenever_a_host_dies) {
  int moves = 0, takeovers = 0, crashes = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Story story(seed, seed % 2 == 0);
    story.play();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    moves += story.moves;
    takeovers += story.takeovers;
    crashes += story.crashes;
  }
  // The stories must be about something.
  EXPECT_GT(moves, 200);
  EXPECT_GT(takeovers, 20);
  EXPECT_GT(crashes, 1000);
}

}  // namespace
}  // namespace supercloud
