#include "actors/policy/plugin/process_policy.h"

#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/zmq_socket.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr int sockets_of_a_policy = 4;
constexpr std::size_t last_words_told = 300;

// In Linux's abstract namespace: there is no file that a killed node would leave.
std::string fresh_endpoint() {
  static std::atomic<std::uint64_t> count = 0;
  return absl::StrCat("ipc://@supercloud-policy-", ::getpid(), "-", ++count);
}

}  // namespace

ProcessPolicy::ProcessPolicy(EventLoop& loop, ProcessPolicyOptions options)
    : loop_(loop), options_(std::move(options)), restart_at_(loop.clock().now()) {
  start();
}

ProcessPolicy::~ProcessPolicy() {
  loop_.cancel(timer_);
  if (asked_) loop_.cancel(asked_->timer);
  for (const Question& question : waiting_) loop_.cancel(question.timer);
}

void ProcessPolicy::on_greeting(Greeted greeted) {
  if (!peer_.empty()) return greeted(greeting_);
  if (!child_) return greeted(down_);
  greeted_ = std::move(greeted);
}

// ---- its process -----------------------------------------------------------------------------------------------------

absl::Status ProcessPolicy::open_socket() {
  if (socket_) return absl::OkStatus();
  auto made = ZmqSocket::make(std::make_shared<ZmqContext>(sockets_of_a_policy), ZMQ_ROUTER,
                              {.same_user_only = true}, loop_,
                              [this](ZmqSocket::Frames frames) { hear(frames); });
  if (!made.ok()) return made.status();
  endpoint_ = fresh_endpoint();
  if (absl::Status bound = (*made)->bind(endpoint_); !bound.ok()) return bound;
  socket_ = *std::move(made);
  socket_->start();
  return absl::OkStatus();
}

void ProcessPolicy::start() {
  timer_ = 0;
  peer_.clear();
  kill_reason_.clear();
  silences_ = 0;
  unanswered_.clear();
  nonsense_.clear();
  if (absl::Status open = open_socket(); !open.ok()) return pause_after(std::move(open));
  ChildCommand command = options_.command;
  command.arguments.push_back(endpoint_);
  command.environment.emplace_back("SUPERCLOUD_POLICY_ENDPOINT", endpoint_);
  auto child = ChildProcess::start(loop_, command, [this](const std::string& how) { ended(how); });
  if (!child.ok()) return pause_after(child.status());
  child_ = *std::move(child);
  timer_ = loop_.at(loop_.clock().now() + options_.start_deadline, [this] {
    timer_ = 0;
    kill_because(
        absl::StrCat("it said no hello within ", absl::FormatDuration(options_.start_deadline)));
  });
}

bool ProcessPolicy::starting() const {
  const bool ready = !peer_.empty() && kill_reason_.empty();
  return !ready && (child_ || restart_at_ != far_future);
}

void ProcessPolicy::kill_because(std::string why) {
  if (!child_ || !kill_reason_.empty()) return;
  kill_reason_ = std::move(why);
  child_->kill();
}

void ProcessPolicy::ended(const std::string& how) {
  const std::string said = printable(child_->last_words(), ChildProcess::last_words_bytes);
  const bool greeted = !peer_.empty();
  child_.reset();
  peer_.clear();
  std::string why =
      kill_reason_.empty()
          ? absl::StrCat(options_.file, " ended with ", how, greeted ? "" : ", before its hello")
          : absl::StrCat(options_.file, " was killed: ", kill_reason_);
  if (!said.empty())
    absl::StrAppend(
        &why, "; it wrote last: ",
        said.size() > last_words_told ? said.substr(said.size() - last_words_told) : said);
  pause_after(absl::UnavailableError(why));
}

void ProcessPolicy::pause_after(absl::Status why) {
  loop_.cancel(timer_);
  down_ = std::move(why);
  const Duration pause =
      std::min(options_.pause_min * (1 << std::min(failures_++, 20)), options_.pause_max);
  if (failures_ == options_.failures_max) {
    down_ = absl::Status(down_.code(), absl::StrCat(down_.message(), "; it failed ", failures_,
                                                    " times in a row and is not started again"));
    restart_at_ = far_future;
  } else {
    restart_at_ = loop_.clock().now() + pause;
    timer_ = loop_.at(restart_at_, [this] { start(); });
  }
  if (greeted_) std::exchange(greeted_, nullptr)(down_);
  if (auto asked = std::exchange(asked_, std::nullopt)) answer(*std::move(asked), down_);
  // Who can wait for the next process does.
  std::deque<Question> waiting;
  std::swap(waiting, waiting_);
  for (Question& question : waiting) {
    if (question.deadline > restart_at_)
      waiting_.push_back(std::move(question));
    else
      answer(std::move(question), down_);
  }
}

// ---- questions and answers -------------------------------------------------------------------------------------------

