// Answers to requests, in the few forms that actors give.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "core/actor.h"

namespace supercloud {

inline Message<schema::Response> done_answer() {
  return Message<schema::Response>::build(
      [](schema::Response::Builder response) { response.setDone(); });
}

inline void answer_done(Answer& answer) { answer(done_answer()); }
inline void answer_status(Answer& answer, const absl::Status& status) {
  status.ok() ? answer_done(answer) : answer(status);
}
// For a completion that may be copied.
inline std::shared_ptr<Answer> shared(Answer answer) {
  return std::make_shared<Answer>(std::move(answer));
}

// An expected failure, in the answer itself.
inline Message<schema::Response> error_answer(const absl::Status& status) {
  return Message<schema::Response>::build([&](schema::Response::Builder response) {
    response.setCode(static_cast<std::uint16_t>(status.code()));
    response.setMessage(std::string(status.message()));
  });
}

// "Ask that node": for roles and VMs that are elsewhere. An empty `node`, nobody knows which, is an error: try again.
inline Message<schema::Response> redirect_answer(const std::string& what, const std::string& node) {
  if (node.empty()) {
    return error_answer(absl::UnavailableError(
        what + " is held by no node that is known here; try again in a moment"));
  }
  return Message<schema::Response>::build(
      [&](schema::Response::Builder response) { response.setRedirect(node); });
}

}  // namespace supercloud
