#include "bus/calls.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/wire_format.h"
#include "core/text.h"
#include "core/utf8.h"

namespace supercloud {
namespace {

absl::Status not_open(std::uint64_t id) {
  return absl::NotFoundError(
      absl::StrCat("request ", id, " of this connection is answered, or never came"));
}

std::string_view cut(std::string_view what) {
  if (what.size() > progress_text_max) {
    std::size_t size = progress_text_max;
    while (size > 0 && (static_cast<unsigned char>(what[size]) & 0xc0U) == 0x80U) --size;
    what = what.substr(0, size);
  }
  return is_utf8(what) ? what : std::string_view();
}

}  // namespace

absl::Status nobody_waits_for(std::string_view actor) {
  return absl::CancelledError(
      absl::StrCat("who asked ", absl_view(actor), " does not wait any more"));
}

// ---- bytes ---------------------------------------------------------------------------------------------------------

std::string encode_cancel(std::uint64_t id) { return WireWriter().number(id).take(); }

std::string encode(const ProgressQuestion& question) {
  return WireWriter().number(question.id).number(question.heard).take();
}

std::string encode(const ProgressAnswer& answer) {
  const Progress& progress = answer.progress;
  return WireWriter()
      .number(answer.number)
      .number(progress.done)
      .number(progress.total)
      .string(cut(progress.what))
      .take();
}

absl::StatusOr<std::uint64_t> decode_cancel(std::string_view bytes) {
  WireParser parser(bytes);
  const std::uint64_t id = parser.number();
  if (absl::Status done = parser.done("wish to cancel"); !done.ok()) return done;
  return id;
}

absl::StatusOr<ProgressQuestion> decode_progress_question(std::string_view bytes) {
  WireParser parser(bytes);
  ProgressQuestion question;
  question.id = parser.number();
  question.heard = parser.number();
  if (absl::Status done = parser.done("question for progress"); !done.ok()) return done;
  return question;
}

absl::StatusOr<ProgressAnswer> decode_progress_answer(std::string_view bytes) {
  WireParser parser(bytes);
  ProgressAnswer answer;
  answer.number = parser.number();
  answer.progress.done = parser.number();
  answer.progress.total = parser.number();
  answer.progress.what = parser.string(progress_text_max);
  if (absl::Status done = parser.done("progress"); !done.ok()) return done;
  if (answer.number == 0) return absl::InvalidArgumentError("progress without a number");
  if (!is_utf8(answer.progress.what))
    return absl::InvalidArgumentError("progress in a text that is no UTF-8");
  return answer;
}

// ---- who is asked --------------------------------------------------------------------------------------------------

std::shared_ptr<Call> OpenCalls::open(const std::string& asker, std::uint64_t id) {
  const auto of_one = open_.find(asker);
  const std::size_t held = of_one == open_.end() ? 0 : of_one->second.size();
  if (size_ >= calls_max || held >= calls_of_one_max) forget_dropped();
  const auto left = open_.find(asker);
  if (size_ >= calls_max || (left != open_.end() && (left->second.size() >= calls_of_one_max ||
                                                     left->second.contains(id))))
    return nullptr;
  auto call = std::make_shared<Call>(
      [this, alive = std::weak_ptr<char>(alive_), asker, id](const Progress& progress) {
        if (!alive.expired()) told(asker, id, progress);
      });
  open_[asker][id].call = call;
  ++size_;
  return call;
}

void OpenCalls::close(const std::string& asker, std::uint64_t id) {
  take(asker, id).waiting(not_open(id));
}

void OpenCalls::serve(const std::string& asker, std::string_view actor, std::string_view bytes,
                      Reply<std::string> reply) {
  if (actor == cancel_actor) {
    const absl::StatusOr<std::uint64_t> id = decode_cancel(bytes);
    return id.ok() ? cancel(asker, *id, std::move(reply)) : reply(id.status());
  }
  const absl::StatusOr<ProgressQuestion> question = decode_progress_question(bytes);
  if (!question.ok()) return reply(question.status());
  ask(asker, *question, std::move(reply));
}

OpenCalls::Open* OpenCalls::find(const std::string& asker, std::uint64_t id) {
  const auto of_one = open_.find(asker);
  if (of_one == open_.end()) return nullptr;
  const auto found = of_one->second.find(id);
  return found == of_one->second.end() ? nullptr : &found->second;
}

// Empty: there is none.
OpenCalls::Open OpenCalls::take(const std::string& asker, std::uint64_t id) {
  const auto of_one = open_.find(asker);
  if (of_one == open_.end()) return {};
  auto taken = of_one->second.extract(id);
  if (of_one->second.empty()) open_.erase(of_one);
  if (taken.empty()) return {};
  --size_;
  return std::move(taken.mapped());
}

void OpenCalls::cancel(const std::string& asker, std::uint64_t id, Reply<std::string> reply) {
  Open cancelled = take(asker, id);
  const std::shared_ptr<Call> call = cancelled.call.lock();
  if (call == nullptr) {
    reply(not_open(id));
  } else {
    reply(std::string());
    call->cancel();
  }
  cancelled.waiting(not_open(id));
}

void OpenCalls::ask(const std::string& asker, const ProgressQuestion& question,
                    Reply<std::string> reply) {
  Open* open = find(asker, question.id);
  if (open == nullptr || open->call.expired()) return reply(not_open(question.id));
  if (open->newest.number > question.heard) return reply(encode(open->newest));
  Reply<std::string> before = std::exchange(open->waiting, std::move(reply));
  before(absl::AbortedError("asked again meanwhile, which is what is answered"));
}

void OpenCalls::told(const std::string& asker, std::uint64_t id, const Progress& progress) {
  Open* open = find(asker, id);
  if (open == nullptr) return;
  ++open->newest.number;
  open->newest.progress = {progress.done, progress.total, std::string(cut(progress.what))};
  std::exchange(open->waiting, {})(encode(open->newest));
}

void OpenCalls::forget_dropped() {
  for (auto of_one = open_.begin(); of_one != open_.end();) {
    for (auto& [id, open] : of_one->second)
      if (open.call.expired()) open.waiting(not_open(id));
    size_ -=
        std::erase_if(of_one->second, [](const auto& open) { return open.second.call.expired(); });
    of_one = of_one->second.empty() ? open_.erase(of_one) : std::next(of_one);
  }
}

// ---- who asks ------------------------------------------------------------------------------------------------------

CallWatcher::~CallWatcher() {
  for (const auto& [id, watch] : watches_) scheduler_.cancel(watch.timer);
}

void CallWatcher::watch(std::uint64_t id, const std::string& node,
                        const std::shared_ptr<Call>& call) {
  if (call == nullptr || !call->wants_progress()) return;
  watches_[id] = {node, call};
  arm(id);
}

void CallWatcher::end(std::uint64_t id) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  scheduler_.cancel(found->second.timer);
  watches_.erase(found);
}

