// What is said on a keeper's socket (SOCK_SEQPACKET, in packets), and what a keeper does about it.
//
//   packet  := command                                         to the keeper, which answers each, in order
//   command := "status" | "arm " ns | "disarm" | "thaw " ns | "kill" | "watch"
//   ns      := digit{1,19}                                     a point on CLOCK_BOOTTIME, below 2^63
//   answer  := state | "error " what "; " cure
//   state   := phase " deadline=" (ns | "none") " freezes=" n " pid=" pid " freezer=" ("cgroup2" | "cgroup1" | "signal")
//            | "ended " ("exit=" code | "signal=" number)      to every connection when the guest is gone; the last packet
//   phase   := "running" | "freezing" | "frozen"               freezing: told to stop, and not yet seen to have stopped
//
//              disarm                 deadline passes,
//      ┌──────────────────┐           or arm to one that has
//      ▼       arm        │                                     seen
//   running ──────────▶ running ─────────────────▶ freezing ──────────▶ frozen        any ── kill, or it ends ──▶ ended
//   no deadline         deadline                      (n + 1 freezes)     │
//                         ▲  │ arm, either direction                      │ thaw to a deadline ahead, and nothing else
//                         └──┴────────────────────────────────────────────┘
//
// status  the state.
// arm     moves the deadline, in either direction; done when it is answered. A guest that is frozen stays so, whatever it is moved to.
// disarm  no deadline: for a guest that cannot execute, because the vCPUs have never run, or because the answer to a stop was received
//         and no command that lets them run was sent since. Whoever lets them run arms first. Refused to a guest that is frozen or
//         freezing: what its vCPUs do, nobody knows.
// thaw    as arm; and a frozen guest executes again. Refused if the deadline has passed. "freezes" tells whether one came between.
// kill    kills all of the guest's processes; "ended" is the answer, when they are gone.
// watch   the state, now and again whenever it changed but for the deadline. Who does not read is cut off.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace supercloud::keeper {

inline constexpr std::size_t packet_bytes_max = 128;  // to the keeper, and from it

// The exit status of a keeper that found another one at its socket, by its lock or by its answer; of any other that did not start: 1.
inline constexpr int exit_another_lives = 3;

struct Command {
  enum class Verb { status, arm, disarm, thaw, kill, watch } verb;
  std::int64_t deadline = 0;  // ns, of arm and thaw
};

inline std::optional<Command> parse(std::string_view packet) {
  using Verb = Command::Verb;
  if (packet == "status") return Command{Verb::status};
  if (packet == "disarm") return Command{Verb::disarm};
  if (packet == "kill") return Command{Verb::kill};
  if (packet == "watch") return Command{Verb::watch};
  Command command{packet.starts_with("arm ") ? Verb::arm : Verb::thaw};
  if (command.verb == Verb::thaw && !packet.starts_with("thaw ")) return {};
  packet.remove_prefix(packet.find(' ') + 1);
  if (packet.empty() || packet.size() > 19 || packet[0] == '-') return {};
  const char* end = packet.data() + packet.size();
  const auto [parsed, error] = std::from_chars(packet.data(), end, command.deadline);
  if (error != std::errc() || parsed != end) return {};
  return command;
}

inline constexpr std::string_view cgroup_name_begin = "supercloud-keeper-";
// Of the keeper that listens there: FNV-1a of the path, so that the next one finds what is left of a keeper that was killed.
inline std::string cgroup_name(std::string_view socket) {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325U;
  for (const char byte : socket)
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100'0000'01b3U;
  return std::string(cgroup_name_begin) + std::to_string(hash);
}

}  // namespace supercloud::keeper
