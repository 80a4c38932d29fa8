// Descriptions of VMs: what they mean, and what is said of each mistake.
#include "cli/vm_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "cli/vm_client.h"
#include "core/event.h"
#include "tests/core/vm_spec_fields.h"

namespace supercloud {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string needed = "name = \"a\"\nmemory = \"4MiB\"\naddress = \"10.1.0.1\"\n";
const VmFileOptions options_of_a_node{.policies = {"cheapest", "stay"}, .tenant_asked = ""};

std::string mistakes(const std::string& toml, const VmFileOptions& options = options_of_a_node) {
  const auto spec = parse_vm_file(toml, "web.toml", options);
  return spec.ok() ? "none" : std::string(spec.status().message());
}

TEST(VmFile, says_everything_of_a_vm) {
  const auto spec = parse_vm_file(R"(
name = "web1"
tenant = "shop"
memory = "256MiB"
disk = "1 GiB"
cpus = 2
address = "10.1.0.1"
image = "debian-12"
arguments = "quiet"
policy = "cheapest"
downtime_price = 0.5
moves_per_day = 12
blackout_max = "250ms"
post_copy = true
disk_loss = "bounded-loss"
loss_bound = "1500ms"
replicas = 2
nodes = ["a", "b"]
devices = ["gpu/t4"]
prepared = ["b"]
[requires]
jurisdiction = "us"
[refuses]
trust = ["low", "unknown"]
[workload]
dirty_pages_per_second = 7
writes_per_second = 0
reads = "a/genome"
)",
                                  "web.toml", options_of_a_node);
  ASSERT_TRUE(spec.ok()) << spec.status();
  const auto vm = spec->reader();
  EXPECT_EQ(text(vm.getName()), "web1");
  EXPECT_EQ(text(vm.getTenant()), "shop");
  EXPECT_TRUE(vm.getPostCopy());
  EXPECT_EQ(vm.getMemoryBytes(), 256U << 20U);
  EXPECT_EQ(vm.getDiskBytes(), 1U << 30U);
  EXPECT_EQ(vm.getCpus(), 2U);
  EXPECT_EQ(text(vm.getAddress()), "10.1.0.1");
  EXPECT_EQ(text(vm.getImage()), "debian-12");
  EXPECT_EQ(text(vm.getArguments()), "quiet");
  EXPECT_EQ(text(vm.getPolicy()), "cheapest");
  EXPECT_EQ(vm.getDowntimeNanoUsdPerHour(), 500'000'000U);
  EXPECT_EQ(vm.getMovesPerDay(), 12U);
  EXPECT_EQ(vm.getBlackoutMaxNs(), 250'000'000U);
  EXPECT_EQ(vm.getDiskLoss(), schema::DiskLoss::BOUNDED_LOSS);
  EXPECT_EQ(vm.getLossBoundNs(), 1'500'000'000U);
  EXPECT_EQ(vm.getReplicas(), 2U);
  ASSERT_EQ(vm.getNodes().size(), 2U);
  EXPECT_EQ(text(vm.getNodes()[1]), "b");
  ASSERT_EQ(vm.getDevices().size(), 1U);
  EXPECT_EQ(text(vm.getDevices()[0]), "gpu/t4");
  ASSERT_EQ(vm.getPrepared().size(), 1U);
  EXPECT_EQ(text(vm.getPrepared()[0]), "b");
  ASSERT_EQ(vm.getRequires().size(), 1U);
  EXPECT_EQ(text(vm.getRequires()[0].getValue()), "us");
  ASSERT_EQ(vm.getRefuses().size(), 2U);
  EXPECT_EQ(text(vm.getRefuses()[1].getValue()), "unknown");
  EXPECT_EQ(vm.getDirtyPagesPerSecond(), 7U);
  EXPECT_EQ(vm.getWritesPerSecond(), 0U);
  EXPECT_EQ(text(vm.getReads()), "a/genome");
}

TEST(VmFile, needs_a_name_memory_and_an_address_and_no_more) {
  const auto spec = parse_vm_file("name = \"web1\"\nmemory = 4194304\naddress = \"10.1.0.1\"\n",
                                  "web.toml", options_of_a_node);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(text(spec->reader().getTenant()), "main");
  EXPECT_EQ(text(spec->reader().getPolicy()), "stay");
  EXPECT_EQ(spec->reader().getDiskBytes(), 0U);
  EXPECT_TRUE(spec->reader().getRunning());
  EXPECT_THAT(mistakes(""), HasSubstr("web.toml:1: name: is missing"));
  EXPECT_THAT(mistakes(""), HasSubstr("web.toml:1: memory: is missing"));
  EXPECT_THAT(mistakes(""), HasSubstr("web.toml:1: address: is missing; add a line like address"));
  EXPECT_THAT(mistakes("name = \"a\"\nmemory = \"4MiB\"\naddress = \"\"\n"),
              HasSubstr("web.toml:3: address: is empty"));
}

TEST(VmFile, takes_the_tenant_that_the_command_names) {
  const auto spec =
      parse_vm_file(needed, "web.toml", {.policies = {"stay"}, .tenant_asked = "shop"});
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(text(spec->reader().getTenant()), "shop");
  EXPECT_THAT(
      mistakes(needed + "tenant = \"main\"", {.policies = {"stay"}, .tenant_asked = "shop"}),
      HasSubstr("web.toml:4: tenant:"));
}

TEST(VmFile, names_the_line_and_the_key_of_every_mistake_and_a_cure) {
  EXPECT_EQ(mistakes(needed + "memroy = 3\n"),
            "web.toml:4: memroy: there is no such key; did you mean memory?");
  EXPECT_THAT(mistakes(needed + "policy = \"cheap\"\n"),
              HasSubstr("web.toml:4: policy: there is no policy"));
  EXPECT_THAT(mistakes(needed + "policy = \"cheap\"\n"), HasSubstr("did you mean cheapest"));
  EXPECT_THAT(mistakes("name = \"a\"\nmemory = \"many\"\n"),
              HasSubstr("web.toml:2: memory: \"many\" is not a size"));
  EXPECT_THAT(mistakes("name = \"a\"\nmemory = -1\n"), HasSubstr("web.toml:2: memory:"));
  EXPECT_THAT(mistakes("name = \"a\"\nmemory = \"5001kB\"\n"),
              HasSubstr("is no multiple of a page"));
  EXPECT_THAT(mistakes(needed + "cpus = 0\n"), HasSubstr("web.toml:4: cpus:"));
  EXPECT_EQ(mistakes(needed + "devices = \"gpu\"\n"),
            "web.toml:4: devices: is not a list of names; write devices = [\"gpu/t4\"]");
  EXPECT_THAT(mistakes(needed + "devices = [\"\"]\n"), HasSubstr("web.toml:4: devices:"));
  EXPECT_THAT(mistakes(needed + "cpus = \"two\"\n"), HasSubstr("web.toml:4: cpus:"));
  EXPECT_THAT(mistakes("name = \"a/b\"\nmemory = \"4MiB\"\n"), HasSubstr("without a slash"));
  EXPECT_THAT(mistakes(needed + "disk_loss = \"never\"\n"), HasSubstr("web.toml:4: disk_loss:"));
  EXPECT_THAT(mistakes(needed + "disk_loss = \"bounded-loss\"\n"), HasSubstr("has no bound"));
  EXPECT_THAT(mistakes(needed + "loss_bound = \"5s\"\n"), HasSubstr("means nothing here"));
  EXPECT_EQ(mistakes(needed + "post_copy = 1\n"),
            "web.toml:4: post_copy: is neither true nor false; write post_copy = true");
  EXPECT_THAT(mistakes(needed + "nodes = \"a\"\n"), HasSubstr("web.toml:4: nodes:"));
  EXPECT_EQ(mistakes(needed + "prepared = \"node-2\"\n"),
            "web.toml:4: prepared: is not a list of names; write prepared = [\"node-1\", "
            "\"node-2\"]");
  EXPECT_THAT(mistakes(needed + "prepared = [\"a\", \"b/c\"]\n"),
              HasSubstr("web.toml:4: prepared: \"b/c\" is no node's name"));
  EXPECT_THAT(mistakes(needed + "prepared = [" +
                       absl::StrJoin(std::vector<std::string>(17, "\"a\""), ", ") + "]\n"),
              HasSubstr("web.toml:4: prepared: names too many nodes"));
  EXPECT_THAT(mistakes(needed + "[workload]\ndirty = 1\n"),
              HasSubstr("web.toml:5: workload.dirty:"));
  for (const char* reads : {"genome", "a/", "/genome", "a.b/genome"})
    EXPECT_THAT(mistakes(needed + "[workload]\nreads = \"" + reads + "\"\n"),
                HasSubstr("web.toml:5: workload.reads: names no resource"));
  EXPECT_THAT(mistakes(needed + "[requires]\nzone = 1\n"), HasSubstr("web.toml:5: requires.zone:"));
}

TEST(VmFile, tells_where_a_file_is_no_toml) {
  EXPECT_THAT(mistakes("name = \"web\nmemory = 3\n"), HasSubstr("web.toml:1:"));
  EXPECT_THAT(mistakes(std::string("\0\xff\xfe", 3)), HasSubstr("web.toml:1:"));
  EXPECT_THAT(mistakes("name = \"a\"\nname = \"b\"\n"), HasSubstr("web.toml:2:"));
}

TEST(VmFile, that_cannot_be_read_is_an_error_with_its_path) {
  const auto missing = read_vm_file("no/such/file.toml", options_of_a_node);
  EXPECT_TRUE(absl::IsNotFound(missing.status()));
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("no/such/file.toml"));
  EXPECT_FALSE(read_vm_file("/", options_of_a_node).ok());
}

