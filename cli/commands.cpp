#include "cli/commands.h"

#include "cli/bench_command.h"
#include "cli/demo_command.h"
#include "cli/doctor_command.h"
#include "cli/events_command.h"
#include "cli/explain_command.h"
#include "cli/gateway_command.h"
#include "cli/hub_command.h"
#include "cli/keys_command.h"
#include "cli/node_command.h"
#include "cli/policy_command.h"
#include "cli/policy_host_command.h"
#include "cli/replay_command.h"
#include "cli/simulate_command.h"
#include "cli/vm_command.h"
#include "cli/xenstore_command.h"

namespace supercloud {

void add_commands(CLI::App& root, Program& program) {
  add_demo_command(root, program);
  add_vm_command(root, program);
  add_events_command(root, program);
  add_explain_command(root, program);
  add_gateway_command(root, program);
  add_replay_command(root, program);
  add_policy_command(root, program);
  add_doctor_command(root, program);
  add_bench_command(root, program);
  add_xenstore_command(root, program);
  add_simulate_command(root, program);
  add_node_command(root, program);
  add_hub_command(root, program);
  add_keys_command(root, program);
  add_policy_host_command(root, program);
}

}  // namespace supercloud
