#include "cli/guests/qmp_script.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

using QmpLine = nlohmann::json;

constexpr std::size_t script_line_max = 1 << 16;  // what is longer is cut, and is none then
constexpr int script_depth_max = 16;              // of objects within each other

const QmpLine& part_of(const QmpLine& line, const char* member) {
  static const QmpLine none;
  const auto found = line.is_object() ? line.find(member) : line.end();
  return line.is_object() && found != line.end() ? *found : none;
}

std::string text_of(const QmpLine& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::int64_t number_of(const QmpLine& value, std::int64_t most) {
  if (!value.is_number_unsigned()) return 0;
  return static_cast<std::int64_t>(
      std::min(value.get<std::uint64_t>(), static_cast<std::uint64_t>(most)));
}

}  // namespace

std::optional<QmpWord> read_qmp_word(std::string_view line) {
  const QmpLine said = QmpLine::parse(
      line,
      [](int depth, QmpLine::parse_event_t, const QmpLine&) { return depth <= script_depth_max; },
      /*allow_exceptions=*/false);
  if (!said.is_object()) return std::nullopt;
  QmpWord word;
  if (part_of(said, "QMP").is_object()) {
    word.greeting = true;
    return word;
  }
  if (const QmpLine& error = part_of(said, "error"); error.is_object()) {
    word.answer = true;
    word.error = text_of(part_of(error, "desc"));
    if (word.error.empty()) word.error = "an error without words";
    return word;
  }
  if (said.contains("return")) {
    word.answer = true;
    return word;
  }
  word.event = text_of(part_of(said, "event"));
  const QmpLine& stamp = part_of(said, "timestamp");
  if (word.event.empty() || !stamp.is_object()) return std::nullopt;
  word.status = text_of(part_of(part_of(said, "data"), "status"));
  constexpr std::int64_t seconds_max = std::int64_t{1} << 40, microseconds_max = 999'999;
  word.at = absl::FromUnixMicros(number_of(part_of(stamp, "seconds"), seconds_max) * 1'000'000 +
                                 number_of(part_of(stamp, "microseconds"), microseconds_max));
  return word;
}

int connect_to_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return -1;
  path.copy(address.sun_path, path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

std::unique_ptr<QmpScript> QmpScript::connect(EventLoop& loop, const std::string& path,
                                              std::function<void(const QmpWord&)> heard,
                                              std::function<void()> ended) {
  const int fd = connect_to_socket(path);
  if (fd < 0) return nullptr;
  return std::unique_ptr<QmpScript>(new QmpScript(loop, fd, std::move(heard), std::move(ended)));
}

QmpScript::QmpScript(EventLoop& loop, int fd, std::function<void(const QmpWord&)> heard,
                     std::function<void()> ended)
    : loop_(loop), fd_(fd), heard_(std::move(heard)), ended_(std::move(ended)) {
  (void)loop_.watch_fd(fd_, EPOLLIN, [this](std::uint32_t) { read(); });
}

QmpScript::~QmpScript() {
  loop_.unwatch_fd(fd_);
  ::close(fd_);
}

// A socket has room for what a script says.
void QmpScript::say(std::string_view command, std::string_view arguments) {
  const std::string line = absl::StrCat("{\"execute\": \"", absl_view(command),
                                        "\", \"arguments\": ", absl_view(arguments), "}\n");
  (void)::send(fd_, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void QmpScript::read() {
  std::array<char, 4096> bytes{};
  ssize_t got = 0;
  while ((got = ::read(fd_, bytes.data(), bytes.size())) > 0) {
    for (const char letter : std::string_view(bytes.data(), static_cast<std::size_t>(got))) {
      if (letter != '\n') {
        if (line_.size() < script_line_max) line_ += letter;
        continue;
      }
      const auto word = read_qmp_word(std::exchange(line_, {}));
      // A QEMU that starts may greet twice, and tells nothing before each is answered.
      if (word && word->greeting) say("qmp_capabilities");
      if (word && !word->greeting) heard_(*word);
    }
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  loop_.unwatch_fd(fd_);
  const auto ended = std::exchange(ended_, nullptr);
  if (ended) ended();  // this may be gone now
}

}  // namespace supercloud
