// What our wrappers make of the answers of Xen's libraries, with stand_in.cpp in their place.
#include "hypercall/xen/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "hypercall/xen/event_channels.h"
#include "hypercall/xen/pages.h"
#include "hypercall/xen_error.h"
#include "tests/hypercall/domain_list_conformance.h"
#include "tests/hypercall/xen/stand_in.h"

extern "C" int xen_stand_in_mapped_foreign();

namespace supercloud {
namespace {

using ::testing::ElementsAre;

class StandInDomains final : public DomainListWorld {
 public:
  StandInDomains() { ::setenv("XEN_STAND_IN", xen_.folder().c_str(), 1); }
  ~StandInDomains() override { ::unsetenv("XEN_STAND_IN"); }

  const DomainList& domains() override { return *control_; }
  DomainId create(std::uint64_t memory_bytes, std::uint32_t cpus) override {
    made_.push_back({.memory_bytes = memory_bytes, .cpus = cpus});
    set_state(last(), DomainStatus::State::running);
    return last();
  }
  void set_state(DomainId id, DomainStatus::State state) override {
    constexpr const char* words[] = {"running",  "paused",  "suspended",
                                     "shutdown", "crashed", "dying"};
    const DomainStatus& made = made_[id - 1];
    xen_.set_domain(id, words[static_cast<int>(state)], made.memory_bytes, made.cpus);
  }
  void destroy(DomainId id) override { xen_.remove_domain(id); }

 private:
  DomainId last() const { return static_cast<DomainId>(made_.size()); }

  XenStandIn xen_;
  std::unique_ptr<XenControl> control_ = *XenControl::open();
  std::vector<DomainStatus> made_;  // by number, from 1
};

INSTANTIATE_TEST_SUITE_P(StandIn, DomainListConformance,
                         testing::Values(DomainListWorldMaker{
                             "libxenctrl", [] { return std::make_unique<StandInDomains>(); }}),
                         [](const auto& world) { return world.param.name; });

class XenControlTest : public testing::Test {
 protected:
  XenControlTest() { ::setenv("XEN_STAND_IN", xen.folder().c_str(), 1); }
  ~XenControlTest() override { ::unsetenv("XEN_STAND_IN"); }

