// A guest without an operating system, as a multiboot kernel of a few KiB that is up a moment after its machine: a hundred times a
// second it writes and checks some pages of its memory, and says so ten times a second on its serial port, and once at its start:
//
//   line = "tick " count " memory " ( "intact" | "broken" ) LF
//
// Each page of its working set holds its own number and how often it was written; a page found otherwise is broken, and for good.
//
// Its arguments may say otherwise: "ticks=N" and "pages=N" (written) a second, "set=N" pages to write, from 4 MiB on; with "beat=1" each
// tick is a byte on the second serial port: guest_beat (guest_bytes.h).
#include <stdint.h>

namespace {

constexpr uint32_t ticks_per_second_min = 19;  // what its clock can be set to
constexpr uint32_t page_bytes = 4096;
constexpr uint32_t words_per_page = page_bytes / sizeof(uint32_t);
constexpr uint32_t set_begin = 4U << 20U;

constexpr uint16_t console = 0x3f8;
constexpr uint16_t beats = 0x2f8;

// What a multiboot loader tells, as far as it is read here.
struct LoaderInfo {
  uint32_t flags;
  uint32_t unread[3];
  const char* arguments;  // the kernel's name first; there if bit 2 is set
};

struct Settings {
  uint32_t ticks_per_second = 100;
  uint32_t pages_per_second = 2000;
  uint32_t set_pages = 4096;
  uint32_t beat = 0;
};

struct [[gnu::packed]] Gate {
  uint16_t low;
  uint16_t segment;
  uint16_t kind;
  uint16_t high;
};
struct [[gnu::packed]] Table {
  uint16_t limit;
  uint32_t base;
};

constexpr uint16_t code_segment = 0x08;
alignas(8) const uint64_t segments[] = {0, 0x00cf9a000000ffffULL, 0x00cf92000000ffffULL};
alignas(8) Gate gates[0x30];

void out(uint16_t port, uint8_t value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

void say(const char* text) {
  while (*text != 0) out(console, static_cast<uint8_t>(*text++));
}

void say(uint32_t number) {
  char digits[11] = {};
  char* first = digits + 10;
  do {
    *--first = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  say(first);
}

// The number behind this word, at the beginning of an argument.
uint32_t number_of(const char* word, const char* arguments, uint32_t otherwise) {
  for (bool begins = false; *arguments != 0; begins = *arguments++ == ' ') {
    const char* at = arguments;
    const char* letter = word;
    while (begins && *letter != 0 && *at == *letter) {
      ++at;
      ++letter;
    }
    if (!begins || *letter != 0) continue;
    uint32_t number = 0;
    for (; *at >= '0' && *at <= '9'; ++at) number = number * 10 + static_cast<uint32_t>(*at - '0');
    return number;
  }
  return otherwise;
}

Settings settings_of(const LoaderInfo* info) {
  Settings settings;
  if ((info->flags & 4U) == 0) return settings;
  const char* told = info->arguments;
  settings.ticks_per_second = number_of("ticks=", told, settings.ticks_per_second);
  if (settings.ticks_per_second < ticks_per_second_min)
    settings.ticks_per_second = ticks_per_second_min;
  settings.pages_per_second = number_of("pages=", told, settings.pages_per_second);
  settings.set_pages = number_of("set=", told, settings.set_pages);
  settings.beat = number_of("beat=", told, settings.beat);
  return settings;
}

void load_segments() {
  const Table table{sizeof segments - 1, reinterpret_cast<uint32_t>(segments)};
  asm volatile(
      "lgdt %0\n\t"
      "ljmp $0x08, $1f\n"
      "1:\n\t"
      "movw $0x10, %%ax\n\t"
      "movw %%ax, %%ds\n\t"
      "movw %%ax, %%es\n\t"
      "movw %%ax, %%ss\n\t"
      :
      : "m"(table)
      : "eax", "memory");
}

}  // namespace

extern "C" void on_tick();
asm("on_tick:\n\t"
    "pushl %eax\n\t"
    "incl ticked\n\t"
    "movb $0x20, %al\n\t"
    "outb %al, $0x20\n\t"
    "popl %eax\n\t"
    "iret\n");
extern "C" {
volatile uint32_t ticked = 0;
}

namespace {

void start_controller(uint16_t port, uint8_t vectors, uint8_t other, uint8_t masked) {
  const auto data = static_cast<uint16_t>(port + 1);
  out(port, 0x11);
  out(data, vectors);
  out(data, other);
  out(data, 1);
  out(data, masked);
}

void start_clock(uint32_t ticks_per_second) {
  const auto handler = reinterpret_cast<uint32_t>(on_tick);
  gates[0x20] = {static_cast<uint16_t>(handler), code_segment, 0x8e00,
                 static_cast<uint16_t>(handler >> 16U)};
  const Table table{sizeof gates - 1, reinterpret_cast<uint32_t>(gates)};
  asm volatile("lidt %0" : : "m"(table) : "memory");
  // Both interrupt controllers: vectors from 0x20, all masked but the clock's.
  start_controller(0x20, 0x20, 4, 0xfe);
  start_controller(0xa0, 0x28, 2, 0xff);
  const uint32_t divisor = 1193182 / ticks_per_second;
  out(0x43, 0x34);
  out(0x40, divisor & 0xffU);
  out(0x40, divisor >> 8U);
}

// Whether the page was as it was left; then writes it.
bool check_and_write(uint32_t page, uint32_t round) {
  auto* words = reinterpret_cast<volatile uint32_t*>(set_begin + page * page_bytes);
  const bool intact = round == 0 || (words[0] == page + 1 && words[words_per_page - 1] == round);
  words[0] = page + 1;
  words[words_per_page - 1] = round + 1;
  return intact;
}

}  // namespace

extern "C" [[noreturn]] void guest_main(const LoaderInfo* info) {
  const Settings settings = settings_of(info);
  load_segments();
  start_clock(settings.ticks_per_second);
  uint32_t page = 0;
  uint32_t round = 0;
  uint32_t owed = 0;  // pages, times ticks per second
  bool intact = true;
  for (uint32_t done = 0;;) {
    if (done % (settings.ticks_per_second / 10) == 0) {
      say("tick ");
      say(done);
      say(intact ? " memory intact\n" : " memory broken\n");
    }
    while (done == ticked) asm volatile("sti\n\thlt\n\tcli" : : : "memory");
    ++done;
    if (settings.beat != 0) out(beats, static_cast<uint8_t>(intact ? 0x40U + done % 64 : '?'));
    for (owed += settings.pages_per_second; owed >= settings.ticks_per_second;
         owed -= settings.ticks_per_second) {
      intact = check_and_write(page, round) && intact;
      if (++page >= settings.set_pages) {
        page = 0;
        ++round;
      }
    }
  }
}

alignas(16) char guest_stack[8192];

asm(".section .multiboot, \"a\"\n\t"
    ".balign 4\n\t"
    ".long 0x1badb002, 0, -0x1badb002\n\t"
    ".text\n\t"
    ".globl guest_start\n"
    "guest_start:\n\t"
    "cli\n\t"
    "movl $guest_stack + 8192, %esp\n\t"
    "pushl %ebx\n\t"
    "call guest_main\n");
