// What people and services ask of the executor: create, start, stop, pause, resume, migrate, cancel, destroy, list, show, drain.
// The node that holds the VM answers; the others answer with its name (`redirect`).
#pragma once

#include "actors/migration/executor.h"

namespace supercloud {

class Commands {
 public:
  explicit Commands(Executor& executor) : executor_(executor) {}

  void serve(const Message<schema::Request>& request, Answer answer);

 private:
  void create(schema::VmSpec::Reader spec, Answer answer);
  void change(schema::Request::VmRef::Reader vm, schema::Request::Which command, Answer answer);
  void migrate(schema::Request::MigrateVm::Reader request, Answer answer);
  // Answers what stands in the way of such a move now, and whether an instance would be rented for it.
  static void dry_run(Executor& executor, VmWorker& worker, const std::string& target,
                      Duration time, Answer answer);
  void cancel(schema::Request::CancelMigration::Reader request, Answer answer);
  void list(Answer answer);
  void show(schema::Request::VmRef::Reader vm, Answer answer);
  // Else it is answered with whom to ask.
  bool is_here(schema::Request::DrainNode::Reader request, Answer& answer) const;

  // Runs `here` on the worker of a VM that this node holds; otherwise answers with who does, or that nobody does.
  void held(const std::string& vm, Answer answer, std::function<void(VmWorker&, Answer)> here);

  Executor& executor_;
};

}  // namespace supercloud
