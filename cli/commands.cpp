#include "cli/commands.h"

#include "cli/demo_command.h"
#include "cli/node_command.h"
#if __has_include("cli/vm_command.h")
#include "cli/vm_command.h"
#endif
#if __has_include("cli/doctor_command.h")
#include "cli/doctor_command.h"
#endif
#if __has_include("cli/simulate_command.h")
#include "cli/simulate_command.h"
#endif
#if __has_include("cli/events_command.h")
#include "cli/events_command.h"
#endif
#if __has_include("cli/explain_command.h")
#include "cli/explain_command.h"
#endif

namespace supercloud {

void add_commands(CLI::App& root, Program& program) {
  add_demo_command(root, program);
#if __has_include("cli/vm_command.h")
  add_vm_command(root, program);
#endif
#if __has_include("cli/events_command.h")
  add_events_command(root, program);
#endif
#if __has_include("cli/explain_command.h")
  add_explain_command(root, program);
#endif
#if __has_include("cli/doctor_command.h")
  add_doctor_command(root, program);
#endif
#if __has_include("cli/simulate_command.h")
  add_simulate_command(root, program);
#endif
  add_node_command(root, program);
}

}  // namespace supercloud