void ProcessPolicy::decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) {
  const Instant now = loop_.clock().now();
  if (waiting_.size() >= options_.waiting_max)
    return reply(absl::ResourceExhaustedError(absl::StrCat(
        waiting_.size(), " questions wait for ", options_.file,
        " already: it is too slow for so many VMs, or has to share them with others")));
  const Instant deadline = std::min(reply.deadline(), now + options_.deadline);
  if (!child_ && restart_at_ == far_future) return reply(down_);
  if (!child_ && restart_at_ >= deadline)
    return reply(absl::Status(
        down_.code(),
        absl::StrCat(down_.message(), "; it is started again in ",
                     absl::FormatDuration(absl::Trunc(restart_at_ - now, absl::Milliseconds(1))))));
  Question question{.id = ++last_id_,
                    .world = std::move(world),
                    .reply = std::move(reply),
                    .from = now,
                    .deadline = deadline};
  question.timer = loop_.at(deadline, [this, id = question.id] { expire(id); });
  waiting_.push_back(std::move(question));
  ask_next();
}

void ProcessPolicy::ask_next() {
  if (asked_ || peer_.empty() || waiting_.empty() || !kill_reason_.empty()) return;
  asked_ = std::move(waiting_.front());
  waiting_.pop_front();
  const std::string id = absl::StrCat(asked_->id), world = asked_->world.to_json();
  const std::string_view frames[] = {peer_, "decide", id, world};
  socket_->send(frames);  // what finds no room is a question without an answer
}

void ProcessPolicy::expire(std::uint64_t id) {
  const auto within = [](const Question& question) {
    return absl::FormatDuration(
        absl::Trunc(question.deadline - question.from, absl::Milliseconds(1)));
  };
  if (asked_ && asked_->id == id) {
    Question question = *std::exchange(asked_, std::nullopt);
    unanswered_.push_back(question.id);
    if (++silences_ >= options_.silences_max)
      kill_because(silences_ == 1 ? std::string("it left a question without an answer")
                                  : absl::StrCat("it left ", silences_,
                                                 " questions in a row without an answer"));
    const std::string why = absl::StrCat(
        options_.file, " did not answer within ", within(question),
        nonsense_.empty() ? "" : absl::StrCat("; what it said to an earlier one: ", nonsense_));
    answer(std::move(question), absl::DeadlineExceededError(why));
    return ask_next();
  }
  const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const Question& question) { return question.id == id; });
  if (found == waiting_.end()) return;
  Question question = std::move(*found);
  waiting_.erase(found);
  const std::string waited = within(question);
  if (!child_) return answer(std::move(question), down_);
  if (peer_.empty())
    return answer(std::move(question), absl::FailedPreconditionError(absl::StrCat(
                                           options_.file, " was still starting after ", waited)));
  answer(std::move(question), absl::DeadlineExceededError(absl::StrCat(
                                  options_.file, " was busy with others for ", waited)));
}

void ProcessPolicy::answer(Question question, absl::StatusOr<Message<schema::Decision>> decision) {
  loop_.cancel(question.timer);
  question.reply(std::move(decision));
}

void ProcessPolicy::hear(absl::Span<const std::string_view> frames) {
  if (!child_ || !kill_reason_.empty()) return;
  heard(frames[0], parse_policy_word(frames.subspan(1)));
}

void ProcessPolicy::heard(std::string_view identity, absl::StatusOr<PolicyWord> word) {
  if (peer_.empty()) {
    if (word.ok() && word->kind != PolicyWord::Kind::hello) return;  // of a process before this one
    if (!word.ok()) return kill_because(str(std_view(word.status().message())));
    peer_ = str(identity);
    loop_.cancel(std::exchange(timer_, 0));
    greeting_ = std::move(word->greeting);
    if (greeted_) std::exchange(greeted_, nullptr)(greeting_);
    return ask_next();
  }
  if (identity != peer_) return;
  if (word.ok() && word->kind == PolicyWord::Kind::hello) return;
  if (word.ok()) {
    // It answers one after another.
    while (!unanswered_.empty() && unanswered_.front() <= word->id) unanswered_.pop_front();
    if (!asked_ || word->id != asked_->id) return;  // late
  } else if (!unanswered_.empty()) {
    // It does not say to what: to the one that it owes for the longest time.
    unanswered_.pop_front();
    nonsense_ = str(std_view(word.status().message()));
    return;
  }
  if (!asked_) return;
  silences_ = 0;
  nonsense_.clear();
  Question question = *std::exchange(asked_, std::nullopt);
  absl::StatusOr<Message<schema::Decision>> decision =
      word.ok() ? std::move(word->decision)
                : absl::StatusOr<Message<schema::Decision>>(word.status());
  if (decision.ok()) {
    failures_ = 0;
  } else {
    decision = absl::Status(decision.status().code(),
                            absl::StrCat(options_.file, ": ", decision.status().message()));
  }
  answer(std::move(question), std::move(decision));
  ask_next();
}

}  // namespace supercloud
