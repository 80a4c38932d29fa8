#include "cli/live_lines.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace supercloud {
namespace {

constexpr std::size_t usual_width = 79;

std::size_t terminal_width() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col - 1U
                                                                           : usual_width;
}

// Control characters, of which C1's are two bytes of UTF-8.
std::string without_controls(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool second =
        byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (second) ++i;
    if (!second && byte >= 0x20 && byte != 0x7f) plain += text[i];
  }
  return plain;
}

}  // namespace

// What another process says must not move the cursor.
std::string progress_line(const Progress& progress, std::size_t width) {
  const std::string far = progress.total == 0
                              ? std::string()
                              : absl::StrCat(progress.done, " of ", progress.total, ": ");
  std::string line = without_controls(far + progress.what);
  if (line.size() <= width) return line;
  while (width > 0 && (static_cast<unsigned char>(line[width]) & 0xc0U) == 0x80U) --width;
  return line.substr(0, width);
}

bool LiveLines::on_terminal() { return isatty(STDERR_FILENO) == 1; }

void LiveLines::line(Instant now, const std::string& words) {
  if (quiet_) return;
  clear();
  std::cerr << absl::StrFormat("%8.3f s  %s", absl::ToDoubleSeconds(now - start_), words)
            << std::endl;
  draw();
}

void LiveLines::status(Instant now, Status status) {
  if (quiet_) return;
  if (live_) {
    shown_ = std::move(status);
    clear();
    draw();
  } else if (now >= next_line_) {
    next_line_ = now + absl::Seconds(1);
    line(now, status(usual_width));
  }
}

void LiveLines::end() {
  clear();
  shown_ = nullptr;
}

void LiveLines::clear() {
  if (live_ && shown_) std::cerr << "\r\x1b[K" << std::flush;
}

void LiveLines::draw() {
  if (live_ && shown_) std::cerr << shown_(terminal_width()) << std::flush;
}

}  // namespace supercloud
