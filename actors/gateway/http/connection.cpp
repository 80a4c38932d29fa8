#include "actors/gateway/http/connection.h"

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "actors/gateway/cloud_event.h"
#include "actors/gateway/metrics.h"
#include "core/text.h"

namespace supercloud {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace net = boost::asio;

constexpr std::string_view batch_type = "application/cloudevents-batch+json";
constexpr std::string_view stream_type = "text/event-stream";
// A reader that lost its connection asks again after a second.
constexpr std::string_view stream_head =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    "X-Accel-Buffering: no\r\nConnection: close\r\n\r\nretry: 1000\n\n";
constexpr int pulses = 4;  // in the shortest time that is watched

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

std::chrono::nanoseconds chrono_of(Duration span) {
  return std::chrono::nanoseconds(absl::ToInt64Nanoseconds(span));
}

// Of "host:port": whether it names this machine itself, so that no page of another's name reaches what has no tokens.
bool names_loopback(std::string_view host) {
  if (host.starts_with("[::1]")) return true;
  const std::string_view name = host.substr(0, host.rfind(':'));
  return name == "localhost" || (name.starts_with("127.") &&
                                 name.find_first_not_of("0123456789.") == std::string_view::npos);
}

bool accepts(std::string_view accept, std::string_view type) {
  return absl::StrContains(absl::AsciiStrToLower(absl_view(accept)), absl_view(type));
}

}  // namespace

HttpConnection::HttpConnection(HttpShared& shared, net::ip::tcp::socket socket)
    : shared_(shared), stream_(std::move(socket)), timer_(*shared.io) {}

void HttpConnection::start() {
  ++shared_.metrics.connections;
  Error ignored;
  stream_.socket().set_option(net::ip::tcp::no_delay(true), ignored);
  stream_.socket().set_option(
      net::socket_base::send_buffer_size(static_cast<int>(shared_.options.socket_bytes_max)),
      ignored);
  read();
}

void HttpConnection::refuse() {
  ++shared_.metrics.connections;
  problem({.status = 503,
           .detail = absl::StrCat("more than ", shared_.options.connections_max, " connections"),
           .cure = "end one, or ask again in a moment"});
}

void HttpConnection::close() {
  if (std::exchange(closed_, true)) return;
  --shared_.metrics.connections;
  if (outlet_) {
    outlet_->close();
    --shared_.metrics.streams;
  }
  if (reading_ != 0)
    shared_.scheduler.post([hub = &shared_.hub, id = reading_] { hub->close(id); });
  timer_.cancel();
  Error ignored;
  stream_.socket().shutdown(net::ip::tcp::socket::shutdown_both, ignored);
  stream_.close();
  shared_.connections.erase(shared_from_this());
}

void HttpConnection::read() {
  parser_.emplace();
  parser_->header_limit(shared_.options.header_bytes_max);
  parser_->body_limit(0);
  stream_.expires_after(chrono_of(shared_.options.request_time));
  http::async_read(
      stream_, buffer_, *parser_, [self = shared_from_this()](const Error& error, std::size_t) {
        if (self->closed_) return;
        self->keep_alive_ = false;
        if (!error) return self->dispatch(self->parser_->get());
        const bool malformed =
            error.category() == http::make_error_code(http::error::bad_target).category();
        if (!malformed || error == http::error::end_of_stream ||
            error == http::error::partial_message)
          return self->close();
        if (error == http::error::header_limit)
          return self->problem({.status = 431,
                                .detail = "the request's header is too long",
                                .cure = "begin anew with since"});
        self->problem(
            {.status = 400,
             .detail = absl::StrCat("no request of HTTP/1.1 without a body: ", error.message()),
             .cure = "ask with GET"});
      });
}

std::optional<Problem> HttpConnection::authorize(const Request& request,
                                                 const Pattern* pattern) const {
  const auto& tokens = shared_.options.tokens;
  if (!tokens) {
    const std::string_view host = view(request[http::field::host]);
    if (host.empty() || names_loopback(host)) return std::nullopt;
    return Problem{.status = 421,
                   .detail = absl::StrCat("\"", absl_view(host),
                                          "\" is not how this gateway, which has no "
                                          "tokens, is called"),
                   .cure = "ask for localhost, or start it with --tokens",
                   .parameter = "Host"};
  }
  const auto given = bearer_token(view(request[http::field::authorization]));
  const GatewayToken* const token = given ? tokens->find(*given) : nullptr;
  if (token == nullptr)
    return Problem{.status = 401,
                   .detail = given ? "the token is not known" : "there is no token",
                   .cure = "send a header \"Authorization: Bearer TOKEN\"",
                   .parameter = "Authorization"};
  if (pattern == nullptr || token->allows(*pattern)) return std::nullopt;
  std::string allowed;
  for (const Pattern& each : token->patterns)
    absl::StrAppend(&allowed, allowed.empty() ? "" : ", ", each.text());
  return Problem{.status = 403,
                 .detail = absl::StrCat("\"", pattern->text(), "\" is more than the token ",
                                        token->name, " may read"),
                 .cure = absl::StrCat("ask within ", allowed),
                 .parameter = "pattern"};
}

