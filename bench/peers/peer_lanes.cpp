#include "bench/peers/peer_lanes.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace supercloud {
namespace {

constexpr const char* messages_topic = "vm.failed.main.web1";
constexpr const char* answers_topic = "answers";
constexpr absl::Duration burst_patience = absl::Seconds(10), soon = absl::Milliseconds(100);
constexpr std::size_t peer_record_bytes = 256;

// A message begins with what it is and its number in the burst, from 1.
constexpr char one_of_many = '.', the_last = '!';
constexpr std::size_t number_at = 1;

void number(std::string& body, char kind, std::uint64_t number) {
  body[0] = kind;
  std::memcpy(body.data() + number_at, &number, sizeof number);
}

// A subscriber's account of a burst.
class Tally {
 public:
  // Whether it was the last of its burst.
  bool take(std::string_view body) {
    std::uint64_t number = 0;
    if (body.size() < number_at + sizeof number) return false;
    std::memcpy(&number, body.data() + number_at, sizeof number);
    ordered_ = ordered_ && number == ++count_;
    return body[0] == the_last;
  }
  // How many have come; 0: one was not in its place. Begins anew.
  std::uint64_t close() {
    const std::uint64_t count = std::exchange(count_, 0);
    return std::exchange(ordered_, true) ? count : 0;
  }

 private:
  std::uint64_t count_ = 0;
  bool ordered_ = true;
};

// The other process.
absl::Status answer_bursts(const Connect& connect, const std::string& address) {
  auto wire = connect(address, true);
  if (!wire.ok()) return wire.status();
  if (absl::Status subscribed = (*wire)->subscribe(messages_topic); !subscribed.ok())
    return subscribed;
  for (Tally tally;;) {
    const auto body = (*wire)->receive(absl::InfiniteDuration());
    if (!body.ok()) return body.status();
    if (!tally.take(*body)) continue;
    const std::uint64_t count = tally.close();
    absl::Status sent =
        (*wire)->publish(answers_topic, {reinterpret_cast<const char*>(&count), sizeof count});
    sent.Update((*wire)->flush());
    if (!sent.ok()) return sent;
  }
}

class PeerLane final : public Lane {
 public:
  PeerLane(const ServerProgram& program, const ServerPlan& plan, Connect connect,
           const LaneShape& shape, bool singly)
      : connect_(std::move(connect)),
        singly_(singly),
        body_(shape.bytes - std::string_view(messages_topic).size(), one_of_many),
        server_(program, plan) {
    for (int i = 0; i < shape.subscribers; ++i)
      far_.push_back(std::make_unique<Child>([this](const std::function<std::string()>& line) {
        const absl::Status ended = answer_bursts(connect_, line());
        std::cerr << absl::StrCat("a subscriber: ", ended.ToString(), "\n");
      }));
  }

  absl::Status open() override {
    std::string where;
    const absl::Status reached = server_.reach([&](const std::string& address) {
      auto wire = connect_(address, singly_);
      if (!wire.ok()) return wire.status();
      wire_ = *std::move(wire);
      where = address;
      return wire_->subscribe(answers_topic);
    });
    if (!reached.ok()) return reached;
    for (const auto& child : far_) child->tell(where);
    // Until all have subscribed: the first bursts reach some, and not whole.
    absl::Status sent;
    for (int i = 0; i < 100; ++i) {
      sent = send(1, soon).status();
      if (sent.ok() || absl::IsUnavailable(sent)) return sent;
      while (wire_->receive(soon).ok()) {
      }
    }
    return absl::DeadlineExceededError("the subscribers were not there within 10 s");
  }

  absl::StatusOr<Burst> send(int messages) override { return send(messages, burst_patience); }

 private:
  absl::StatusOr<Burst> send(int messages, absl::Duration patience) {
    Burst burst;
    for (const auto& child : far_) burst.subscribers_cpu_seconds -= child->cpu_seconds();
    burst.server_cpu_seconds = -server_.cpu_seconds();
    burst.publisher_cpu_seconds = -own_cpu_seconds();
    const absl::Time start = absl::Now();
    for (int i = 1; i <= messages; ++i) {
      number(body_, i < messages ? one_of_many : the_last, static_cast<std::uint64_t>(i));
      if (absl::Status sent = wire_->publish(messages_topic, body_); !sent.ok()) return sent;
    }
    if (absl::Status sent = wire_->flush(); !sent.ok()) return sent;
    for (std::size_t i = 0; i < far_.size(); ++i) {
      const auto answer = wire_->receive(patience);
      if (!answer.ok()) return answer.status();
      std::uint64_t count = 0;
      std::memcpy(&count, answer->data(), std::min(answer->size(), sizeof count));
      if (count != static_cast<std::uint64_t>(messages))
        return absl::DataLossError(
            absl::StrCat(count, " of ", messages, " (0: not in their order)"));
    }
    burst.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    burst.publisher_cpu_seconds += own_cpu_seconds();
    burst.server_cpu_seconds += server_.cpu_seconds();
    for (const auto& child : far_) burst.subscribers_cpu_seconds += child->cpu_seconds();
    return burst;
  }

  const Connect connect_;
  const bool singly_;
  std::string body_;
  const PeerServer server_;
  std::vector<std::unique_ptr<Child>> far_;
  std::unique_ptr<PeerWire> wire_;
};

class PeerDiskLane final : public DiskLane {
 public:
  PeerDiskLane(const ServerProgram& program, const ServerPlan& plan, OpenStore open)
      : open_(std::move(open)), server_(program, plan) {}

  absl::StatusOr<double> store(int together) override {
    if (store_ == nullptr)
      if (absl::Status opened = open(); !opened.ok()) return opened;
    std::vector<std::string> records(static_cast<std::size_t>(together),
                                     std::string(peer_record_bytes, 'r'));
    for (std::string& record : records) number(record, one_of_many, ++stored_);
    const absl::Time start = absl::Now();
    if (absl::Status put = store_->put(records); !put.ok()) return put;
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
    const auto kept = store_->get(records.size());
    if (!kept.ok()) return kept.status();
    if (*kept != records)
      return absl::DataLossError(
          absl::StrCat("what was acknowledged is not there, or not in its order: ", kept->size(),
                       " of ", together));
    return seconds;
  }

 private:
  absl::Status open() {
    const absl::Status reached = server_.reach([&](const std::string& address) {
      auto store = open_(address);
      if (!store.ok()) return store.status();
      store_ = *std::move(store);
      return absl::OkStatus();
    });
    return reached.ok() ? store(1).status()
                        : reached;  // whatever the first one makes is there then
  }

  const OpenStore open_;
  const PeerServer server_;
  std::unique_ptr<PeerStore> store_;
  std::uint64_t stored_ = 0;
};

}  // namespace

std::unique_ptr<Lane> peer_lane(const ServerProgram& program, const ServerPlan& plan,
                                Connect connect, const LaneShape& shape, bool singly) {
  return std::make_unique<PeerLane>(program, plan, std::move(connect), shape, singly);
}

std::unique_ptr<DiskLane> peer_disk_lane(const ServerProgram& program, const ServerPlan& plan,
                                         OpenStore open) {
  return std::make_unique<PeerDiskLane>(program, plan, std::move(open));
}

}  // namespace supercloud
