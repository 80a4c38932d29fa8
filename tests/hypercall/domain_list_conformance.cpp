#include "tests/hypercall/domain_list_conformance.h"

#include <set>

namespace supercloud {
namespace {

using DomainState = DomainStatus::State;

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

}  // namespace

std::vector<DomainStatus> DomainListConformance::list() const {
  auto domains = world->domains().list();
  EXPECT_TRUE(domains.ok()) << domains.status();
  return domains.ok() ? *std::move(domains) : std::vector<DomainStatus>();
}

HostRoom DomainListConformance::room() const {
  const auto room = world->domains().room();
  EXPECT_TRUE(room.ok()) << room.status();
  return room.value_or(HostRoom());
}

TEST_P(DomainListConformance, has_the_control_domain_alone_at_first) {
  const auto domains = list();
  ASSERT_EQ(domains.size(), 1U);
  EXPECT_EQ(domains[0].id, 0U);
  EXPECT_EQ(domains[0].state, DomainState::running);
}

TEST_P(DomainListConformance, says_what_a_domain_was_given) {
  const DomainId first = world->create(512 * mib, 3);
  const DomainId second = world->create(256 * mib, 1);
  ASSERT_LT(first, second);
  const auto domains = list();
  ASSERT_EQ(domains.size(), 3U);
  EXPECT_EQ(domains[1].id, first);
  EXPECT_EQ(domains[1].memory_bytes, 512 * mib);
  EXPECT_EQ(domains[1].cpus, 3U);
  EXPECT_EQ(domains[2].id, second);
  EXPECT_EQ(domains[2].memory_bytes, 256 * mib);
  EXPECT_EQ(domains[2].cpus, 1U);
  EXPECT_EQ(domains, list()) << "and the same when nothing changes";
}

TEST_P(DomainListConformance, tells_each_state) {
  const DomainId id = world->create(mib, 1);
  for (const DomainState state :
       {DomainState::paused, DomainState::running, DomainState::suspended, DomainState::shut_down,
        DomainState::crashed, DomainState::dying}) {
    world->set_state(id, state);
    EXPECT_EQ(list().back().state, state);
    EXPECT_EQ(list().back().id, id) << "a domain is listed until it is gone";
  }
}

TEST_P(DomainListConformance, names_domains_by_uuids_of_their_own) {
  std::set<std::string> uuids;
  for (int i = 0; i < 3; ++i) world->create(mib, 1);
  for (const DomainStatus& domain : list()) {
    uuids.insert(domain.uuid);
    ASSERT_EQ(domain.uuid.size(), 36U) << domain.uuid;
    for (std::size_t i = 0; i < domain.uuid.size(); ++i) {
      const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
      EXPECT_EQ(domain.uuid[i] == '-', dash) << domain.uuid;
    }
  }
  EXPECT_EQ(uuids.size(), 4U);
  EXPECT_TRUE(uuids.contains("00000000-0000-0000-0000-000000000000")) << "the control domain's";
}

TEST_P(DomainListConformance, lists_more_than_a_hypercall_gives_in_the_order_of_numbers) {
  constexpr std::size_t count = 600;
  std::vector<DomainId> made = {0};
  for (std::size_t i = 0; i < count; ++i) made.push_back(world->create(mib, 1));
  std::vector<DomainId> listed;
  for (const DomainStatus& domain : list()) listed.push_back(domain.id);
  EXPECT_EQ(listed, made);
}

TEST_P(DomainListConformance, forgets_who_is_gone_and_gives_its_room_back) {
  const HostRoom before = room();
  EXPECT_GT(before.cpus, 0U);
  const DomainId first = world->create(512 * mib, 1);
  const DomainId second = world->create(256 * mib, 1);
  EXPECT_EQ(before.memory_free_bytes - room().memory_free_bytes, 768 * mib);
  EXPECT_EQ(room().cpus, before.cpus) << "all of them, also those in use";
  world->destroy(first);
  ASSERT_EQ(list().size(), 2U);
  EXPECT_EQ(list().back().id, second);
  world->destroy(second);
  EXPECT_EQ(room(), before);
}

}  // namespace supercloud