void HttpConnection::dispatch(const Request& request) {
  keep_alive_ = request.keep_alive();
  version_ = request.version();
  if (request.method() != http::verb::get)
    return problem({.status = 405, .detail = "the method is not GET", .cure = "ask with GET"});
  const auto parsed = RequestTarget::parse(view(request.target()));
  if (const auto* refused = std::get_if<Problem>(&parsed)) return problem(*refused);
  const auto& target = std::get<RequestTarget>(parsed);
  if (target.path == "/healthz") {
    const bool any = shared_.metrics.nodes > 0;
    return answer(any ? 200 : 503, "text/plain; charset=utf-8",
                  any ? "ok\n" : "no node of the cluster shows a sign of life\n");
  }
  if (target.path == "/v1/events") return events(request, target);
  if (target.path == "/metrics") {
    if (const auto refused = authorize(request, nullptr)) return problem(*refused);
    return answer(200, "text/plain; version=0.0.4; charset=utf-8",
                  prometheus_text(shared_.metrics));
  }
  problem({.status = 404,
           .detail = absl::StrCat("nothing is at ", target.path),
           .cure = "there are /v1/events, /metrics and /healthz"});
}

void HttpConnection::events(const Request& request, const RequestTarget& target) {
  const std::string_view accept = view(request[http::field::accept]);
  const bool batch_asked = accepts(accept, batch_type);
  auto made = EventsRequest::make(target, batch_asked, view(request["Last-Event-ID"]), absl::Now());
  // Who has no token learns nothing else.
  const auto* const well = std::get_if<EventsRequest>(&made);
  if (const auto refused = authorize(request, well ? &well->cursor.pattern : nullptr))
    return problem(*refused);
  if (well == nullptr) return problem(std::get<Problem>(made));
  auto& wanted = std::get<EventsRequest>(made);
  if (wanted.limit) return batch(std::move(wanted), target.path);
  if (!accept.empty() && !accepts(accept, stream_type) && !accepts(accept, "text/*") &&
      !accepts(accept, "*/*"))
    return problem(
        {.status = 406,
         .detail = absl::StrCat("events come in no form of \"", absl_view(accept), "\""),
         .cure = absl::StrCat("accept ", absl_view(stream_type), " or ", absl_view(batch_type)),
         .parameter = "Accept"});
  stream(std::move(wanted));
}

void HttpConnection::problem(const Problem& problem) {
  shared_.metrics.rejected(problem.status);
  answer(problem.status, problem_type, problem_json(problem) + "\n");
}

void HttpConnection::answer(int status, std::string_view type, std::string body,
                            std::string_view next) {
  auto message = std::make_shared<Answer>();
  message->version(version_);
  message->result(static_cast<unsigned>(status));
  message->set(http::field::content_type, beast::string_view(type.data(), type.size()));
  message->set(http::field::cache_control, "no-store");
  if (status == 401) message->set(http::field::www_authenticate, "Bearer");
  if (status == 405) message->set(http::field::allow, "GET");
  if (status == 503) message->set(http::field::retry_after, "1");
  if (!next.empty())
    message->set(http::field::link, absl::StrCat("<", absl_view(next), ">; rel=\"next\""));
  message->keep_alive(keep_alive_);
  message->body() = std::move(body);
  message->prepare_payload();
  send(std::move(message));
}

void HttpConnection::send(std::shared_ptr<Answer> message) {
  stream_.expires_after(chrono_of(shared_.options.request_time));
  http::async_write(stream_, *message,
                    [self = shared_from_this(), message](const Error& error, std::size_t bytes) {
                      self->shared_.metrics.sent_bytes += bytes;
                      if (self->closed_) return;
                      if (error || message->need_eof()) return self->close();
                      self->read();
                    });
}

