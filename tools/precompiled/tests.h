// The same for test programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/node.h"
#include "core/virtual_scheduler.h"
#include "tools/precompiled/sources.h"
