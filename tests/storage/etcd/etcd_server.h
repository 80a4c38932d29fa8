// A real etcd server on loopback, in a folder of its own: it is killed, frozen and started again by tests.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace supercloud {

// PEM files; empty: it speaks without encryption.
struct EtcdTls {
  std::string ca;  // of those whom it lets in, and who vouches for it
  std::string certificate, key;
};

// Ends with this process. Thread-bound.
class EtcdServer {
 public:
  // Whether this machine has one: unpacked by make build/.unpacked-daemons, or installed.
  static bool available();
  static constexpr const char* missing = "no etcd here; make build/.unpacked-daemons";

  explicit EtcdServer(EtcdTls tls = {});
  ~EtcdServer();
  EtcdServer(const EtcdServer&) = delete;
  EtcdServer& operator=(const EtcdServer&) = delete;
  // Members of one cluster, not started yet.
  static std::vector<std::unique_ptr<EtcdServer>> cluster(std::size_t members);

  // With the data and the port that it had before. When it returns, it serves.
  absl::Status start();
  // The same, but does not wait for that.
  absl::Status launch();
  absl::Status wait_until_it_serves();
  void kill();
  // Of one that is killed: as a backup of its data is made, and restored.
  void keep_data() const;
  void restore_data() const;
  void freeze(bool frozen) const;

  std::string endpoint() const;  // "http://127.0.0.1:port"
  const std::string& name() const { return name_; }
  // What the member says of itself (HTTP), empty: nothing.
  std::string get(const std::string& path) const;
  std::string post(const std::string& path, const std::string& json) const;

 private:
  EtcdServer(std::shared_ptr<std::filesystem::path> folder, std::string name, EtcdTls tls);
  std::string said() const;

  std::shared_ptr<std::filesystem::path> folder_;  // of the cluster
  std::string name_;
  std::string members_;  // as --initial-cluster
  EtcdTls tls_;
  int port_;
  pid_t process_ = -1;
};

}  // namespace supercloud
