#include "tests/storage/etcd/etcd_harness.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace supercloud {

EtcdServer* shared_etcd() {
  static const std::unique_ptr<EtcdServer> server = [] {
    if (!EtcdServer::available()) return std::unique_ptr<EtcdServer>();
    auto made = std::make_unique<EtcdServer>();
    const absl::Status started = made->start();
    EXPECT_TRUE(started.ok()) << started;
    return made;
  }();
  return server.get();
}

std::string new_prefix() {
  static int prefixes = 0;
  return absl::StrCat("/test/", ++prefixes, "/");
}

EtcdLeaseHarness::EtcdLeaseHarness(EtcdServer& server, std::string prefix) : server_(server) {
  EtcdConfig config;
  config.endpoints = {server.endpoint()};
  config.prefix = std::move(prefix);
  table_ = make_etcd_lease_table(loop, std::move(config), ttl());
}

void EtcdLeaseHarness::restart() {
  server_.kill();
  const absl::Status started = server_.start();
  EXPECT_TRUE(started.ok()) << started;
}

void EtcdLeaseHarness::run_until(Instant when) {
  loop.run_until([&] { return now() >= when; }, when - now());
}

bool EtcdLeaseHarness::soon(absl::FunctionRef<bool()> condition) {
  const Instant end = now() + etcd_patience;
  while (!condition()) {
    if (now() > end) return false;
    run_for(absl::Milliseconds(20));
  }
  return true;
}

std::vector<LeaseHarnessKind> lease_harness_kinds() {
  return {{"etcd", []() -> std::unique_ptr<LeaseHarness> {
             EtcdServer* server = shared_etcd();
             if (server == nullptr) return nullptr;
             return std::make_unique<EtcdLeaseHarness>(*server);
           }}};
}

}  // namespace supercloud
