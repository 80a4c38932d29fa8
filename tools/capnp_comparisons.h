#pragma once

// Included before every file that a newer compiler builds against Cap'n Proto 0.9 (Debian 12).
//
// That release leaves these two operators out under C++20, trusting the reversed member operators; since P2468 (clang 16,
// g++ 13) a member operator!= forbids the reversal, and capnp/blob.h itself no longer compiles. Cap'n Proto 1.0.1 mended it.

#include <kj/string.h>

namespace kj {

inline bool operator==(const char* a, const StringPtr& b) { return b.operator==(StringPtr(a)); }
inline bool operator!=(const char* a, const StringPtr& b) { return !b.operator==(StringPtr(a)); }

}  // namespace kj
