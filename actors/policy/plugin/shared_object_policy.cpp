#include "actors/policy/plugin/shared_object_policy.h"

#include <dlfcn.h>

#include <exception>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/one_segment.h"
#include "core/text.h"

namespace supercloud {
namespace {

using Put = std::optional<absl::StatusOr<Message<schema::Decision>>>;

// What the linker says last; it begins with the file's name.
std::string linker_words() {
  const char* words = ::dlerror();
  return words == nullptr ? "the linker does not say why" : words;
}

absl::Status threw(const std::string& file, const char* where, std::string_view what) {
  return absl::InternalError(absl::StrCat(file, ": an exception left ", where, " (",
                                          printable(what, failure_text_max),
                                          "): catch it there and call sink->failed"));
}

// Runs `call` of the plug-in's; an exception that leaves it ends here.
template <class Call>
absl::Status run_guarded(const std::string& file, const char* where, Call call) {
  try {
    call();
    return absl::OkStatus();
  } catch (const std::exception& exception) {
    return threw(file, where, exception.what());
  } catch (...) {
    return threw(file, where, "of no standard type");
  }
}

absl::StatusOr<Message<schema::Decision>> decision_of_bytes(const void* bytes, std::size_t size) {
  if (bytes == nullptr) return absl::InvalidArgumentError("it decided with a null pointer");
  const auto framed = one_segment({static_cast<const char*>(bytes), size});
  auto decision = framed.ok() ? Message<schema::Decision>::parse(*framed)
                              : absl::StatusOr<Message<schema::Decision>>(framed.status());
  if (decision.ok()) return decision;
  return absl::InvalidArgumentError(
      absl::StrCat("what it gave is no Decision: ", decision.status().message()));
}

// The plug-in's own code calls these, so nothing is thrown into it.
void put_decided(void* context, const void* bytes, std::size_t size) noexcept {
  *static_cast<Put*>(context) = decision_of_bytes(bytes, size);
}
void put_failed(void* context, const char* why) noexcept {
  *static_cast<Put*>(context) = absl::AbortedError(absl::StrCat(
      "it says that it cannot decide: ", printable(why == nullptr ? "" : why, failure_text_max)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SharedObjectPolicy>> SharedObjectPolicy::load(
    const std::string& file) {
  std::error_code error;
  // Without a slash dlopen looks in the system's folders.
  const std::string path = std::filesystem::absolute(file, error).string();
  if (!std::filesystem::exists(path, error))
    return absl::NotFoundError(absl::StrCat(file, ": no such file"));
  void* object = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr)
    return absl::InvalidArgumentError(
        absl::StrCat(file, " cannot be loaded: ", linker_words(),
                     "; build it as a shared object for this machine, and link what it needs"));
  const auto refuse = [&](const std::string& why) {
    ::dlclose(object);
    return absl::FailedPreconditionError(absl::StrCat(file, why));
  };
  const auto entry =
      reinterpret_cast<const supercloud_policy* (*)()>(::dlsym(object, "supercloud_policy_entry"));
  if (entry == nullptr)
    return refuse(
        " is no policy: it exports no supercloud_policy_entry; define it with C linkage, as "
        "policy_abi.h declares it");
  const supercloud_policy* table = nullptr;
  if (const absl::Status called =
          run_guarded(file, "supercloud_policy_entry", [&] { table = entry(); });
      !called.ok()) {
    ::dlclose(object);
    return called;
  }
  if (table == nullptr) return refuse(": supercloud_policy_entry gave no table");
  if (table->abi_version != supercloud_policy_abi_version)
    return refuse(absl::StrCat(" has version ", table->abi_version,
                               " of the policy ABI, this program has version ",
                               static_cast<int>(supercloud_policy_abi_version),
                               ": build it against this program's policy_abi.h"));
  if (table->name == nullptr || table->version == nullptr || table->decides_on == nullptr ||
      table->create == nullptr || table->decide == nullptr || table->destroy == nullptr)
    return refuse(" has null pointers in its table: fill in every member of supercloud_policy");
  std::unique_ptr<SharedObjectPolicy> policy(new SharedObjectPolicy(file, object, table));
  const char* why = nullptr;
  const absl::Status created =
      run_guarded(file, "create", [&] { policy->self_ = table->create(&why); });
  if (!created.ok()) return created;
  if (policy->self_ == nullptr)
    return absl::FailedPreconditionError(
        absl::StrCat(file, " will not be created: ",
                     why == nullptr ? "it does not say why" : printable(why, failure_text_max)));
  return policy;
}

SharedObjectPolicy::~SharedObjectPolicy() {
  if (self_ != nullptr)
    run_guarded(file_, "destroy", [this] { table_->destroy(self_); }).IgnoreError();
  ::dlclose(object_);
}

void SharedObjectPolicy::decide(Message<schema::World> world,
                                Reply<Message<schema::Decision>> reply) {
  Put answer;
  const supercloud_policy_sink sink{&answer, &put_decided, &put_failed};
  const std::string_view bytes = world.bytes();
  const absl::Status called = run_guarded(
      file_, "decide", [&] { table_->decide(self_, bytes.data(), bytes.size(), &sink); });
  if (!called.ok()) return reply(called);
  if (!answer)
    return reply(absl::InvalidArgumentError(absl::StrCat(
        file_, ": decide returned without an answer: call sink->decided or sink->failed")));
  if (!answer->ok())
    return reply(absl::Status(answer->status().code(),
                              absl::StrCat(file_, ": ", answer->status().message())));
  reply(*std::move(answer));
}

}  // namespace supercloud
