// What a machine's facts mean; and that looking works on whatever machine this is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/doctor/probes.h"
#include "cli/doctor_command.h"
#include "cli/program.h"

namespace supercloud {
namespace {

using ::testing::HasSubstr;

Finding finding(const MachineFacts& facts, const std::string& name) {
  for (const Finding& found : diagnose(facts))
    if (found.name == name) return found;
  ADD_FAILURE() << "nothing is said of " << name;
  return {};
}

// A machine on which the demo works.
MachineFacts usual_machine() {
  MachineFacts facts;
  facts.state = {.folder = "/state", .writable = true, .free_bytes = std::uint64_t{10} << 30U};
  return facts;
}

TEST(Doctor, tells_cost_and_cure_of_everything_that_is_not_there) {
  for (const Finding& found : diagnose(MachineFacts{})) {
    EXPECT_FALSE(found.found.empty() && found.standing == Standing::present) << found.name;
    if (found.standing == Standing::present) continue;
    EXPECT_FALSE(found.costs.empty()) << found.name;
    EXPECT_FALSE(found.cure.empty()) << found.name;
  }
}

TEST(Doctor, a_machine_without_hypervisors_is_no_failure) {
  EXPECT_EQ(doctor_exit_code(diagnose(usual_machine())), exit_ok);
  EXPECT_THAT(doctor_text(diagnose(usual_machine())), HasSubstr("0 wrong"));
}

TEST(Doctor, warns_of_the_qemu_that_corrupts_guests) {
  MachineFacts facts = usual_machine();
  facts.qemu = {.path = "/usr/bin/qemu-system-x86_64", .version = "7.2.11"};
  EXPECT_EQ(finding(facts, "QEMU").standing, Standing::wrong);
  EXPECT_THAT(finding(facts, "QEMU").cure, HasSubstr("bookworm-backports"));
  EXPECT_EQ(doctor_exit_code(diagnose(facts)), exit_failed);
  facts.qemu.version = "10.0.2";
  EXPECT_EQ(finding(facts, "QEMU").standing, Standing::present);
}

TEST(Doctor, knows_which_versions_of_qemu_corrupt) {
  for (const char* bad : {"7.2.11", "8.1.5", "2.0", "8"}) EXPECT_TRUE(corrupts_guests(bad)) << bad;
  for (const char* good : {"8.2.0", "8.10", "9.0.0", "10.0.2", ""})
    EXPECT_FALSE(corrupts_guests(good)) << good;
}

TEST(Doctor, tells_xen_from_what_is_below_and_from_what_may_be_used) {
  MachineFacts facts = usual_machine();
  facts.below = {.hypervisor = true,
                 .signature = "Microsoft Hv",
                 .leaves = "0x40000000 to 0x40000006",
                 .xen_version = "4.17"};
  EXPECT_EQ(finding(facts, "hypervisor below").found,
            "Microsoft Hv, CPUID leaves 0x40000000 to 0x40000006, Xen 4.17");
  EXPECT_EQ(finding(facts, "Xen").found, "a Xen guest, no control domain");
  facts.xen.closed = {"/dev/xen/privcmd"};
  EXPECT_THAT(finding(facts, "Xen interfaces").found,
              HasSubstr("/dev/xen/privcmd may not be used"));
  EXPECT_THAT(finding(facts, "Xen interfaces").cure, HasSubstr("sudo"));
  facts.xen = {.capabilities = "control_d",
               .interfaces = {"/dev/xen/privcmd", "/dev/xen/evtchn"},
               .version = "4.17",
               .control = true,
               .store = "/run/xenstored/socket",
               .store_daemon = "oxenstored"};
  EXPECT_EQ(finding(facts, "Xen").found, "this is a control domain of Xen 4.17");
  EXPECT_EQ(finding(facts, "Xen interfaces").found,
            "the hypervisor answers through /dev/xen/privcmd, /dev/xen/evtchn");
  EXPECT_EQ(finding(facts, "XenStore").found, "/run/xenstored/socket, by oxenstored");
  facts.xen.library = "4.17.0";
  facts.xen.version = "4.19";
  facts.xen.control = false;
  facts.xen.control_problem = "xc_domain_getinfolist: EACCES (Permission denied)";
  EXPECT_EQ(finding(facts, "Xen interfaces").standing, Standing::missing)
      << "a version is no control";
  EXPECT_EQ(finding(facts, "Xen interfaces").found,
            "the hypervisor, Xen 4.19, does not list its domains: xc_domain_getinfolist: EACCES "
            "(Permission denied)");
  EXPECT_THAT(finding(facts, "Xen interfaces").cure, HasSubstr("if Xen is not 4.17.0"));
}

TEST(Doctor, a_store_that_is_there_and_closed_wants_rights_and_no_daemon) {
  MachineFacts facts = usual_machine();
  facts.xen.store_problem = "XenStore is not open to this process: connect: EACCES";
  facts.xen.store_closed = true;
  EXPECT_EQ(finding(facts, "XenStore").cure, "sudo supercloud ...");
  facts.xen.store_closed = false;
  EXPECT_THAT(finding(facts, "XenStore").cure, HasSubstr("systemctl start xenstored"));
}

TEST(Doctor, a_full_or_closed_state_folder_is_wrong) {
  MachineFacts facts = usual_machine();
  facts.state.free_bytes = 1000;
  EXPECT_EQ(finding(facts, "state folder").standing, Standing::wrong);
  facts.state.writable = false;
  EXPECT_THAT(finding(facts, "state folder").found, HasSubstr("cannot be written"));
  EXPECT_EQ(doctor_exit_code(diagnose(facts)), exit_failed);
}

TEST(Doctor, a_cluster_whose_lease_table_is_silent_is_wrong) {
  MachineFacts facts = usual_machine();
  facts.cluster = {
      .name = "demo-1", .running = true, .table_answers = false, .problem = "no answer"};
  EXPECT_EQ(finding(facts, "cluster").standing, Standing::wrong);
  facts.cluster.table_answers = true;
  EXPECT_EQ(finding(facts, "cluster").standing, Standing::present);
}

TEST(Doctor, finds_versions_in_what_programs_print) {
  EXPECT_EQ(version_in("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2~bpo12+1)"), "10.0.2");
  EXPECT_EQ(version_in("ovs-vsctl (Open vSwitch) 3.1.0"), "3.1.0");
  EXPECT_EQ(version_in("no version"), "");
  EXPECT_EQ(version_in(""), "");
}

TEST(Doctor, missing_programs_are_no_errors) {
  EXPECT_EQ(find_program("no-such-program-anywhere"), "");
  EXPECT_EQ(first_line_of("/no/such/program", "--version"), "");
  EXPECT_FALSE(socket_answers("/no/such/socket"));
  EXPECT_NE(find_program("sh"), "");
}

TEST(Doctor, looks_at_this_machine_whatever_it_is) {
  const MachineFacts facts = look_at_machine("/no/such/folder/yet");
  EXPECT_EQ(facts.kvm.usable, facts.kvm.problem.empty());
  EXPECT_EQ(facts.network.vxlan, facts.network.vxlan_problem.empty());
  EXPECT_GT(facts.state.free_bytes, 0U);
  EXPECT_EQ(facts.xen.control, facts.xen.control_problem.empty());
  EXPECT_NE(facts.xen.store.empty(), facts.xen.store_problem.empty());
  const std::string json = doctor_json(diagnose(facts));
  EXPECT_THAT(json, HasSubstr("\"standing\""));
  EXPECT_EQ(json.back(), '\n');
}

}  // namespace
}  // namespace supercloud