void HttpConnection::batch(EventsRequest events, std::string path) {
  reading_ = shared_.hub.next_id();
  const std::uint32_t limit = *events.limit;
  const Pattern pattern = events.cursor.pattern;
  auto outlet = std::make_shared<BatchOutlet>(
      [weak = weak_from_this(), io = std::weak_ptr(shared_.io), path = std::move(path), limit](
          const std::string& array, const std::string& cursor) {
        const auto context = io.lock();
        if (!context) return;
        net::post(*context, [weak, path, limit, array, cursor] {
          const auto self = weak.lock();
          if (!self || self->closed_) return;
          self->reading_ = 0;
          const auto behind = Cursor::parse(cursor);
          self->answer(200, batch_type, array,
                       behind.ok() ? target_after(path, *behind, limit) : "");
        });
      });
  stream_.expires_never();
  shared_.scheduler.post(
      [hub = &shared_.hub, id = reading_,
       begin = Reading::Begin{std::move(events.cursor), true, limit},
       outlet]() mutable { hub->open(id, std::move(begin), std::move(outlet)); });
}

void HttpConnection::stream(EventsRequest events) {
  stream_.expires_never();
  ++shared_.metrics.streams;
  reading_ = shared_.hub.next_id();
  const auto readable = [weak = weak_from_this(), io = std::weak_ptr(shared_.io)] {
    if (const auto context = io.lock())
      net::post(*context, [weak] {
        if (const auto self = weak.lock()) self->pump();
      });
  };
  const auto room = [scheduler = &shared_.scheduler, hub = &shared_.hub, id = reading_] {
    scheduler->post([hub, id] { hub->go_on(id); });
  };
  // Where the reader chose a queue, that has what waits: what is on its way already is neither let go nor made newer.
  const std::size_t bytes_max = events.queue == Queueing::Full::fail
                                    ? shared_.options.stream_bytes_max
                                    : shared_.options.stream_bytes_max / 16;
  outlet_ = std::make_shared<StreamOutlet>(bytes_max, shared_.metrics,
                                           StreamOutlet::Callbacks{readable, room});
  write(std::string(stream_head), false);
  watch_reader();
  pulse();
  shared_.scheduler.post(
      [hub = &shared_.hub, id = reading_,
       begin = Reading::Begin{std::move(events.cursor), events.past, std::nullopt},
       queue = events.queue,
       outlet = outlet_]() mutable { hub->open(id, std::move(begin), std::move(outlet), queue); });
}

// A reader that goes is known by the end of what it says.
void HttpConnection::watch_reader() {
  stream_.socket().async_read_some(net::buffer(unread_),
                                   [self = shared_from_this()](const Error& error, std::size_t) {
                                     if (self->closed_) return;
                                     if (error) return self->close();
                                     self->watch_reader();
                                   });
}

void HttpConnection::pump() {
  if (closed_) return;
  if (outlet_->cut()) return close();
  if (writing_) return;
  StreamOutlet::Taken taken = outlet_->take();
  if (!taken.bytes.empty()) return write(std::move(taken.bytes), true);
  if (taken.ended) close();
}

void HttpConnection::write(std::string bytes, bool of_outlet) {
  out_ = std::move(bytes);
  writing_ = true;
  wrote_ = std::chrono::steady_clock::now();
  net::async_write(stream_.socket(), net::buffer(out_),
                   [self = shared_from_this(), of_outlet](const Error& error, std::size_t written) {
                     self->shared_.metrics.sent_bytes += written;
                     if (self->closed_) return;
                     if (error) return self->close();
                     self->writing_ = false;
                     self->wrote_ = std::chrono::steady_clock::now();
                     if (of_outlet) self->outlet_->written();
                     self->pump();
                   });
}

void HttpConnection::pulse() {
  const HttpServerOptions& options = shared_.options;
  timer_.expires_after(chrono_of(std::min(options.keep_alive, options.stall_max) / pulses));
  timer_.async_wait([self = shared_from_this()](const Error& error) {
    if (error || self->closed_) return;
    const auto since = std::chrono::steady_clock::now() - self->wrote_;
    const HttpServerOptions& limits = self->shared_.options;
    if (self->writing_ && since >= chrono_of(limits.stall_max)) {
      ++self->shared_.metrics.slow[static_cast<std::size_t>(SlowReader::stalled)];
      return self->close();
    }
    if (!self->writing_ && since >= chrono_of(limits.keep_alive))
      self->write(std::string(stream_keep_alive), false);
    self->pulse();
  });
}

}  // namespace supercloud
