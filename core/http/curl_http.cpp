#include "core/http/curl_http.h"

#include <curl/curl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"
#include "core/http/url.h"

namespace supercloud {
namespace {

constexpr Duration deadline_max = absl::Minutes(10);

// Without the query, which may be long.
std::string shown_url(const std::string& url) {
  return url.substr(0, std::min<std::size_t>(url.find('?'), 200));
}

}  // namespace

struct CurlHttp::Transfer {
  std::uint64_t id = 0;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  std::string what;  // for messages
  std::string body;
  std::size_t body_max = 0;
  bool too_large = false;
  std::array<char, CURL_ERROR_SIZE> error{};
  Reply<HttpAnswer> reply;

  ~Transfer() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }
};

CurlHttp::CurlHttp(EventLoop& loop, CurlHttpOptions options)
    : loop_(loop), options_(std::move(options)) {
  // Counted and thread-safe. Never undone: a thread that still resolves a name may outlive its request.
  const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  multi_ = curl_multi_init();
  ABSL_RAW_CHECK(global == CURLE_OK && multi_ != nullptr, "libcurl does not start: out of memory?");
  // Else a name that is slow to resolve would hold up the loop, and libcurl would use signals.
  ABSL_RAW_CHECK((curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) != 0,
                 "this libcurl resolves names in its caller's thread; Debian's does not");
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlHttp::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlHttp::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
}

CurlHttp::~CurlHttp() {
  alive_.reset();
  for (auto& [id, transfer] : transfers_) curl_multi_remove_handle(multi_, transfer->easy);
  transfers_.clear();
  curl_multi_cleanup(multi_);  // closes idle connections, and says so to on_socket
  loop_.cancel(timer_);
  for (const int fd : watched_) loop_.unwatch_fd(fd);
}

// ---- requests ------------------------------------------------------------------------------------------------------

void CurlHttp::send(HttpRequest request, Reply<HttpAnswer> reply) {
  if (transfers_.size() >= options_.requests_max)
    return refuse(absl::ResourceExhaustedError(absl::StrCat(shown_url(request.url), ": ",
                                                            options_.requests_max,
                                                            " requests are under way already")),
                  std::move(reply));
  auto transfer = std::make_unique<Transfer>();
  transfer->id = ++last_transfer_;
  if (const absl::Status started = start(*transfer, request, reply.deadline()); !started.ok())
    return refuse(started, std::move(reply));
  transfer->reply = std::move(reply);
  const CURLMcode added = curl_multi_add_handle(multi_, transfer->easy);
  ABSL_RAW_CHECK(added == CURLM_OK, "libcurl takes no request");
  transfers_.emplace(transfer->id, std::move(transfer));
}

