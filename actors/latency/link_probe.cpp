#include "actors/latency/link_probe.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/answers.h"

namespace supercloud {
struct LinkProbe::Run {
  std::string node;
  std::string content;
  std::uint64_t messages = 0, sent = 0, answered = 0;
  Instant began;
  Answer answer;  // empty: given
};

void LinkProbe::serve(schema::Request::AccessResource::Reader access, Answer answer) {
  const auto refuse = [&answer](const absl::Status& why) { answer(error_answer(why)); };
  auto run = std::make_shared<Run>();
  run->node = text(access.getResource());
  if (run->node == context_.node()) return answer(done_answer());
  run->content = text(access.getVm().getName());
  if (run->node.empty() || run->content.empty() || run->content.size() > content_bytes_max) {
    return refuse(absl::InvalidArgumentError(absl::StrCat(
        "a measurement names a node, and what to send it: 1 to ", content_bytes_max, " bytes")));
  }
  run->messages = std::max<std::uint64_t>(1, access.getBytes() / run->content.size());
  if (run->messages > messages_max || run->messages * run->content.size() > bytes_max) {
    return refuse(absl::InvalidArgumentError(
        absl::StrCat(run->messages, " messages of ", run->content.size(),
                     " bytes are more than one request may ask for: ", messages_max,
                     " messages, and ", bytes_max, " bytes")));
  }
  if (runs_ >= runs_max) {
    return refuse(absl::ResourceExhaustedError(
        absl::StrCat(context_.node(), " measures for ", runs_, " others now; try again later")));
  }
  ++runs_;
  run->answer = std::move(answer);
  run->began = context_.now();
  for (std::uint64_t i = 0; i < std::min(run->messages, in_flight_max); ++i) send(run);
}

void LinkProbe::send(const std::shared_ptr<Run>& run) {
  ++run->sent;
  context_.request({run->node, context_.self().actor},
                   Message<schema::Request>::build([&](schema::Request::Builder request) {
                     auto access = request.initAccessResource();
                     access.setResource(run->node);
                     access.initVm().setName(run->content);
                     access.setBytes(run->content.size());
                   }),
                   deadline_, [this, run](const absl::StatusOr<Message<schema::Response>>& done) {
                     answered(run, done.status());
                   });
}

void LinkProbe::answered(const std::shared_ptr<Run>& run, const absl::Status& status) {
  if (!run->answer) return;  // another of its messages has failed
  ++run->answered;
  if (status.ok() && run->sent < run->messages) return send(run);
  if (status.ok() && run->answered < run->messages) return;
  --runs_;
  const std::int64_t took = absl::ToInt64Nanoseconds(context_.now() - run->began);
  if (!status.ok()) return run->answer(error_answer(status));
  run->answer(Message<schema::Response>::build([&](schema::Response::Builder response) {
    response.setJson(absl::StrCat("{\"messages\":", run->messages, ",\"nanoseconds\":", took, "}"));
  }));
}

}  // namespace supercloud
