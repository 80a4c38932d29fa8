#include <gtest/gtest.h>

#include "tests/actors/policy/plugin/behaviours.h"

int main(int argc, char** argv) {
  if (const int code = supercloud::behave(argc, argv); code >= 0) return code;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
