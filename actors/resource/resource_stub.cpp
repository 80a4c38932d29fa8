#include "actors/resource/resource_stub.h"

#include <memory>
#include <string>
#include <utility>

#include "actors/answers.h"

namespace supercloud {

void ResourceStub::serve(Message<schema::Request> request, Answer answer) {
  const auto reader = request.reader();
  if (!reader.isAccessResource()) {
    Actor::serve(std::move(request), std::move(answer));
    return;
  }
  const auto access = reader.getAccessResource();
  if (text(access.getResource()).empty() || text(access.getVm().getName()).empty()) {
    answer(error_answer(absl::InvalidArgumentError("an access names a resource and a VM")));
    return;
  }
  Draft draft = context_.draft(text(access.getVm().getName()), text(access.getVm().getTenant()));
  auto accessed = draft.payload().initResourceAccessed();
  accessed.setResource(access.getResource());
  accessed.setHome(access.getHome());
  accessed.setVm(access.getVm().getName());
  accessed.setBytes(access.getBytes());
  auto waiting = std::make_shared<Answer>(std::move(answer));
  context_.publish(std::move(draft), [waiting](const absl::Status& status) {
    (*waiting)(status.ok() ? done_answer() : error_answer(status));
  });
}

}  // namespace supercloud
