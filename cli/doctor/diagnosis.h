// What a machine's facts mean for Supercloud: what is there, what is missing, what that costs, how it is cured.
#pragma once

#include <string>
#include <vector>

#include "cli/doctor/machine_facts.h"

namespace supercloud {

enum class Standing {
  present,
  missing,  // something cannot be done; all else can
  wrong,    // something that is there does harm, or nothing works without it
};

struct Finding {
  std::string name;
  Standing standing = Standing::present;
  std::string found;
  std::string costs;  // empty where present
  std::string cure;   // a command where there is one
};

// Pure. In the order in which a person would look.
std::vector<Finding> diagnose(const MachineFacts& facts);

// QEMU before 8.2 corrupts guests that write to their memory while it is copied, when it translates (TCG); and knows no way to hold a
// guest's last pass until it is asked for.
bool corrupts_guests(const std::string& qemu_version);

const char* to_string(Standing standing);

}  // namespace supercloud
