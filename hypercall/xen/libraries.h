// Xen's C libraries. For the sources of this folder and its tests alone: no header of ours shows them.
#pragma once

#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

extern "C" {  // their headers do not say so themselves
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>
#include <xentoollog.h>
}

namespace supercloud {

// Xen's numbers of domains have 16 bits, of which the libraries take no notice: they cut off the rest, and some of those beyond mean
// the caller itself. False, with errno as for a domain that is not there: this is no domain's number.
inline bool is_domain(std::uint32_t id) {
  if (id < DOMID_FIRST_RESERVED) return true;
  errno = ESRCH;
  return false;
}

}  // namespace supercloud
