// A monitor of QEMU as a plain script has it: a line for a command, a line for its answer, and lines for what happens meanwhile.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "core/event_loop.h"

namespace supercloud {

// What a line says.
struct QmpWord {
  bool greeting = false;  // commands are taken once it is answered
  bool answer = false;    // to a command; else, if it is no greeting, an event
  std::string error;      // of an answer, in QEMU's words; empty: it is done
  std::string event;      // its name
  std::string status;     // of a migration's event
  absl::Time at;          // of an event, by QEMU's stamp
};
// Of bytes from outside; empty: it is no line of QEMU's. Reentrant.
std::optional<QmpWord> read_qmp_word(std::string_view line);

// The socket at `path`, which is short, connected at once; -1: nobody listens there.
int connect_to_socket(const std::string& path);

// Thread-bound to its loop. Commands are for one at a time: the next answer is that of the last command.
class QmpScript {
 public:
  // Null: nobody listens there yet. The first answer is that of its greeting. `ended`: QEMU has closed it; this object may be destroyed in it.
  static std::unique_ptr<QmpScript> connect(EventLoop& loop, const std::string& path,
                                            std::function<void(const QmpWord&)> heard,
                                            std::function<void()> ended);
  ~QmpScript();
  QmpScript(const QmpScript&) = delete;
  QmpScript& operator=(const QmpScript&) = delete;

  // `arguments`: a JSON object.
  void say(std::string_view command, std::string_view arguments = "{}");

 private:
  QmpScript(EventLoop& loop, int fd, std::function<void(const QmpWord&)> heard,
            std::function<void()> ended);
  void read();

  EventLoop& loop_;
  const int fd_;
  const std::function<void(const QmpWord&)> heard_;
  std::function<void()> ended_;
  std::string line_;  // as far as it has come
};

}  // namespace supercloud
