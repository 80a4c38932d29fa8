/*
 * A policy as a shared object: the C ABI, version 1. This header needs nothing of Supercloud; docs/policies.md shows how it is used.
 *
 * A plug-in exports one function, supercloud_policy_entry, which gives a table. Supercloud calls, in this order and always from one
 * thread: create once, decide any number of times, destroy once (which a process that is killed never sees).
 *
 * Worlds and decisions are Cap'n Proto messages, World and Decision of core/schema/world.capnp, with the usual framing: what
 * capnp::messageToFlatArray() writes and capnp::FlatArrayMessageReader reads.
 *
 * The object is loaded into a process of its own. What hangs there is killed, what crashes there is started again, and the node goes
 * on; so a plug-in keeps nothing that it would miss. Exceptions had better not leave it: one that does is caught and told as
 * a failure where the platform can unwind, else it ends the process.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows with every change that an older plug-in or an older node would misread. */
enum { supercloud_policy_abi_version = 1 };

/* NOLINTBEGIN(readability-identifier-naming): names as C has them */
/* Where decide() puts its answer: exactly one call of one of the two, before it returns. Both copy what they are given. */
struct supercloud_policy_sink {
  void* context; /* the first argument of both */
  void (*decided)(void* context, const void* decision, size_t decision_bytes);
  void (*failed)(void* context,
                 const char* why); /* a sentence for a person; the VM stays where it is */
};

/* Lives, with all that it points to, as long as the object is loaded. No pointer in it is null. */
struct supercloud_policy {
  uint32_t abi_version; /* supercloud_policy_abi_version; stays the first member in every version */
  const char* name;     /* of the policy, for people */
  const char* version;  /* of the plug-in, for people */
  const char*
      decides_on; /* what it looks at, for people: "prices at the ends of paid hours, notices" */

  /* The policy, which is self below and the plug-in's own. Null: it cannot work; *why, a text that lives on, then says why not. */
  void* (*create)(const char** why);
  /* Answers through sink before it returns, within the deadline that the node gives its policies (docs/policies.md). `world` is aligned
   * to 8 bytes and the caller's: it ends when decide() returns. */
  void (*decide)(void* self, const void* world, size_t world_bytes,
                 const struct supercloud_policy_sink* sink);
  void (*destroy)(void* self);
};

/* NOLINTEND(readability-identifier-naming) */

/* The plug-in defines it. */
__attribute__((visibility("default"))) const struct supercloud_policy* supercloud_policy_entry(
    void);

#ifdef __cplusplus
}
#endif
