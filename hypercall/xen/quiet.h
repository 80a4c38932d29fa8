// For the sources of this folder: Xen's libraries open without a word on stderr.
#pragma once

#include "hypercall/xen/libraries.h"

namespace supercloud {

// Takes their messages and forgets them: what failed is in the status. Constant; lives for ever.
xentoollog_logger* quiet_logger();

}  // namespace supercloud
