// The target's side of a transfer: who may send, and its stream for QEMU.
#include <sys/random.h>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"
#include "hypercall/qemu/state.h"

namespace supercloud {
namespace {

using qemu_handshake::Frame;
using Kind = qemu_handshake::Hello::Kind;
using Memory = GuestStatus::Memory;

constexpr std::size_t links_max = 64;
constexpr Duration receiver_farewell = absl::Milliseconds(100);
// What follows, at the least, or is taken for lost.
constexpr std::uint64_t rest_grows_by = 64 << 10;
constexpr Duration rest_stalled_max = absl::Seconds(10);
constexpr Duration rest_look_every = absl::Seconds(1);

std::string new_token() {
  std::string token(qemu_handshake::token_bytes, '\0');
  while (::getrandom(token.data(), token.size(), 0) != static_cast<ssize_t>(token.size())) {
  }
  return token;
}

}  // namespace

absl::Status QemuHypervisor::State::listen() {
  auto opened = StreamListener::open(
      loop, options.streams,
      [this](const std::string& token, OwnFd stream) { stream_came(token, std::move(stream)); });
  if (!opened.ok()) return opened.status();
  listener = *std::move(opened);
  return network.listen(
      qemu_handshake::service, guarded([this](std::unique_ptr<Link> link) {
        if (links.size() >= links_max) return;
        const std::uint64_t id = ++last_link;
        const std::shared_ptr<Link> shared = std::move(link);
        links[id] = shared;
        loop.at(loop.clock().now() + qemu_handshake::hello_max,
                guarded([this, id] { links.erase(id); }));
        Link::Handler handler;
        handler.on_frame =
            guarded([this, id, alike = std::weak_ptr(shared)](const std::string& bytes) {
              const auto found = links.find(id);
              if (found == links.end()) return source_said(alike, bytes);
              const std::shared_ptr<Link> from = found->second;
              loop.post(guarded([this, id] { links.erase(id); }));  // not inside its own call
              greeted(from, bytes);
            });
        handler.on_closed = guarded([this, id](const absl::Status&) {
          loop.post(guarded([this, id] { links.erase(id); }));
        });
        shared->set_handler(std::move(handler));
      }));
}

void QemuHypervisor::State::expect_stream(
    const std::string& vm, absl::AnyInvocable<void(const absl::Status& status) &&> then) {
  const auto on = [](const char* name) { return QmpValue{{"capability", name}, {"state", true}}; };
  // No switchover-ack: what never comes is what keeps the source from stopping its guest by itself.
  Guest& guest = guests.at(vm);
  QemuCopy& copy = *guest.copy;
  auto capabilities = QmpValue::array({on("events"), on("return-path"), on("late-block-activate")});
  guest.post_copy = copy.record().post_copy && !guest.no_post_copy;
  if (guest.post_copy) capabilities.push_back(on("postcopy-ram"));
  copy.ask("migrate-set-capabilities", {{"capabilities", capabilities}},
           guarded([this, vm, &copy,
                    then = std::move(then)](const absl::StatusOr<QmpValue>& done) mutable {
             const auto found = guests.find(vm);
             if (found == guests.end())
               return std::move(then)(absl::UnavailableError(absl::StrCat(vm, " has ended")));
             Guest& set = found->second;
             // Without userfaultfd it is brought by pre-copy alone.
             if (absl::IsUnknown(done.status()) && set.post_copy) {
               ABSL_RAW_LOG(WARNING, "%s cannot be brought here by post-copy: %s", vm.c_str(),
                            std::string(done.status().message()).c_str());
               set.no_post_copy = true;
               return expect_stream(vm, std::move(then));
             }
             if (!done.ok()) return std::move(then)(done.status());
             set_tls(copy, options.tls, QemuTlsEnd::target, "", std::move(then));
           }));
}

// Of a copy that an earlier daemon prepared, perhaps not to the end: it is filled already, or is made ready for it. Else it is asked
// again when QEMU is reached.
void QemuHypervisor::State::find_stream(const std::string& vm) {
  guests.at(vm).stream = Guest::Stream::unknown;
  const QemuCopy* copy = guests.at(vm).copy.get();
  const auto here = [this, vm, copy] {
    Guest* guest = find(vm);
    return guest != nullptr && guest->copy.get() == copy ? guest : nullptr;
  };
  guests.at(vm).copy->ask("query-migrate", QmpValue::object(),
                          guarded([this, vm, here](const absl::StatusOr<QmpValue>& value) {
                            Guest* guest = here();
                            if (guest == nullptr || !value.ok()) return;
                            const std::string status = qmp_text(*value, "status");
                            if (!status.empty() && status != "none") {
                              guest->stream = Guest::Stream::coming;
                              return brought(vm, status);
                            }
                            expect_stream(vm, guarded([here](const absl::Status& ready) {
                                            if (Guest* empty = here();
                                                empty != nullptr && ready.ok())
                                              empty->stream = Guest::Stream::none;
                                          }));
                          }));
}

void QemuHypervisor::State::greeted(const std::shared_ptr<Link>& link, const std::string& bytes) {
  const auto frame = qemu_handshake::decode(bytes);
  if (const auto* probe = frame.ok() ? std::get_if<qemu_handshake::Probe>(&*frame) : nullptr) {
    auto offered = ways.offer(*probe, address_of_streams(), new_token());
    return say_last(link,
                    offered.ok()
                        ? Frame(*std::move(offered))
                        : Frame(qemu_handshake::Refuse{std::string(offered.status().message())}));
  }
  const auto* hello = frame.ok() ? std::get_if<qemu_handshake::Hello>(&*frame) : nullptr;
  if (hello == nullptr)
    return say_last(link,
                    qemu_handshake::Refuse{frame.ok() ? "it did not begin with hello, ask or probe"
                                                      : std::string(frame.status().message())});
  const auto said = answer(*hello);
  if (!said.ok())
    return say_last(link, qemu_handshake::Refuse{std::string(said.status().message())});
  // Also of what is not here, or was brought otherwise: who asks for that is no source of any guest.
  if (std::holds_alternative<qemu_handshake::Lost>(*said)) return say_last(link, *said);
  guests.at(hello->vm).source = link;
  // An ask is accepted without a word: the end will be told.
  const bool accepted = std::holds_alternative<qemu_handshake::Accept>(*said);
  if (hello->kind != Kind::ask || !accepted) link->send(encode(*said));
}

// ---- the rest of its memory, after a post-copy -------------------------------------------------------------------------

// By QEMU: how far it is with the copy that it fills.
void QemuHypervisor::State::brought(const std::string& vm, const std::string& status) {
  Guest& guest = guests.at(vm);
  QemuCopy& copy = *guest.copy;
  if (copy.record().own && !copy.record().rest) return;
  if (status == "postcopy-active" && copy.memory() != Memory::lost) {
    guest.stream = Guest::Stream::coming;
    copy.set_memory(Memory::following);
    guest.rest.grew = loop.clock().now();
    watch_rest(vm);
  } else if (status == "postcopy-paused") {
    guest.stream = Guest::Stream::none;
    wait_for_rest(vm, "the stream of its memory was lost");
  } else if (status == "completed" && copy.memory() != Memory::lost) {
    const bool by_parts = copy.memory() != Memory::whole;
    copy.set_memory(Memory::whole);
    if (by_parts) tell_source(guest, qemu_handshake::Whole{});
  }
}

// QEMU does not tell how much is missing; what comes makes its process grow. Where that stands still the way, or the source, may be gone
// with nobody to say so. Frozen, it takes nothing.
void QemuHypervisor::State::watch_rest(const std::string& vm) {
  Guest* guest = find(vm);
  if (guest == nullptr || guest->copy->memory() != Memory::following) return;
  const Instant now = loop.clock().now();
  const std::uint64_t bytes = anonymous_bytes(guest->copy->process());
  Guest::Rest& rest = guest->rest;
  const bool grew = bytes >= rest.bytes + rest_grows_by;
  if (grew || bytes < rest.bytes) rest.bytes = bytes;
  if (grew || bytes == 0 || guest->copy->frozen()) rest.grew = now;
  if (now - rest.grew > rest_stalled_max) {
    rest.grew = now;
    guest->copy->ask("migrate-pause", QmpValue::object(), [](const absl::StatusOr<QmpValue>&) {});
  }
  loop.cancel(rest.timer);
  rest.timer = loop.at(now + rest_look_every, guarded([this, vm] { watch_rest(vm); }));
}

void QemuHypervisor::State::wait_for_rest(const std::string& vm, const std::string& why) {
  Guest& guest = guests.at(vm);
  if (guest.copy->memory() == Memory::waiting || guest.copy->memory() == Memory::lost) return;
  if (!guest.source_lost.empty()) return guest.copy->set_memory(Memory::lost, guest.source_lost);
  guest.copy->set_memory(Memory::waiting, why);
  give_up_rest(vm, ++guest.waiting);
}

// QEMU is asked before: who was not here when it said that all has come did not hear it. Frozen, or silent, it does not wait.
void QemuHypervisor::State::give_up_rest(const std::string& vm, std::uint64_t waiting) {
  const auto waits = [this, vm, waiting] {
    Guest* guest = find(vm);
    const bool still =
        guest != nullptr && guest->waiting == waiting && guest->copy->memory() == Memory::waiting;
    return still ? guest : nullptr;
  };
  const auto told = [this, vm, waiting, waits](const absl::StatusOr<QmpValue>& value) {
    if (waits() == nullptr) return;
    if (!value.ok()) return give_up_rest(vm, waiting);
    brought(vm, qmp_text(*value, "status"));
    if (Guest* guest = waits(); guest != nullptr)
      guest->copy->set_memory(Memory::lost,
                              absl::StrCat("no other stream of its memory came within ",
                                           absl::FormatDuration(options.post_copy_patience)));
  };
  loop.at(loop.clock().now() + options.post_copy_patience,
          guarded([this, vm, waiting, waits, told] {
            Guest* guest = waits();
            if (guest == nullptr) return;
            if (guest->copy->frozen()) return give_up_rest(vm, waiting);
            guest->copy->ask("query-migrate", QmpValue::object(), guarded(told));
          }));
}

// After its hello: that its copy is gone, and with it what has not come. As long as the stream goes on, it may say what it likes.
void QemuHypervisor::State::source_said(const std::weak_ptr<Link>& link, const std::string& bytes) {
  const auto frame = qemu_handshake::decode(bytes);
  const auto* lost = frame.ok() ? std::get_if<qemu_handshake::Lost>(&*frame) : nullptr;
  const auto from = link.lock();
  if (lost == nullptr || from == nullptr) return;
  for (auto& [vm, guest] : guests) {
    if (guest.source != from) continue;
    guest.source_lost = absl::StrCat("its source is lost: ", lost->why);
    if (guest.copy->memory() == Memory::waiting)
      guest.copy->set_memory(Memory::lost, guest.source_lost);
  }
}

absl::StatusOr<Frame> QemuHypervisor::State::answer_again(const qemu_handshake::Hello& hello) {
  Guest* guest = find(hello.vm);
  const QemuRecord* record = guest == nullptr ? nullptr : &guest->copy->record();
  if (record == nullptr || (record->own ? record->brought : record->migration) != hello.migration)
    return qemu_handshake::Lost{absl::StrCat(
        "no copy of ", hello.vm, " was brought here by migration ", hello.migration.to_string())};
  const Memory memory = guest->copy->memory();
  // It takes nothing now, and has lost nothing.
  if (guest->copy->frozen() && (memory == Memory::waiting || memory == Memory::following))
    return qemu_handshake::Arrived{};
  switch (memory) {
    case Memory::whole:
      return qemu_handshake::Whole{};
    case Memory::unknown:
      break;
    case Memory::waiting:
      if (guest->stream == Guest::Stream::none) return accept(hello.vm, *guest);
      break;
    case Memory::following:
      // It has not seen yet that its stream is lost.
      guest->copy->ask("migrate-pause", QmpValue::object(), [](const absl::StatusOr<QmpValue>&) {});
      break;
    default:
      return qemu_handshake::Lost{"its memory was given up"};
  }
  return absl::UnavailableError(
      absl::StrCat(hello.vm, " is not ready for another stream; try again"));
}

// The link is kept for a moment: what was sent goes out before it closes.
void QemuHypervisor::State::say_last(const std::shared_ptr<Link>& link, const Frame& frame) {
  link->send(encode(frame));
  const std::uint64_t id = ++last_link;
  links[id] = link;
  loop.at(loop.clock().now() + receiver_farewell, guarded([this, id] { links.erase(id); }));
}

const std::string& QemuHypervisor::State::address_of_streams() const {
  return options.streams_reached_at.empty() ? listener->endpoint() : options.streams_reached_at;
}

Frame QemuHypervisor::State::accept(const std::string& vm, Guest& guest) {
  guest.token = new_token();
  guest.source_lost.clear();
  loop.at(loop.clock().now() + qemu_handshake::token_max, guarded([this, vm, token = guest.token] {
            Guest* late = find(vm);
            if (late != nullptr && late->token == token) late->token.clear();
          }));
  return qemu_handshake::Accept{address_of_streams(), guest.token, guest.post_copy};
}

absl::StatusOr<Frame> QemuHypervisor::State::answer(const qemu_handshake::Hello& hello) {
  if (hello.kind == Kind::again) return answer_again(hello);
  Guest* guest = find(hello.vm);
  // After a post-copy, the source goes on to ask.
  if (hello.kind == Kind::ask && guest != nullptr && guest->copy->record().own &&
      guest->copy->record().brought == hello.migration) {
    if (guest->copy->memory() == Memory::whole) return qemu_handshake::Whole{};
    return qemu_handshake::Arrived{};
  }
  if (guest == nullptr || guest->copy->record().own ||
      guest->copy->record().migration != hello.migration ||
      guest->copy->record().epoch != hello.epoch) {
    return absl::FailedPreconditionError(
        absl::StrCat("no copy of ", hello.vm, " is prepared here for migration ",
                     hello.migration.to_string(), " at epoch ", hello.epoch));
  }
  if (guest->copy->arrived()) return qemu_handshake::Arrived{};
  if (hello.kind == Kind::ask) return qemu_handshake::Accept{};  // not sent
  if (hello.tls != options.tls.used())
    return absl::FailedPreconditionError(
        absl::StrCat("memory comes here ", hello.tls ? "without" : "only with",
                     " TLS; write [host.qemu.tls] in the files of both nodes, or in neither"));
  if (guest->stream == Guest::Stream::unknown)
    return absl::UnavailableError(absl::StrCat("whether a stream fills the copy of ", hello.vm,
                                               " already is not known yet; try again"));
  if (guest->stream == Guest::Stream::coming)
    return absl::AlreadyExistsError(absl::StrCat("another stream fills the copy of ", hello.vm));
  return accept(hello.vm, *guest);
}

void QemuHypervisor::State::stream_came(const std::string& token, OwnFd stream) {
  if (ways.take(token, stream)) return;
  for (auto& [vm, guest] : guests) {
    if (guest.token.empty() || guest.token != token) continue;
    guest.token.clear();
    guest.stream = Guest::Stream::coming;
    const char* const begin =
        guest.copy->memory() == Memory::waiting ? "migrate-recover" : "migrate-incoming";
    const QemuCopy* copy = guest.copy.get();
    auto kept = std::make_shared<OwnFd>(std::move(stream));
    // The source sees the end of its stream, if nobody has it any more; another may come.
    const auto lost = [this, to = vm, copy] {
      Guest* empty = find(to);
      if (empty == nullptr || empty->copy.get() != copy) return;
      empty->copy->ask("closefd", {{"fdname", "incoming"}}, [](const absl::StatusOr<QmpValue>&) {});
      empty->stream = Guest::Stream::unknown;
      find_stream(to);
    };
    guest.copy->ask(
        "getfd", {{"fdname", "incoming"}},
        guarded([this, to = vm, copy, begin, kept, lost](const absl::StatusOr<QmpValue>& got) {
          Guest* filled = find(to);
          if (!got.ok() || filled == nullptr || filled->copy.get() != copy) return lost();
          filled->copy->ask(begin, {{"uri", "fd:incoming"}},
                            guarded([lost](const absl::StatusOr<QmpValue>& begun) {
                              if (!begun.ok()) lost();
                            }));
        }),
        far_future, kept->get());
    return;
  }
}

void QemuHypervisor::State::tell_source(Guest& guest, const Frame& frame) {
  if (guest.source != nullptr) guest.source->send(encode(frame));
}

}  // namespace supercloud