absl::Status CurlHttp::start(Transfer& transfer, const HttpRequest& request, Instant deadline) {
  transfer.what = absl::StrCat(request.body.empty() ? "GET " : "POST ", shown_url(request.url));
  const absl::StatusOr<UrlOrigin> origin = url_origin(request.url);
  if (!origin.ok()) return origin.status();
  if (origin->scheme != "https" && !origin->is_loopback())
    return absl::InvalidArgumentError(
        absl::StrCat(shown_url(request.url), ": is not encrypted; write https://"));
  const Duration left = std::min(deadline - loop_.clock().now(), deadline_max);
  if (left <= absl::ZeroDuration())
    return absl::DeadlineExceededError(absl::StrCat(transfer.what, ": no time is left for it"));

  CURL* easy = curl_easy_init();
  transfer.easy = easy;
  ABSL_RAW_CHECK(easy != nullptr, "out of memory");
  transfer.body_max = options_.answer_bytes_max;
  bool taken = true;
  const auto set = [&taken, easy](CURLoption option, auto value) {
    taken = curl_easy_setopt(easy, option, value) == CURLE_OK && taken;
  };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, origin->scheme.c_str());
  set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  const char* ca_folder = nullptr;
  if (!options_.ca_file.empty()) {
    set(CURLOPT_CAINFO, options_.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  } else if (curl_easy_getinfo(easy, CURLINFO_CAPATH, &ca_folder) == CURLE_OK &&
             ca_folder != nullptr) {
    // The system's certificates one by one, as they are needed: its bundle of all takes 60 ms to read, for each connection.
    set(CURLOPT_CAINFO, static_cast<const char*>(nullptr));
  }
  if (!options_.certificate_file.empty()) {
    set(CURLOPT_SSLCERT, options_.certificate_file.c_str());
    set(CURLOPT_SSLKEY, options_.key_file.c_str());
    set(CURLOPT_KEYPASSWD,
        "");  // else OpenSSL asks the terminal for that of an encrypted one, and the loop waits
  }
  set(CURLOPT_PROXY, options_.proxy.c_str());  // the empty one keeps the environment out
  set(CURLOPT_USERAGENT, "supercloud");
  set(CURLOPT_QUICK_EXIT, 1L);  // the end does not wait for a name that is being resolved
  set(CURLOPT_TIMEOUT_MS,
      static_cast<long>(std::max<std::int64_t>(absl::ToInt64Milliseconds(left), 1)));
  set(CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(absl::ToInt64Milliseconds(std::min(left, options_.connect_deadline))) + 1);
  set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(options_.answer_bytes_max));
  set(CURLOPT_ERRORBUFFER, transfer.error.data());
  set(CURLOPT_PRIVATE, &transfer);
  set(CURLOPT_WRITEFUNCTION, &CurlHttp::on_body);
  set(CURLOPT_WRITEDATA, &transfer);
  const auto add_header = [&transfer](const std::string& line) {
    curl_slist* longer = curl_slist_append(transfer.headers, line.c_str());
    ABSL_RAW_CHECK(longer != nullptr, "out of memory");
    transfer.headers = longer;
  };
  if (!request.body.empty()) {
    set(CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    set(CURLOPT_COPYPOSTFIELDS, request.body.c_str());
    add_header(absl::StrCat("content-type: ", request.content_type));
    add_header("expect:");  // else a long body waits for the server's word
  }
  std::string scope;
  if (request.signature) {
    const AwsCredentials& key = request.signature->credentials;
    scope = absl::StrCat("aws:amz:", request.signature->region, ":", request.signature->service);
    set(CURLOPT_AWS_SIGV4, scope.c_str());
    set(CURLOPT_USERNAME, key.access_key_id.c_str());
    set(CURLOPT_PASSWORD, key.secret_access_key.c_str());
    // libcurl signs the host without its port, unless it is told what the header says (curl's issue 9550).
    if (!origin->is_default_port())
      add_header(absl::StrCat("host: ", origin->host, ":", origin->port));
    if (!key.session_token.empty())
      add_header(absl::StrCat("x-amz-security-token: ", key.session_token));
  }
  if (transfer.headers != nullptr) set(CURLOPT_HTTPHEADER, transfer.headers);
  if (!taken)
    return absl::InvalidArgumentError(absl::StrCat(
        transfer.what, ": this libcurl (", curl_version(), ") lacks an option; 7.88 is needed"));
  return absl::OkStatus();
}

// In a later turn, as answers come.
void CurlHttp::refuse(absl::Status why, Reply<HttpAnswer> reply) {
  loop_.post([alive = std::weak_ptr<char>(alive_), why = std::move(why),
              reply = std::move(reply)]() mutable {
    if (!alive.expired()) reply(std::move(why));
  });
}

// ---- libcurl's callbacks -------------------------------------------------------------------------------------------

