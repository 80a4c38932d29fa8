#include "actors/resource/resource_stub.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/answers.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

constexpr std::string_view label_prefix = "resource.";

}  // namespace

ResourceAccess::ResourceAccess(std::string_view vm, std::string_view resource, std::uint64_t bytes)
    : to{std::string(resource.substr(0, resource.find('/'))), resource_actor},
      request(Message<schema::Request>::build([&](schema::Request::Builder builder) {
        auto access = builder.initAccessResource();
        access.setResource(std::string(resource.substr(resource.find('/') + 1)));
        VmName::of(vm).write(access.initVm());
        access.setBytes(bytes);
      })) {}

std::set<std::string> resources_of(const std::map<std::string, std::string>& labels) {
  std::set<std::string> resources;
  for (const auto& [name, value] : labels)
    if (name.starts_with(label_prefix) && name.size() > label_prefix.size())
      resources.insert(name.substr(label_prefix.size()));
  return resources;
}

ResourceStub::ResourceStub(Context& context, std::string home, std::set<std::string> resources)
    : context_(context), home_(std::move(home)), resources_(std::move(resources)) {}

void ResourceStub::serve(Message<schema::Request> request, Answer answer) {
  const auto reader = request.reader();
  if (!reader.isAccessResource()) {
    Actor::serve(std::move(request), std::move(answer));
    return;
  }
  const auto access = reader.getAccessResource();
  const std::string resource(text(access.getResource()));
  if (text(access.getVm().getName()).empty()) {
    answer(error_answer(absl::InvalidArgumentError("an access names its VM")));
    return;
  }
  if (!resources_.contains(resource)) {
    answer(error_answer(
        absl::NotFoundError(absl::StrCat("no resource \"", resource, "\" at ", home_,
                                         "; there: ", absl::StrJoin(resources_, ", ")))));
    return;
  }
  Draft draft = context_.draft(text(access.getVm().getName()), text(access.getVm().getTenant()));
  auto accessed = draft.payload().initResourceAccessed();
  accessed.setResource(resource);
  accessed.setHome(home_);
  accessed.setVm(access.getVm().getName());
  accessed.setBytes(access.getBytes());
  auto waiting = std::make_shared<Answer>(std::move(answer));
  context_.publish(std::move(draft), [waiting](const absl::Status& status) {
    (*waiting)(status.ok() ? done_answer() : error_answer(status));
  });
}

}  // namespace supercloud