void CallWatcher::arm(std::uint64_t id) {
  watches_.at(id).timer = scheduler_.at(scheduler_.clock().now() + interval, [this, id] {
    watches_.at(id).timer = 0;
    ask(id);
  });
}

void CallWatcher::ask(std::uint64_t id) {
  const Watch& watch = watches_.at(id);
  const std::string node = watch.node;
  ask_(node, encode(ProgressQuestion{id, watch.heard}),
       Reply<std::string>(scheduler_.clock().now() + patience,
                          [this, alive = std::weak_ptr<char>(alive_),
                           id](const absl::StatusOr<std::string>& bytes) {
                            if (!alive.expired()) answered(id, bytes);
                          }));
}

void CallWatcher::answered(std::uint64_t id, const absl::StatusOr<std::string>& bytes) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  if (absl::IsDeadlineExceeded(bytes.status())) return arm(id);
  const auto answer = bytes.ok() ? decode_progress_answer(*bytes) : bytes.status();
  // Whoever does not know the question, or of the request, says NotFound.
  if (!answer.ok()) return end(id);
  const bool newer = answer->number > found->second.heard;
  const std::shared_ptr<Call> call = found->second.call;
  if (newer) found->second.heard = answer->number;
  arm(id);
  if (newer) call->tell(answer->progress);
}

}  // namespace supercloud
