#include "bench/peers/mosquitto_client.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace supercloud {
namespace {

constexpr absl::Duration mosquitto_patience = absl::Seconds(10);
constexpr int keep_alive_seconds = 65'535;  // the most: nobody pings while it is measured
constexpr int in_flight_max = 65'535;

}  // namespace

MosquittoClient::MosquittoClient(const std::string& name) {
  mosquitto_lib_init();
  client_.reset(mosquitto_new(name.empty() ? nullptr : name.c_str(), name.empty(), this));
  if (client_ == nullptr) return;
  mosquitto_int_option(client_.get(), MOSQ_OPT_SEND_MAXIMUM, in_flight_max);
  mosquitto_connect_callback_set(client_.get(), [](mosquitto*, void* self, int code) {
    static_cast<MosquittoClient*>(self)->connected_ = code == 0;
  });
  mosquitto_disconnect_callback_set(client_.get(), [](mosquitto*, void* self, int) {
    static_cast<MosquittoClient*>(self)->connected_ = false;
  });
  mosquitto_subscribe_callback_set(client_.get(), [](mosquitto*, void* self, int, int, const int*) {
    static_cast<MosquittoClient*>(self)->subscribed_ = true;
  });
  mosquitto_publish_callback_set(client_.get(), [](mosquitto*, void* self, int) {
    ++static_cast<MosquittoClient*>(self)->acknowledged;
  });
  mosquitto_message_callback_set(client_.get(), [](mosquitto*, void* self,
                                                   const mosquitto_message* message) {
    static_cast<MosquittoClient*>(self)->came.emplace_back(
        static_cast<const char*>(message->payload), static_cast<std::size_t>(message->payloadlen));
  });
}

MosquittoClient::~MosquittoClient() {
  client_.reset();
  mosquitto_lib_cleanup();
}

absl::Status MosquittoClient::connect(const std::string& address) {
  if (client_ == nullptr) return absl::ResourceExhaustedError("Mosquitto: no memory");
  constexpr int no_port = 0;  // the address is a path
  if (absl::Status called =
          said(mosquitto_connect(client_.get(), address.c_str(), no_port, keep_alive_seconds));
      !called.ok())
    return called;
  return until([this] { return connected_; }, mosquitto_patience);
}

absl::Status MosquittoClient::disconnect() {
  if (absl::Status left = flush(); !left.ok()) return left;
  if (absl::Status told = said(mosquitto_disconnect(client_.get())); !told.ok()) return told;
  // The library says so when its word has left.
  const absl::Status gone = until([this] { return !connected_; }, mosquitto_patience);
  return connected_ ? gone : absl::OkStatus();
}

absl::Status MosquittoClient::subscribe(const std::string& topic, int quality) {
  subscribed_ = false;
  if (absl::Status told = said(mosquitto_subscribe(client_.get(), nullptr, topic.c_str(), quality));
      !told.ok())
    return told;
  return until([this] { return subscribed_; }, mosquitto_patience);
}

absl::Status MosquittoClient::publish(const std::string& topic, std::string_view body,
                                      int quality) {
  return said(mosquitto_publish(client_.get(), nullptr, topic.c_str(),
                                static_cast<int>(body.size()), body.data(), quality, false));
}

absl::Status MosquittoClient::flush() {
  return until([this] { return !mosquitto_want_write(client_.get()); }, mosquitto_patience);
}

absl::Status MosquittoClient::until(const std::function<bool()>& reached, absl::Duration patience) {
  if (reached()) return absl::OkStatus();
  const absl::Time end = absl::Now() + patience;
  for (;;) {
    // What has come already is read without asking the system first whether anything has.
    if (absl::Status read = said(mosquitto_loop_read(client_.get(), 1)); !read.ok()) return read;
    if (reached()) return absl::OkStatus();
    const absl::Duration left = std::min(end - absl::Now(), mosquitto_patience);
    if (left <= absl::ZeroDuration()) return absl::DeadlineExceededError("Mosquitto: not in time");
    const int milliseconds = static_cast<int>(absl::ToInt64Milliseconds(left)) + 1;
    if (absl::Status spoken = said(mosquitto_loop(client_.get(), milliseconds, 1)); !spoken.ok())
      return spoken;
    if (reached()) return absl::OkStatus();
  }
}

absl::Status MosquittoClient::said(int code) {
  return code == MOSQ_ERR_SUCCESS
             ? absl::OkStatus()
             : absl::UnavailableError(absl::StrCat("Mosquitto: ", mosquitto_strerror(code)));
}

}  // namespace supercloud
