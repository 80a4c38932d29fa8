#include "actors/spot/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

class FileBytes final : public ByteSource {
 public:
  FileBytes(std::string name, int descriptor, std::uint64_t size)
      : name_(std::move(name)), descriptor_(descriptor), size_(size) {}
  ~FileBytes() override { ::close(descriptor_); }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  const std::string& name() const override { return name_; }
  std::uint64_t size() const override { return size_; }
  absl::StatusOr<std::size_t> read(std::uint64_t offset, char* to, std::size_t count) override {
    std::size_t done = 0;
    while (done < count) {
      const ssize_t got =
          ::pread(descriptor_, to + done, count - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        return absl::DataLossError(absl::StrCat(name_, ": byte ", offset + done,
                                                ": reading failed (", std::strerror(errno),
                                                "); nothing after it is read. Copy the file"));
      }
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

 private:
  std::string name_;
  int descriptor_;
  std::uint64_t size_;
};

class TextBytes final : public ByteSource {
 public:
  TextBytes(std::string name, std::string text) : name_(std::move(name)), text_(std::move(text)) {}
  const std::string& name() const override { return name_; }
  std::uint64_t size() const override { return text_.size(); }
  absl::StatusOr<std::size_t> read(std::uint64_t offset, char* to, std::size_t count) override {
    if (offset >= text_.size()) return 0;
    return text_.copy(to, count, static_cast<std::size_t>(offset));
  }

 private:
  std::string name_;
  std::string text_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ByteSource>> open_file_bytes(const std::string& path) {
  // Opening a pipe that nobody writes to would wait for ever.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot be opened (", std::strerror(errno), "); check the path"));
  }
  absl::Cleanup close = [descriptor] { ::close(descriptor); };
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) {
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot be looked at (", std::strerror(errno), ")"));
  }
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, S_ISDIR(status.st_mode) ? ": is a folder; name the files in it"
                                      : ": is no regular file, and it is read twice; save it to "
                                        "one first"));
  }
  std::move(close).Cancel();
  return std::make_unique<FileBytes>(path, descriptor, static_cast<std::uint64_t>(status.st_size));
}

std::unique_ptr<ByteSource> text_bytes(std::string name, std::string text) {
  return std::make_unique<TextBytes>(std::move(name), std::move(text));
}

}  // namespace supercloud
