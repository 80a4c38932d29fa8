// On request: how long messages take from this node to another and back. `supercloud bench bus` asks for it.
//
// It speaks accessResource: a resource that bears a node's name is that node itself, `vm.name` is what is sent, `bytes` how much of it in all.
//
//   who asks                          this node                            node R, its actor of this name
//     R, content, bytes  ──────────►    R, content  ───────────────────►     (bytes / content times, and once at least;
//                                                   ◄───────────────────  done     in_flight_max of them under way)
//     {"messages":N,"nanoseconds":T}  ◄──────────
//
// What is under way waits in each node's one queue like everything else there: so few at a time delay nothing that a guest waits for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/actor.h"

namespace supercloud {

class LinkProbe {
 public:
  static constexpr std::uint64_t messages_max = 4096;         // of one request
  static constexpr std::size_t content_bytes_max = 64 << 10;  // of one message
  static constexpr std::uint64_t bytes_max = 8 << 20;         // of one request, in all
  static constexpr std::uint64_t in_flight_max = 64;
  static constexpr int runs_max = 4;  // requests at a time

  // `deadline`: for each answer.
  LinkProbe(Context& context, Duration deadline) : context_(context), deadline_(deadline) {}

  // InvalidArgument: no content, or beyond the limits; ResourceExhausted: others measure; Unavailable, DeadlineExceeded, NotFound: what came of
  // asking that node.
  void serve(schema::Request::AccessResource::Reader access, Answer answer);

 private:
  struct Run;
  void send(const std::shared_ptr<Run>& run);
  void answered(const std::shared_ptr<Run>& run, const absl::Status& status);

  Context& context_;
  const Duration deadline_;
  int runs_ = 0;
};

}  // namespace supercloud
