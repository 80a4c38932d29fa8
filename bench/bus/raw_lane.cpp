// The floor: PUB and SUB, and PUSH and PULL for the answers. Nothing is numbered, checked or remembered.
#include "bench/bus/raw_lane.h"

#include <unistd.h>
#include <zmq.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/measure/child.h"
#include "cli/measure/temporary_folder.h"

namespace supercloud {
namespace {

constexpr std::string_view topic = "vm.failed.main.web1.";
constexpr char filling = '.', closing = '!';
constexpr int patience_ms = 10'000, soon_ms = 100;
constexpr std::size_t keys_bytes = 41;  // of a key as text, with its end

struct Keys {
  std::array<char, keys_bytes> open{}, secret{};
};

class Socket {
 public:
  Socket(void* context, int type, const Keys* keys, const std::string& server)
      : socket_(zmq_socket(context, type)) {
    const int none = 0, yes = 1;
    zmq_setsockopt(socket_, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(socket_, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt(socket_, ZMQ_LINGER, &none, sizeof none);
    if (type == ZMQ_SUB) zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, topic.data(), topic.size());
    if (keys == nullptr) return;
    if (server.empty()) {
      zmq_setsockopt(socket_, ZMQ_CURVE_SERVER, &yes, sizeof yes);
    } else {
      zmq_setsockopt(socket_, ZMQ_CURVE_SERVERKEY, server.data(), server.size());
      zmq_setsockopt(socket_, ZMQ_CURVE_PUBLICKEY, keys->open.data(), keys_bytes - 1);
    }
    zmq_setsockopt(socket_, ZMQ_CURVE_SECRETKEY, keys->secret.data(), keys_bytes - 1);
  }
  ~Socket() { zmq_close(socket_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  std::string bind(const std::string& endpoint) {
    if (zmq_bind(socket_, endpoint.c_str()) != 0) return "";
    std::array<char, 256> name{};
    std::size_t size = name.size();
    zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, name.data(), &size);
    return name.data();
  }
  void connect(const std::string& endpoint) { zmq_connect(socket_, endpoint.c_str()); }
  void wait_at_most(int milliseconds) {
    zmq_setsockopt(socket_, ZMQ_RCVTIMEO, &milliseconds, sizeof milliseconds);
  }
  bool send(std::string_view bytes, int flags = 0) {
    return zmq_send(socket_, bytes.data(), bytes.size(), flags) >= 0;
  }
  bool receive(std::string& bytes) {
    bytes.resize(8192);
    const int size = zmq_recv(socket_, bytes.data(), bytes.size(), 0);
    bytes.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return size >= 0;
  }

 private:
  void* socket_;
};

void subscribe(const Keys* keys, const std::string& server, const std::string& publisher,
               const std::string& answers) {
  void* context = zmq_ctx_new();
  Socket in(context, ZMQ_SUB, keys, server), out(context, ZMQ_PUSH, keys, server);
  in.connect(publisher);
  out.connect(answers);
  std::string frame;
  for (std::uint64_t count = 0;;) {
    if (!in.receive(frame) || !in.receive(frame)) continue;
    ++count;
    if (frame[0] != closing) continue;
    out.send({reinterpret_cast<const char*>(&count), sizeof count});
    count = 0;
  }
}

class RawLane final : public Lane {
 public:
  explicit RawLane(const LaneShape& shape)
      : shape_(shape), body_(shape.bytes - topic.size(), filling) {
    zmq_curve_keypair(keys_.open.data(), keys_.secret.data());
    const Keys* keys = shape.curve ? &keys_ : nullptr;
    for (int i = 0; i < shape.subscribers; ++i)
      far_.push_back(std::make_unique<Child>([&](const std::function<std::string()>& line) {
        const std::string server = line(), publisher = line();
        subscribe(keys, server, publisher, line());
      }));
  }
  ~RawLane() override {
    far_.clear();
    out_.reset();
    in_.reset();
    if (context_ != nullptr) zmq_ctx_term(context_);
  }

  absl::Status open() override {
    context_ = zmq_ctx_new();
    const Keys* keys = shape_.curve ? &keys_ : nullptr;
    out_ = std::make_unique<Socket>(context_, ZMQ_PUB, keys, "");
    in_ = std::make_unique<Socket>(context_, ZMQ_PULL, keys, "");
    const auto at = [&](const char* what) {
      return shape_.curve ? "tcp://127.0.0.1:*"
                          : absl::StrCat("ipc://", folder_.path().string(), "/", what);
    };
    const std::string publisher = out_->bind(at("pub")), answers = in_->bind(at("pull"));
    for (const auto& child : far_)
      child->tell(
          absl::StrCat(shape_.curve ? keys_.open.data() : "", "\n", publisher, "\n", answers));
    // Until all have subscribed: the first bursts reach some, and not whole.
    for (int i = 0; i < 100; ++i) {
      if (send(1, soon_ms).ok()) return absl::OkStatus();
      in_->wait_at_most(soon_ms);
      std::string late;
      while (in_->receive(late)) {
      }
    }
    return absl::DeadlineExceededError(
        "the subscribers of bare sockets were not there within 10 s");
  }

  absl::StatusOr<Burst> send(int messages) override { return send(messages, patience_ms); }

 private:
  absl::StatusOr<Burst> send(int messages, int patience) {
    in_->wait_at_most(patience);
    Burst burst;
    for (const auto& child : far_) burst.subscribers_cpu_seconds -= child->cpu_seconds();
    burst.publisher_cpu_seconds = -own_cpu_seconds();
    const absl::Time start = absl::Now();
    for (int i = 0; i < messages; ++i) {
      body_[0] = i + 1 < messages ? filling : closing;
      out_->send(topic, ZMQ_SNDMORE);
      out_->send(body_);
    }
    std::string answer;
    for (std::size_t i = 0; i < far_.size(); ++i) {
      if (!in_->receive(answer)) return absl::DeadlineExceededError("bare sockets: no answer");
      std::uint64_t count = 0;
      std::memcpy(&count, answer.data(), sizeof count);
      if (count != static_cast<std::uint64_t>(messages))
        return absl::DataLossError(absl::StrCat("bare sockets: ", count, " of ", messages));
    }
    burst.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    burst.publisher_cpu_seconds += own_cpu_seconds();
    for (const auto& child : far_) burst.subscribers_cpu_seconds += child->cpu_seconds();
    return burst;
  }

  const LaneShape shape_;
  Keys keys_;
  std::string body_;
  std::vector<std::unique_ptr<Child>> far_;
  const TemporaryFolder folder_;
  void* context_ = nullptr;
  std::unique_ptr<Socket> out_, in_;
};

}  // namespace

std::unique_ptr<Lane> raw_lane(const LaneShape& shape) { return std::make_unique<RawLane>(shape); }

}  // namespace supercloud