  XenStandIn xen;
  std::unique_ptr<XenControl> control = *XenControl::open();
};

TEST_F(XenControlTest, knows_its_version) { EXPECT_EQ(*control->version(), "4.17"); }

TEST_F(XenControlTest, a_version_is_there_for_whoever_asks_a_list_is_not) {
  xen.deny_list(true);
  EXPECT_TRUE(control->version().ok());
  const absl::Status denied = control->list().status();
  EXPECT_TRUE(absl::IsPermissionDenied(denied)) << denied;
  EXPECT_EQ(xen_failure(denied)->call, "xc_domain_getinfolist");
  xen.deny_list(false);
  EXPECT_TRUE(control->list().ok());
  EXPECT_EQ(XenControl::library_version().find("4."), 0U);
}

TEST_F(XenControlTest, pauses_and_tells_of_domains_that_are_not_there) {
  xen.set_domain(1);
  ASSERT_TRUE(control->pause(1).ok());
  EXPECT_EQ(control->list()->back().state, DomainStatus::State::paused);
  ASSERT_TRUE(control->unpause(1).ok());
  EXPECT_EQ(control->list()->back().state, DomainStatus::State::running);
  const absl::Status missing = control->pause(9);
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_EQ(missing.message(), "xc_domain_pause of domain 9: ESRCH (No such process)");
  EXPECT_EQ(xen_failure(missing)->call, "xc_domain_pause");
  EXPECT_EQ(xen_failure(missing)->error, ESRCH);
}

// The libraries would take them for those of other domains.
TEST_F(XenControlTest, numbers_that_xen_has_no_bits_for_are_of_no_domain) {
  xen.set_domain(1);
  for (const DomainId id : {DomainId{65537}, DomainId{0x7FF0}}) {
    EXPECT_EQ(xen_failure(control->pause(id))->error, ESRCH);
    EXPECT_EQ(xen_failure(control->start_log_dirty(id))->error, ESRCH);
    EXPECT_EQ(xen_failure(control->take_dirty(id).status())->error, ESRCH);
    EXPECT_EQ(xen_failure(EventChannels::open()->offer(id).status())->error, ESRCH);
    EXPECT_EQ(xen_failure(EventChannels::open()->bind(id, 1).status())->error, ESRCH);
    EXPECT_EQ(xen_failure(GrantMapper::open()->map(id, {8}, true).status())->error, ESRCH);
    EXPECT_EQ(xen_failure(GrantSharer::open()->share(id, 1, true).status())->error, ESRCH);
    EXPECT_EQ(xen_failure(ForeignMemory::open()->map(id, {0}, true).status())->error, ESRCH);
  }
  EXPECT_EQ(control->list()->back().state, DomainStatus::State::running);
}

TEST_F(XenControlTest, counts_the_pages_that_were_written_to) {
  xen.set_domain(1);
  EXPECT_EQ(xen_failure(control->take_dirty(1).status())->call, "xc_logdirty_control");
  ASSERT_TRUE(control->start_log_dirty(1).ok());
  const auto dirty = control->take_dirty(1);
  ASSERT_TRUE(dirty.ok()) << dirty.status();
  EXPECT_EQ(dirty->frames, 100U);
  EXPECT_EQ(dirty->count, 2U);
  EXPECT_THAT(dirty->bitmap, ElementsAre(1U, 2U));
  xen.set_highest_frame((std::uint64_t{1} << 47U) + 1);
  const absl::Status absurd = control->take_dirty(1).status();
  EXPECT_TRUE(absl::IsResourceExhausted(absurd)) << absurd;
  EXPECT_EQ(xen_failure(absurd)->call, "xc_domain_maximum_gpfn");
  EXPECT_TRUE(control->stop_log_dirty(1).ok());
  EXPECT_EQ(xen_failure(control->start_log_dirty(9))->error, ESRCH);
}

TEST_F(XenControlTest, event_channels_bind_notify_and_pend) {
  xen.set_domain(1);
  auto channels = EventChannels::open();
  ASSERT_TRUE(channels.ok()) << channels.status();
  EXPECT_EQ(xen_failure(channels->bind(9, 1).status())->call, "xenevtchn_bind_interdomain");
  EXPECT_EQ(xen_failure(channels->offer(9).status())->call, "xenevtchn_bind_unbound_port");
  EXPECT_TRUE(channels->offer(1).ok());
  const auto port = channels->bind(1, 7);
  ASSERT_TRUE(port.ok()) << port.status();
  EXPECT_FALSE(channels->pending()->has_value()) << "and it does not wait";
  xen.raise_ring(1);
  const auto pending = channels->pending();
  ASSERT_TRUE(pending.ok()) << pending.status();
  EXPECT_EQ(*pending, *port);
  EXPECT_TRUE(channels->unmask(*port).ok());
  EXPECT_TRUE(channels->notify(*port).ok());
  EXPECT_TRUE(channels->unbind(*port).ok());
}

TEST_F(XenControlTest, pages_of_a_grant_are_the_owners_and_outlive_their_mapper) {
  xen.set_domain(1);
  const std::filesystem::path ring = xen.make_ring(1);
  auto pages = [&] {
    auto mapper = GrantMapper::open();
    return mapper->map(1, {8}, true);
  }();
  ASSERT_TRUE(pages.ok()) << pages.status();
  ASSERT_EQ(pages->bytes().size(), xen_page_bytes);
  std::memcpy(pages->bytes().data(), "hello", 5);
  std::string seen(5, ' ');
  std::ifstream(ring).read(seen.data(), 5);
  EXPECT_EQ(seen, "hello");
  auto mapper = GrantMapper::open();
  const auto three = mapper->map(1, {8, 9, 10}, true);
  ASSERT_TRUE(three.ok()) << three.status();
  ASSERT_EQ(three->bytes().size(), 3 * xen_page_bytes);
  EXPECT_EQ(std::memcmp(three->bytes().data(), "hello", 5), 0) << "in the order of the grants";
  EXPECT_EQ(xen_failure(mapper->map(9, {8}, false).status())->call,
            "xengnttab_map_domain_grant_refs");
  EXPECT_TRUE(absl::IsInvalidArgument(mapper->map(1, {}, false).status()));
}

TEST_F(XenControlTest, shares_pages_by_grants_that_outlive_their_sharer) {
  xen.set_domain(1);
  auto shared = [&] {
    auto sharer = GrantSharer::open();
    return sharer->share(1, 3, true);
  }();
  ASSERT_TRUE(shared.ok()) << shared.status();
  EXPECT_THAT(shared->grants, ElementsAre(100U, 101U, 102U));
  ASSERT_EQ(shared->pages.bytes().size(), 3 * xen_page_bytes);
  shared->pages.bytes().back() = std::byte{1};
  auto sharer = GrantSharer::open();
  EXPECT_EQ(xen_failure(sharer->share(9, 1, true).status())->call, "xengntshr_share_pages");
  EXPECT_TRUE(absl::IsInvalidArgument(sharer->share(1, 0, true).status()));
}

TEST_F(XenControlTest, foreign_pages_are_mapped_all_or_none) {
  xen.set_domain(1);
  std::ofstream(xen.make_ring(1)) << "hello";
  {
    auto memory = ForeignMemory::open();
    auto pages = memory->map(1, {5, 0}, false);
    ASSERT_TRUE(pages.ok()) << pages.status();
    ASSERT_EQ(pages->bytes().size(), 2 * xen_page_bytes);
    EXPECT_EQ(std::memcmp(pages->bytes().data() + xen_page_bytes, "hello", 5), 0);
    EXPECT_EQ(xen_stand_in_mapped_foreign(), 2);
    const absl::Status missing = memory->map(1, {5, 100, 0}, false).status();
    EXPECT_EQ(missing.message(),
              "xenforeignmemory_map of frame 100 of domain 1: EINVAL (Invalid argument)");
    EXPECT_EQ(xen_stand_in_mapped_foreign(), 2) << "what could be mapped is let go again";
    EXPECT_EQ(xen_failure(memory->map(9, {0}, false).status())->error, ESRCH);
    EXPECT_TRUE(absl::IsInvalidArgument(memory->map(1, {}, false).status()));
  }
  EXPECT_EQ(xen_stand_in_mapped_foreign(), 0);
}

}  // namespace
}  // namespace supercloud
