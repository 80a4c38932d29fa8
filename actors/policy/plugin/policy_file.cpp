#include "actors/policy/plugin/policy_file.h"

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/policy/plugin/blocking_policy.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

bool is_shared_object(const std::string& file) { return file.ends_with(".so"); }

ProcessPolicyOptions process_options(const PolicyFileOptions& options) {
  ProcessPolicyOptions process;
  process.name = options.name;
  process.file = options.file;
  if (options.deadline > absl::ZeroDuration()) process.deadline = options.deadline;
  std::error_code error;
  const std::string path = files::absolute(options.file, error).string();
  if (is_shared_object(options.file)) {
    process.command.program = options.host_program;
    process.command.arguments = {"supercloud", "policy-host", path};
  } else {
    process.command.program = path;
    process.command.arguments = {path};
  }
  return process;
}

ProcessPolicyOptions blocking_options(PolicyFileOptions options) {
  if (options.deadline <= absl::ZeroDuration()) options.deadline = default_answer_within;
  return BlockingPolicy::of_virtual_time(process_options(options));
}

// One of those that share a process.
class SharingPolicy final : public Policy {
 public:
  explicit SharingPolicy(std::shared_ptr<Policy> shared) : shared_(std::move(shared)) {}
  std::string name() const override { return shared_->name(); }
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override {
    shared_->decide(std::move(world), std::move(reply));
  }

 private:
  const std::shared_ptr<Policy> shared_;
};

}  // namespace

absl::Status check_policy_file(const std::string& file) {
  std::error_code error;
  const files::file_status status = files::status(file, error);
  if (!files::exists(status))
    return absl::NotFoundError(absl::StrCat(file,
                                            ": no such file; give the path of a program or "
                                            "of a shared object"));
  if (!files::is_regular_file(status))
    return absl::InvalidArgumentError(
        absl::StrCat(file, " is no file; give the path of a program or of a shared object"));
  if (is_shared_object(file)) {
    if (::access(file.c_str(), R_OK) == 0) return absl::OkStatus();
    return absl::PermissionDeniedError(absl::StrCat(file, " may not be read; chmod +r it"));
  }
  if (::access(file.c_str(), X_OK) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(file,
                   " may not be executed; chmod +x it, and let a script's first line name its "
                   "interpreter (#!/usr/bin/python3)"));
}

absl::StatusOr<PolicyFactory> policy_from_file(EventLoop& loop, const PolicyFileOptions& options) {
  if (absl::Status checked = check_policy_file(options.file); !checked.ok()) return checked;
  return PolicyFactory([&loop, process = process_options(options)]() -> std::unique_ptr<Policy> {
    return std::make_unique<ProcessPolicy>(loop, process);
  });
}

absl::StatusOr<PolicyFactory> blocking_policy_from_file(const PolicyFileOptions& options) {
  if (absl::Status checked = check_policy_file(options.file); !checked.ok()) return checked;
  return PolicyFactory(
      [process = blocking_options(options), shared = std::make_shared<std::shared_ptr<Policy>>()] {
        if (!*shared) *shared = std::make_shared<BlockingPolicy>(process);
        return std::make_unique<SharingPolicy>(*shared);
      });
}

absl::StatusOr<PolicyGreeting> greet_policy(const PolicyFileOptions& options) {
  if (absl::Status checked = check_policy_file(options.file); !checked.ok()) return checked;
  return BlockingPolicy(blocking_options(options)).greeting();
}

}  // namespace supercloud
