// A cluster of one's own hosts: the site drives the account, and has no machine; what its nodes tell besides moves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/cluster_target.h"
#include "tests/process/program.h"

namespace supercloud {
namespace {

using schema::Payload;
using testing::HasSubstr;
using testing::Not;

class OwnHostsTest : public ProgramTest {
 protected:
  using Is = std::function<bool(const Event&)>;

  void start_node(const std::string& name, const std::string& seeds, const std::string& more) {
    start({"node", "--config", write(name + ".toml", node_toml(name, "own", name, seeds) + more)},
          name + ".out", name + ".err");
    ASSERT_TRUE(eventually([&] { return !output(name + ".out").empty(); }, absl::Minutes(1)))
        << output(name + ".err");
  }
  std::string machine(const std::string& name) const {
    return "[links]\nlisten = \"unix:" + (folder_ / "run" / (name + ".link")).string() +
           "\"\n[host]\ncloud = \"home\"\nregion = \"cellar\"\nzone = \"rack-" + name +
           "\"\ntype = \"desktop\"\n";
  }
  static std::string place(const std::string& name) {
    return "home/cellar/rack-" + name + "/desktop/on-demand";
  }
  static std::string host(const std::string& name, const std::string& price,
                          const std::string& more) {
    return "[[account.host]]\nnode = \"" + name + "\"\nplace = \"" + place(name) +
           "\"\nprice = \"" + price + "\"\n" + more;
  }

  void listen() {
    const auto target = load_cluster(folder_ / "own");
    ASSERT_TRUE(target.ok()) << target.status();
    auto connected = ClusterClient::connect(*target);
    ASSERT_TRUE(connected.ok()) << connected.status();
    client_ = *std::move(connected);
    const absl::Status subscribed = client_->subscribe(
        Pattern::of(">"), [this](const Event& event) { heard_.push_back(event); });
    ASSERT_TRUE(subscribed.ok()) << subscribed;
  }
  // The first such event, waited for; none within a minute is a failure and an empty event.
  Event hear(const std::string& what, const Is& is) {
    Event found;
    client_->run_until(
        [&] {
          const auto event = std::find_if(heard_.begin(), heard_.end(), is);
          if (event != heard_.end()) found = *event;
          return event != heard_.end();
        },
        client_->loop().clock().now() + absl::Minutes(1));
    EXPECT_TRUE(found) << "nothing was heard of " << what;
    return found;
  }
  Event hear(const std::string& origin, Payload::Which type) {
    return hear(origin, [&](const Event& event) {
      return event.origin() == origin && event.type() == type;
    });
  }