TEST(VmFile, sizes_are_read_and_told) {
  EXPECT_EQ(*parse_bytes("0"), 0U);
  EXPECT_EQ(*parse_bytes("12 kB"), 12000U);
  EXPECT_EQ(*parse_bytes("3TiB"), std::uint64_t{3} << 40U);
  for (const char* bad :
       {"", "MiB", "1.5GiB", "-1", "4 parsecs", "99999999999999999999", "99999999999TiB"})
    EXPECT_FALSE(parse_bytes(bad).ok()) << bad;
  EXPECT_EQ(format_bytes(256U << 20U), "256 MiB");
  EXPECT_EQ(format_bytes(1025), "1025 B");
  EXPECT_EQ(format_bytes(0), "0 B");
}

TEST(VmFile, differences_are_told_but_for_what_commands_change) {
  const auto a = parse_vm_file(needed, "a.toml", options_of_a_node);
  const auto b = parse_vm_file(
      "name = \"a\"\nmemory = \"8MiB\"\naddress = \"10.1.0.1\"\n[requires]\nzone = \"x\"\n",
      "b.toml", options_of_a_node);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_THAT(spec_differences(a->reader(), a->reader()), IsEmpty());
  EXPECT_THAT(spec_differences(a->reader(), b->reader()),
              ElementsAre("memory: 4 MiB there, 8 MiB in the file",
                          "requires: none there, zone=x in the file"));
}

