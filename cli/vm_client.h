// Virtual machines of a running cluster, as the commands see them: any node is asked, the one that holds the VM answers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/cluster_target.h"
#include "cli/program.h"
#include "core/vm_name.h"

namespace supercloud {

// "web1" of the tenant asked for (empty: main), or "tenant/web1". InvalidArgument where the two disagree or it is no name.
absl::StatusOr<VmName> parse_vm_name(const std::string& text, const std::string& tenant);

// A length of time that an option has: more than none, and at most a year; zero where it was not given. InvalidArgument names the option.
absl::StatusOr<Duration> parse_span(const std::string& option, const std::string& written,
                                    const std::string& example);

// What a command learns of one VM; plain values, so that answers of several nodes can be compared and kept.
struct VmFacts {
  std::string name, tenant, node, place, state, heir;
  Epoch epoch = 0;
  EventId migration;
  std::vector<std::string> in_sync;
  Message<schema::VmSpec> spec;

  static VmFacts from(schema::Response::VmView::Reader view);
  std::string key() const { return tenant + "/" + name; }
};

// Thread-bound; calls block.
class VmClient {
 public:
  static constexpr Duration usual_deadline = absl::Seconds(10);

  // Says on stderr which cluster it is. Unavailable or NotFound: none that runs.
  static absl::StatusOr<std::unique_ptr<VmClient>> connect(const Program& program);

  // Asks the executor of one node after the other until one is there to answer; redirects are followed.
  using Waiting = ClusterClient::Waiting;
  absl::StatusOr<Message<schema::Response>> ask(const Message<schema::Request>& request,
                                                Duration deadline = usual_deadline,
                                                const Waiting& waiting = {});
  absl::StatusOr<Message<schema::Response>> ask_node(const std::string& node,
                                                     const Message<schema::Request>& request,
                                                     Duration deadline = usual_deadline,
                                                     const Waiting& waiting = {});
  // The same where the answer takes its time: on a terminal a line says how far it is, and Ctrl-C cancels it, where the request can be.
  absl::StatusOr<Message<schema::Response>> ask_patiently(const Message<schema::Request>& request,
                                                          Duration deadline = usual_deadline);

  // All VMs by tenant and name, each as its holder describes it where that one answers.
  absl::StatusOr<std::vector<VmFacts>> list();
  absl::StatusOr<VmFacts> show(const VmName& vm);

  // Whether the logs know the name: a VM that is there no more has been destroyed. A long log takes its time.
  absl::StatusOr<bool> was_there(const VmName& vm);

  // Nodes whose processes run.
  std::vector<std::string> nodes() const;
  // Whether it answers for VMs, wherever it runs. Blocks.
  bool hosts_vms(const std::string& node);
  const ClusterTarget& target() const { return target_; }
  ClusterClient& client() { return *client_; }
  Instant now() { return client_->loop().clock().now(); }

 private:
  VmClient(ClusterTarget target, std::unique_ptr<ClusterClient> client)
      : target_(std::move(target)), client_(std::move(client)) {}

  ClusterTarget target_;
  std::unique_ptr<ClusterClient> client_;
};

// Says on stderr why, and what there is instead of a VM that does not exist (`client` may be null). Returns the exit code.
int tell_vm_error(const absl::Status& status, const std::string& vm, VmClient* client);

}  // namespace supercloud
