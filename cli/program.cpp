#include "cli/program.h"

#include <iostream>

#include "core/text.h"

namespace supercloud {

int complain(const absl::Status& why, int code) {
  std::cerr << "supercloud: " << std_view(why.message()) << std::endl;
  return code;
}

}  // namespace supercloud