  std::unique_ptr<ClusterClient> client_;
  std::vector<Event> heard_;
};

TEST_F(OwnHostsTest, OneOfThemIsRentedAndTheirNodesTellWhatTheyMeasure) {
  environment_["SUPERCLOUD_CLUSTER"] = (folder_ / "own").string();
  const std::string now = absl::FormatTime(absl::RFC3339_full, absl::Now(), absl::UTCTimeZone());
  start_node("a", "",
             "[market]\norigin = \"" + now + "\"\nstart = \"" + now +
                 "\"\n[account]\nname = \"home\"\n" + host("b", "0.02", "") +
                 host("c", "0.03", "in_use = false\n"));
  listen();
  const auto rent = Message<schema::Request>::build([&](schema::Request::Builder request) {
    auto asked = request.initRent();
    asked.setPlace(place("c"));
    asked.setClientToken("1");
    asked.setWhy("a test");
  });
  absl::Status rented;
  // The role is taken a moment after the start.
  EXPECT_TRUE(eventually(
      [&] {
        rented = client_->ask({"a", "provider"}, rent, absl::Seconds(5)).status();
        return rented.ok();
      },
      absl::Minutes(1)))
      << rented;
  const Event launched = hear("a host that was rented", [](const Event& event) {
    return event.type() == Payload::INSTANCE_LAUNCHED &&
           text(event.payload().getInstanceLaunched().getClientToken()) == "1";
  });
  ASSERT_TRUE(launched);
  EXPECT_EQ(text(launched.payload().getInstanceLaunched().getNode()), "c");
  EXPECT_EQ(launched.payload().getInstanceLaunched().getPriceNanoUsdPerHour(), 30'000'000);
  Said prices;
  EXPECT_TRUE(eventually(
      [&] {
        prices = run({"events", "spot.price_changed.>"});
        return prices.out.find("0.02") != std::string::npos;
      },
      absl::Seconds(20)))
      << prices.out << prices.err;

  const std::string seed = "\"ipc://" + (folder_ / "run" / "a.req").string() + "\"";
  start_node("b", seed, machine("b") + "[host.labels]\n\"resource.genome\" = \"here\"\n");
  start_node("c", seed, machine("c"));
  const pid_t follower = start({"events", "vm.dirty_rate.>", "--follow"}, "rates");
  const std::string vm = write("vm.toml",
                               "name = \"web1\"\nmemory = \"64MiB\"\naddress = \"10.1.0.1\"\n"
                               "[workload]\nreads = \"b/genome\"\n");
  Said created;
  // It may be a moment before others hear of a new node.
  ASSERT_TRUE(eventually(
      [&] {
        created = run({"vm", "create", vm, "--node", "c", "--wait"});
        return created.code == 0;
      },
      absl::Seconds(20)))
      << created.err;
  const Event rate = hear("c/dirty_rate", Payload::VM_DIRTY_RATE);
  const Event accessed = hear("b/resource", Payload::RESOURCE_ACCESSED);
  const Event measured = hear("b/latency", Payload::LATENCY_MEASURED);
  ASSERT_TRUE(rate && accessed && measured);
  EXPECT_EQ(rate.subject(), "web1");
  EXPECT_EQ(accessed.subject(), "web1");
  EXPECT_EQ(text(accessed.payload().getResourceAccessed().getHome()), place("b"));
  EXPECT_EQ(text(measured.payload().getLatencyMeasured().getPlace()), place("c"));
  EXPECT_TRUE(eventually([&] { return says("rates", "web1 dirties"); }, absl::Minutes(1)))
      << output("rates");
  ::kill(follower, SIGINT);
  EXPECT_EQ(ended(follower, absl::Seconds(20)), 0);
}

TEST_F(OwnHostsTest, ANodeIsEmptiedByOneCommandAndTakesGuestsAgainByAnother) {
  environment_["SUPERCLOUD_CLUSTER"] = (folder_ / "own").string();
  const std::string seed = "\"ipc://" + (folder_ / "run" / "a.req").string() + "\"";
  start_node("a", "", "");
  start_node("b", seed, machine("b"));
  start_node("c", seed, machine("c"));
  const auto create = [&](const std::string& name) {
    return run({"vm", "create",
                write(name + ".toml",
                      "name = \"" + name + "\"\nmemory = \"16MiB\"\naddress = \"" + name + "\"\n"),
                "--node", "b", "--wait"});
  };
  for (const char* name : {"web1", "web2"}) {
    Said created;
    // It may be a moment before others hear of a new node.
    ASSERT_TRUE(eventually(
        [&] {
          created = create(name);
          return created.code == 0;
        },
        absl::Minutes(1)))
        << created.err;
  }
  ASSERT_TRUE(eventually([&] { return run({"vm", "migrate", "web1", "c", "--dry-run"}).code == 0; },
                         absl::Minutes(1)));

  const Said drained = run({"node", "drain", "b", "--reason", "new kernel"});
  EXPECT_EQ(drained.code, 0) << drained.out << drained.err;
  EXPECT_THAT(drained.out, HasSubstr("b is empty"));
  EXPECT_THAT(drained.err, HasSubstr("web1 is to go to c: new kernel (evacuation)"));
  const Said list = run({"vm", "list", "--json"});
  EXPECT_THAT(list.out, Not(HasSubstr("\"node\": \"b\""))) << list.out;
  const Said refused = create("web3");
  EXPECT_NE(refused.code, 0);
  EXPECT_THAT(refused.err, HasSubstr("`supercloud node undrain b`"));
  const Said again = run({"node", "drain", "b", "--json"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("\"outcome\": \"drained\""));

  const Said undrained = run({"node", "undrain", "b"});
  EXPECT_EQ(undrained.code, 0) << undrained.err;
  Said created;
  EXPECT_TRUE(eventually(
      [&] {
        created = create("web3");
        return created.code == 0;
      },
      absl::Minutes(1)))
      << created.err;
  const Said explained = run({"explain", "web1"});
  EXPECT_THAT(explained.out, HasSubstr("new kernel")) << explained.err;

  const Said unknown = run({"node", "drain", "bb"});
  EXPECT_EQ(unknown.code, 4);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean b")) << unknown.err;
  EXPECT_EQ(run({"node", "drain", "b", "--deadline", "soon"}).code, 2);
  EXPECT_EQ(run({"node"}).code, 2) << "it wants a configuration";
}

}  // namespace
}  // namespace supercloud
