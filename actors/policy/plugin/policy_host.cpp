#include "actors/policy/plugin/policy_host.h"

#include <zmq.h>

#include <string_view>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "actors/policy/plugin/policy_wire.h"
#include "actors/policy/plugin/shared_object_policy.h"
#include "core/text.h"

namespace supercloud {
namespace {

absl::Status broken(std::string_view verb) {
  return absl::UnavailableError(
      absl::StrCat("cannot ", absl_view(verb), ": ", zmq_strerror(zmq_errno())));
}

bool send_frames(void* socket, const std::vector<std::string_view>& frames) {
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const int more = i + 1 < frames.size() ? ZMQ_SNDMORE : 0;
    while (zmq_send(socket, frames[i].data(), frames[i].size(), more) < 0)
      if (zmq_errno() != EINTR) return false;
  }
  return true;
}

// Empty: the socket is broken.
std::vector<std::string> receive_frames(void* socket) {
  std::vector<std::string> frames;
  for (bool more = true; more;) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    while (zmq_msg_recv(&frame, socket, 0) < 0) {
      if (zmq_errno() == EINTR) continue;
      zmq_msg_close(&frame);
      return {};
    }
    frames.emplace_back(static_cast<const char*>(zmq_msg_data(&frame)), zmq_msg_size(&frame));
    more = zmq_msg_more(&frame) != 0;
    zmq_msg_close(&frame);
  }
  return frames;
}

absl::StatusOr<Message<schema::Decision>> decide_now(Policy& policy, std::string_view json) {
  auto world = Message<schema::World>::from_json(json);
  if (!world.ok()) return world.status();
  absl::StatusOr<Message<schema::Decision>> decision = absl::InternalError("it did not answer");
  policy.decide(*std::move(world),
                Reply<Message<schema::Decision>>(
                    far_future, [&decision](absl::StatusOr<Message<schema::Decision>> answer) {
                      decision = std::move(answer);
                    }));
  return decision;
}

}  // namespace

absl::Status host_policy(const std::string& file, const std::string& endpoint) {
  const auto policy = SharedObjectPolicy::load(file);
  if (!policy.ok()) return policy.status();
  void* context = zmq_ctx_new();
  void* socket = context == nullptr ? nullptr : zmq_socket(context, ZMQ_DEALER);
  const absl::Cleanup end = [&] {
    if (socket != nullptr) zmq_close(socket);
    if (context != nullptr) zmq_ctx_term(context);
  };
  if (socket == nullptr) return broken("make a socket");
  const int at_once = 0;
  zmq_setsockopt(socket, ZMQ_LINGER, &at_once, sizeof at_once);
  if (zmq_connect(socket, endpoint.c_str()) != 0)
    return broken(absl::StrCat("connect to ", endpoint));
  if (!send_frames(socket, {"hello", to_json((*policy)->greeting())})) return broken("say hello");
  while (true) {
    const std::vector<std::string> question = receive_frames(socket);
    if (question.empty()) return broken("hear the node");
    if (question.size() != 3 || question[0] != "decide")
      return absl::InvalidArgumentError("the node speaks another protocol");
    const auto decision = decide_now(**policy, question[2]);
    const bool sent =
        decision.ok()
            ? send_frames(socket, {"decision", question[1], decision->to_json()})
            : send_frames(socket, {"failed", question[1], std_view(decision.status().message())});
    if (!sent) return broken("answer the node");
  }
}

}  // namespace supercloud
