// The page stream: how a guest's memory travels between two hosts, as frames of one Link.
//
//   stream   = hello ( accept | refuse ) *( pages | pass-end ) [ final confirm | rest final confirm follows ]
//            | again ( rest follows | whole | refuse )      ; another stream, of a post-copy that was cut off
//   follows  = *( pages | want ) whole                     ; while the guest executes at the target
//            | probe ( probed | refuse )                    ; is the way there? a target of an earlier release refuses
//   source -> target: hello, again, pages, pass-end, rest, final, probe
//   target -> source: accept, refuse, confirm, rest, want, whole, probed
//
//   frame    = type payload                         ; one Link frame; integers little-endian
//   hello    = %x01 version epoch vm migration page-count page-bytes
//   accept   = %x02
//   refuse   = %x03 why                             ; the target closes after it
//   pages    = %x04 pass:u32 count:u32 *( index:u32 content:u64 )     ; count > 0
//   pass-end = %x05 pass:u32
//   final    = %x06 length:u32 state:*byte          ; device state; all memory was sent before
//   confirm  = %x07                                 ; the copy is complete at the target
//   probe    = %x08
//   probed   = %x09
//   rest     = %x0a count:u32 *index:u32            ; the pages that the target does not have
//   want     = %x0b index:u32                       ; the guest waits for this one
//   whole    = %x0c                                 ; it has all
//   again    = %x0d and as hello
//
//   version  = u8 (1)      epoch = u64      vm, why, origin = length:u16 *byte
//   migration = origin incarnation:u64 sequence:u64
//   page-count = u32       page-bytes = u64         ; guest memory that one page stands for
//
//   source:  connecting --accept--> copying --finish--> finishing --confirm--> done
//   target:  waiting --hello--> filling --final--> arrived
// A link that is lost before `arrived` ends the incoming copy; after it, what follows is asked for over another.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "core/event.h"
#include "core/time.h"
#include "core/units.h"

namespace supercloud::transfer {

inline constexpr std::uint8_t protocol_version = 1;
inline constexpr std::size_t text_bytes_max = 1024;
inline constexpr Duration post_copy_patience = absl::Seconds(10);  // without a stream
inline constexpr std::size_t pages_per_frame_max = 65536;
inline constexpr std::size_t page_count_max = 1 << 24;
inline constexpr std::size_t device_state_bytes_max = 64 << 10;

struct PageContent {
  std::uint32_t index = 0;
  std::uint64_t content = 0;
  friend bool operator==(const PageContent&, const PageContent&) = default;
};

struct Hello {
  bool again = false;
  Epoch epoch = 0;
  std::string vm;
  EventId migration;
  std::uint32_t page_count = 0;
  std::uint64_t page_bytes = 0;
  friend bool operator==(const Hello&, const Hello&) = default;
};
struct Accept {
  friend bool operator==(const Accept&, const Accept&) = default;
};
struct Refuse {
  std::string why;
  friend bool operator==(const Refuse&, const Refuse&) = default;
};
struct Pages {
  std::uint32_t pass = 0;
  std::vector<PageContent> pages;
  friend bool operator==(const Pages&, const Pages&) = default;
};
struct PassEnd {
  std::uint32_t pass = 0;
  friend bool operator==(const PassEnd&, const PassEnd&) = default;
};
struct Final {
  std::string state;
  friend bool operator==(const Final&, const Final&) = default;
};
struct Confirm {
  friend bool operator==(const Confirm&, const Confirm&) = default;
};
struct Probe {
  friend bool operator==(const Probe&, const Probe&) = default;
};
struct Probed {
  friend bool operator==(const Probed&, const Probed&) = default;
};

struct Rest {
  std::vector<std::uint32_t> pages;
  friend bool operator==(const Rest&, const Rest&) = default;
};
struct Want {
  std::uint32_t index = 0;
  friend bool operator==(const Want&, const Want&) = default;
};
struct Whole {
  friend bool operator==(const Whole&, const Whole&) = default;
};

using Frame = std::variant<Hello, Accept, Refuse, Pages, PassEnd, Final, Confirm, Probe, Probed,
                           Rest, Want, Whole>;

// Limits are the caller's to keep: a frame beyond them is a bug. Texts of people (why) are cut.
std::string encode(const Frame& frame);
// InvalidArgument names the field at fault. What it accepts, encode() turns into the same bytes.
absl::StatusOr<Frame> decode(std::string_view bytes);

}  // namespace supercloud::transfer