int CurlHttp::on_socket(void*, int fd, int what, void* self, void*) {
  auto& client = *static_cast<CurlHttp*>(self);
  if (what == CURL_POLL_REMOVE) {
    client.loop_.unwatch_fd(fd);
    client.watched_.erase(fd);
    return 0;
  }
  const std::uint32_t events =
      ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0U) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0U);
  if (client.watched_.contains(fd)) {
    client.loop_.change_fd(fd, events);
    return 0;
  }
  const absl::Status watched =
      client.loop_.watch_fd(fd, events, [&client, fd](std::uint32_t ready) {
        const int flags = ((ready & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                          ((ready & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                          ((ready & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
        client.drive(fd, flags);
      });
  if (!watched.ok()) return -1;
  client.watched_.insert(fd);
  return 0;
}

// Only arms: libcurl may not be called from here.
int CurlHttp::on_timer(void*, long timeout_ms, void* self) {
  auto& client = *static_cast<CurlHttp*>(self);
  client.loop_.cancel(std::exchange(client.timer_, 0));
  if (timeout_ms < 0) return 0;
  client.timer_ =
      client.loop_.at(client.loop_.clock().now() + absl::Milliseconds(timeout_ms), [&client] {
        client.timer_ = 0;
        client.drive(CURL_SOCKET_TIMEOUT, 0);
      });
  return 0;
}

std::size_t CurlHttp::on_body(char* data, std::size_t unit, std::size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  const std::size_t bytes = unit * count;
  if (bytes > transfer.body_max - transfer.body.size()) {
    transfer.too_large = true;
    return CURL_WRITEFUNC_ERROR;
  }
  transfer.body.append(data, bytes);
  return bytes;
}

// ---- answers -------------------------------------------------------------------------------------------------------

void CurlHttp::drive(int fd, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  finish();
}

void CurlHttp::finish() {
  std::vector<std::pair<Reply<HttpAnswer>, absl::StatusOr<HttpAnswer>>> done;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    void* found = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &found);
    auto& transfer = *static_cast<Transfer*>(found);
    done.emplace_back(std::move(transfer.reply), outcome(transfer, code));
    curl_multi_remove_handle(multi_, transfer.easy);
    transfers_.erase(transfer.id);
  }
  // The first reply may be this client's end.
  const std::weak_ptr<char> alive = alive_;
  for (auto& [reply, answer] : done) {
    if (alive.expired()) return;
    reply(std::move(answer));
  }
}

absl::StatusOr<HttpAnswer> CurlHttp::outcome(Transfer& transfer, int code) const {
  const std::string why =
      absl::StrCat(transfer.what, ": ",
                   transfer.error[0] != '\0' ? transfer.error.data()
                                             : curl_easy_strerror(static_cast<CURLcode>(code)));
  if (transfer.too_large || code == CURLE_FILESIZE_EXCEEDED)
    return absl::ResourceExhaustedError(absl::StrCat(transfer.what, ": the answer is larger than ",
                                                     options_.answer_bytes_max, " bytes"));
  switch (code) {
    case CURLE_OK:
      break;
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(why);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return absl::FailedPreconditionError(
          absl::StrCat(why, "; check this machine's clock, ",
                       options_.ca_file.empty() ? "the package ca-certificates" : options_.ca_file,
                       ", and whether somebody stands in between"));
    case CURLE_SSL_CERTPROBLEM:
      return absl::FailedPreconditionError(
          absl::StrCat(why, "; check ", options_.certificate_file, " and ", options_.key_file));
    default:
      return absl::UnavailableError(why);
  }
  HttpAnswer answer;
  answer.body = std::move(transfer.body);
  long status = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  answer.status = static_cast<int>(status);
  const char* content_type = nullptr;
  curl_easy_getinfo(transfer.easy, CURLINFO_CONTENT_TYPE, &content_type);
  if (content_type != nullptr) answer.content_type = content_type;
  curl_off_t retry_after = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RETRY_AFTER, &retry_after);
  answer.retry_after = absl::Seconds(std::max<curl_off_t>(retry_after, 0));
  curl_header* date = nullptr;
  if (curl_easy_header(transfer.easy, "Date", 0, CURLH_HEADER, -1, &date) == CURLHE_OK) {
    const std::time_t seconds = curl_getdate(date->value, nullptr);
    if (seconds >= 0) answer.date = absl::FromTimeT(seconds);
  }
  return answer;
}

}  // namespace supercloud
