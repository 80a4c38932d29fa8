// supercloud doctor: what this machine has, what is missing, what that costs, and what cures it.
#pragma once

#include <string>
#include <vector>

#include "cli/doctor/diagnosis.h"

namespace CLI {
class App;
}

namespace supercloud {

struct Program;

// For people: what is there as a table, then each thing that is missing with its cost and cure.
std::string doctor_text(const std::vector<Finding>& findings);
std::string doctor_json(const std::vector<Finding>& findings);
// exit_failed if something is wrong; that something is missing is no failure.
int doctor_exit_code(const std::vector<Finding>& findings);

void add_doctor_command(CLI::App& root, Program& program);

}  // namespace supercloud
