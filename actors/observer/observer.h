// The actor "observer": folds what happens in the cluster, and answers from it. It changes nothing and nobody waits for it.
#pragma once

#include <string>

#include "actors/observer/cluster_fold.h"
#include "actors/past.h"
#include "core/actor.h"

namespace supercloud {

struct ObserverOptions {
  std::size_t migrations_max = 1000;  // those that are quiet longest are forgotten
  std::size_t prices_per_place_max = 100;
};

// Thread-bound. Answers `migrationState`: a JSON object with the list "migrations", oldest first.
class Observer final : public Actor {
 public:
  explicit Observer(Context& context, ObserverOptions options = {});
  void receive(const Event& event) override;
  void serve(Message<schema::Request> request, Answer answer) override;

  const ClusterFold& fold() const { return fold_; }

 private:
  void apply(const Event& event);
  absl::StatusOr<std::string> states(std::string_view asked) const;

  Context& context_;
  const ObserverOptions options_;
  ClusterFold fold_;
  Past past_;
  int subscriptions_ = 0;  // that are not in effect yet
};

}  // namespace supercloud