// By the schema, so that a field added later is not forgotten.
TEST(VmFile, differences_are_told_of_every_field_but_what_names_it_and_what_commands_change) {
  const Message<schema::VmSpec> usual_spec = Message<schema::VmSpec>::build([](auto) {});
  for (const auto field : vm_spec_fields()) {
    const std::string name = name_of(field);
    const bool told = name != "name" && name != "tenant" && name != "running" && name != "paused" &&
                      name != "destroyed";
    const auto other = Message<schema::VmSpec>::build(
        [&](schema::VmSpec::Builder spec) { set_unlike_default(field, spec); });
    EXPECT_EQ(spec_differences(usual_spec.reader(), other.reader()).size(), told ? 1U : 0U) << name;
  }
}

TEST(VmFacts, have_every_field_of_the_description) {
  const auto response = Message<schema::Response>::build([](schema::Response::Builder builder) {
    auto spec = builder.initVms(1)[0].initSpec();
    for (const auto field : vm_spec_fields()) set_unlike_default(field, spec);
  });
  const auto there = response.reader().getVms()[0];
  const VmFacts facts = VmFacts::from(there);
  for (const auto field : vm_spec_fields()) {
    EXPECT_EQ(text_of(field, facts.spec.reader()), text_of(field, there.getSpec()))
        << name_of(field);
  }
}

TEST(VmName, is_a_name_or_a_tenant_and_a_name) {
  EXPECT_EQ(parse_vm_name("web1", "")->to_string(), "main/web1");
  EXPECT_EQ(parse_vm_name("web1", "shop")->to_string(), "shop/web1");
  EXPECT_EQ(parse_vm_name("shop/web1", "")->to_string(), "shop/web1");
  EXPECT_EQ(parse_vm_name("shop/web1", "shop")->to_string(), "shop/web1");
  EXPECT_FALSE(parse_vm_name("shop/web1", "main").ok());
  for (const char* bad : {"", "/", "a/", "/a", "a/b/c"})
    EXPECT_FALSE(parse_vm_name(bad, "").ok()) << bad;
}

}  // namespace
}  // namespace supercloud
