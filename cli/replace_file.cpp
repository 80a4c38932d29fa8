#include "cli/replace_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

absl::Status failure(std::string_view doing, const files::path& path, int error) {
  const std::string what = absl::StrCat(absl_view(doing), " ", path.string(), ": ",
                                        std::generic_category().message(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(
          absl::StrCat(what, "; make the folder with: mkdir -p ", path.parent_path().string()));
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "; name a file in a folder that you may write to"));
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(
          absl::StrCat(what, "; free some space, or name a file on another disk"));
    default:
      return absl::UnavailableError(absl::StrCat(what, "; name another file"));
  }
}

// 0, or why it failed.
int write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) return errno;
    if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::fsync(file) == 0 ? 0 : errno;
}

}  // namespace

absl::Status replace_file(const files::path& path, std::string_view bytes, mode_t mode) {
  std::error_code error;
  const files::path target = files::weakly_canonical(files::absolute(path, error), error);
  if (error) return failure("looking for", path, error.value());
  const files::file_status status = files::status(target, error);
  if (files::exists(status) && !files::is_regular_file(status))
    return absl::InvalidArgumentError(
        absl::StrCat("writing ", path.string(), ": it is ",
                     files::is_directory(status) ? "a folder; name a file in it"
                                                 : "not a file; name one that can be replaced"));

  // In the same folder, so that renaming is one step of one file system.
  const files::path written = absl::StrCat(target.string(), ".new-", ::getpid());
  // What stands there already is somebody else's, or was left by a process of that number: nothing is written into it.
  ::unlink(written.c_str());
  const int file =
      ::open(written.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (file < 0) return failure("writing", target, errno);
  absl::Cleanup remove_written = [&] { ::unlink(written.c_str()); };
  const int write_error = write_all(file, bytes);
  if (::close(file) != 0 || write_error != 0)
    return failure("writing", target, write_error != 0 ? write_error : errno);
  if (std::rename(written.c_str(), target.c_str()) != 0) return failure("writing", target, errno);
  std::move(remove_written).Cancel();
  // The name, too, is to be there after a loss of power.
  const int folder = ::open(target.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return failure("writing", target, errno);
  const int folder_error = ::fsync(folder) == 0 ? 0 : errno;
  ::close(folder);
  return folder_error == 0 ? absl::OkStatus() : failure("writing", target, folder_error);
}

}  // namespace supercloud
