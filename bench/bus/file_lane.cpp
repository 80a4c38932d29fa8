#include "bench/bus/file_lane.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/time/clock.h"
#include "cli/measure/temporary_folder.h"

namespace supercloud {
namespace {

constexpr std::size_t record_bytes = 256;

class FileLane final : public DiskLane {
 public:
  FileLane()
      : fd_(::open((folder_.path() / "file").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC,
                   0600)) {}
  ~FileLane() override {
    if (fd_ >= 0) ::close(fd_);
  }
  absl::StatusOr<double> store(int together) override {
    const std::string record(record_bytes, 'r');
    const absl::Time start = absl::Now();
    for (int i = 0; i < together; ++i)
      if (::write(fd_, record.data(), record.size()) != static_cast<ssize_t>(record.size()))
        return absl::ErrnoToStatus(errno, "write");
    if (::fdatasync(fd_) != 0) return absl::ErrnoToStatus(errno, "fdatasync");
    return absl::ToDoubleSeconds(absl::Now() - start);
  }

 private:
  const TemporaryFolder folder_;
  const int fd_;
};

}  // namespace

std::unique_ptr<DiskLane> file_lane() { return std::make_unique<FileLane>(); }

}  // namespace supercloud
