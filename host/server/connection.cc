#include "host/server/connection.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace pianola {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr const char* kServerName = "pianola";
const std::string kPing = ": ping\n\n";

// Arguments of what is awaited are named objects: g++ 12 destroys some temporaries there twice.

std::string field(const http::fields& fields, http::field name) {
  const auto value = fields[name];
  return {value.data(), value.size()};
}

HttpRequest take_request(http::request<http::string_body>&& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  const std::string target(message.target());
  const std::size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string::npos) request.query = target.substr(mark + 1);
  request.authorization = field(message, http::field::authorization);
  request.origin = field(message, http::field::origin);
  request.host = field(message, http::field::host);
  request.body = std::move(message.body());
  return request;
}

// Runs when a scope is left.
template <typename F>
struct OnExit {
  F function;
  ~OnExit() { function(); }
};
template <typename F>
OnExit(F) -> OnExit<F>;

}  // namespace

Connection::Connection(beast::tcp_stream stream, Service& service, const HttpServerOptions& options,
                       UpdateCaller& caller, asio::thread_pool& helpers)
    : stream_(std::move(stream)),
      buffer_(options.header_bytes_max),
      service_(&service),
      options_(&options),
      caller_(&caller),
      helpers_(&helpers) {}

void Connection::finish() {
  keep_alive_ = false;
  if (idle_) stream_.close();
}

void Connection::count(const HttpRequest& request, int status) {
  service_->metrics().count_response(Service::route_of(request), status);
}

// ---- Requests -------------------------------------------------------------------------------

asio::awaitable<void> Connection::serve() {
  error_code ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  while (keep_alive_) {
    Parser parser;
    parser.header_limit(options_->header_bytes_max);
    parser.body_limit(options_->body_bytes_max);
    idle_ = true;
    const bool have = co_await read(parser);
    idle_ = false;
    if (!have) break;
    version_ = parser.get().version();
    keep_alive_ = keep_alive_ && parser.get().keep_alive();
    head_ = parser.get().method() == http::verb::head;
    const HttpRequest request = take_request(parser.release());
    Service::Answer result = HttpResponse{};
    if (Service::is_slow(request)) {
      const auto ask = [this, &request]() -> asio::awaitable<Service::Answer> {
        co_return service_->handle(request);
      };
      result = co_await asio::co_spawn(*helpers_, ask, asio::use_awaitable);
    } else {
      result = service_->handle(request);
    }
    if (auto* response = std::get_if<HttpResponse>(&result)) {
      co_await answer(request, std::move(*response));
    } else {
      auto completion = std::move(std::get<std::unique_ptr<Completion>>(result));
      co_await complete(request, std::move(completion));
    }
  }
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  stream_.close();
}

// False: the connection is over, or the client was told why it must be.
asio::awaitable<bool> Connection::read(Parser& parser) {
  error_code error;
  stream_.expires_after(options_->idle_timeout);
  // The parser bounds a line, not their number.
  std::size_t size = 0;
  while (!error && !parser.is_header_done()) {
    size += co_await http::async_read_some(stream_, buffer_, parser,
                                           asio::redirect_error(asio::use_awaitable, error));
    if (!error && size > options_->header_bytes_max) error = http::error::header_limit;
  }
  if (!error) {
    idle_ = false;
    stream_.expires_after(options_->read_timeout);
    const std::string expect = field(parser.get(), http::field::expect);
    if (beast::iequals(expect, "100-continue")) {
      const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await asio::async_write(stream_, asio::buffer(go_on),
                                 asio::redirect_error(asio::use_awaitable, error));
    }
  }
  if (!error) {
    co_await http::async_read(stream_, buffer_, parser,
                              asio::redirect_error(asio::use_awaitable, error));
  }
  if (!error) co_return true;
  co_await refuse(error);
  co_return false;
}

// What could not be read as a request.
asio::awaitable<void> Connection::refuse(const error_code& error) {
  const auto& category = http::make_error_code(http::error::end_of_stream).category();
  if (error == http::error::end_of_stream || error.category() != category) co_return;
  ApiError reply{400, "this is no HTTP request: " + error.message(), {}, "bad_request"};
  if (error == http::error::body_limit) {
    reply = {413,
             "the body is larger than " + std::to_string(options_->body_bytes_max) + " bytes",
             {},
             "body_too_large"};
  } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    reply = {431,
             "the header is larger than " + std::to_string(options_->header_bytes_max) + " bytes",
             {},
             "header_too_large"};
  }
  keep_alive_ = false;
  const HttpRequest none;
  HttpResponse response = service_->error_response(reply);
  co_await answer(none, std::move(response));
}

// ---- Answers --------------------------------------------------------------------------------

asio::awaitable<void> Connection::answer(const HttpRequest& request, HttpResponse response) {
  count(request, response.status);
  http::response<http::string_body> message{static_cast<http::status>(response.status), version_};
  message.set(http::field::server, kServerName);
  if (!response.content_type.empty()) {
    message.set(http::field::content_type, response.content_type);
  }
  message.set("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : response.fields) message.set(name, value);
  for (const auto& [name, value] : service_->cors_fields(request)) message.set(name, value);
  message.keep_alive(keep_alive_);
  const std::size_t size = response.body.size();
  if (!head_) message.body() = std::move(response.body);
  message.prepare_payload();
  if (head_) message.content_length(size);
  error_code error;
  stream_.expires_after(options_->write_timeout);
  http::response_serializer<http::string_body> serializer(message);
  if (head_) {
    co_await http::async_write_header(stream_, serializer,
                                      asio::redirect_error(asio::use_awaitable, error));
  } else {
    co_await http::async_write(stream_, serializer,
                               asio::redirect_error(asio::use_awaitable, error));
  }
  if (error) keep_alive_ = false;
}

asio::awaitable<bool> Connection::write_stream_header(const HttpRequest& request) {
  count(request, 200);
  if (version_ < 11) keep_alive_ = false;  // without chunks the end of the stream is its end
  http::response<http::empty_body> message{http::status::ok, version_};
  message.set(http::field::server, kServerName);
  message.set(http::field::content_type, "text/event-stream; charset=utf-8");
  message.set(http::field::cache_control, "no-cache");
  message.set("X-Content-Type-Options", "nosniff");
  message.set("X-Accel-Buffering", "no");
  for (const auto& [name, value] : service_->cors_fields(request)) message.set(name, value);
  message.keep_alive(keep_alive_);
  if (version_ >= 11) message.chunked(true);
  error_code error;
  http::response_serializer<http::empty_body> serializer(message);
  stream_.expires_after(options_->write_timeout);
  co_await http::async_write_header(stream_, serializer,
                                    asio::redirect_error(asio::use_awaitable, error));
  co_return !error;
}

asio::awaitable<bool> Connection::write_events(const std::string& events) {
  error_code error;
  stream_.expires_after(options_->write_timeout);
  if (version_ < 11) {
    co_await asio::async_write(stream_, asio::buffer(events),
                               asio::redirect_error(asio::use_awaitable, error));
  } else if (events.empty()) {  // the last chunk
    co_await asio::async_write(stream_, http::make_chunk_last(),
                               asio::redirect_error(asio::use_awaitable, error));
  } else {
    co_await asio::async_write(stream_, http::make_chunk(asio::buffer(events)),
                               asio::redirect_error(asio::use_awaitable, error));
  }
  co_return !error;
}

// ---- Completions ----------------------------------------------------------------------------

// Notices that the client has closed its side while it waits for an answer.
asio::awaitable<void> Connection::watch_client(std::shared_ptr<UpdateQueue> queue,
                                               std::shared_ptr<bool> gone) {
  error_code error;
  co_await stream_.socket().async_wait(asio::ip::tcp::socket::wait_read,
                                       asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return;  // the answer is complete
  char byte = 0;
  const ssize_t got = ::recv(stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got > 0) co_return;  // the next request already
  *gone = true;
  queue->wake();
}

Result<std::vector<std::uint64_t>> Connection::submit(Completion& completion,
                                                      const std::shared_ptr<UpdateQueue>& queue) {
  std::vector<std::uint64_t> ids;
  for (std::size_t choice = 0; choice < completion.options.size(); ++choice) {
    const auto id = service_->engine().submit(
        std::move(completion.options[choice]),
        [queue, choice](GenerationUpdate update) { queue->push(choice, std::move(update)); });
    if (!id.ok()) {
      for (const std::uint64_t earlier : ids) service_->engine().cancel(earlier);
      return id.error();
    }
    ids.push_back(*id);
  }
  return ids;
}

asio::awaitable<void> Connection::complete(const HttpRequest& request,
                                           std::unique_ptr<Completion> completion) {
  CompletionJob& job = completion->job;
  const auto begin = Clock::now();
  const auto queue = std::make_shared<UpdateQueue>(stream_.get_executor(), *caller_);
  const auto ids = submit(*completion, queue);
  if (!ids.ok()) {
    HttpResponse response = service_->error_response({429, ids.error().message, {}, "queue_full"});
    co_await answer(request, std::move(response));
    co_return;
  }
  const auto gone = std::make_shared<bool>(false);
  stream_.expires_never();
  asio::co_spawn(stream_.get_executor(), watch_client(queue, gone), asio::detached);
  // A frame that is destroyed when the server ends may outlive its connection.
  const OnExit cancel_rest{[service = service_, &job, &ids, &gone] {
    if (!job.finished() || job.error()) {
      for (const std::uint64_t id : *ids) service->engine().cancel(id);
    }
    if (*gone) ++service->metrics().clients_gone;
  }};

  Metrics& metrics = service_->metrics();
  std::vector<Clock::time_point> latest(job.choices(), begin);
  std::vector<bool> begun(job.choices());
  bool header = false;
  std::string events;  // that were not written: one choice may begin before another is accepted
  while (!job.finished()) {
    for (UpdateQueue::Item& item : queue->take()) {
      if (!item.update.tokens.empty()) {
        const auto now = Clock::now();
        const std::chrono::duration<double> since = now - latest[item.choice];
        (begun[item.choice] ? metrics.between_tokens : metrics.until_first_token)
            .add(since.count());
        begun[item.choice] = true;
        latest[item.choice] = now;
      }
      events += job.consume(item.choice, std::move(item.update));
    }
    if (job.is_stream() && job.accepted() && !header) {
      header = true;
      const bool written = co_await write_stream_header(request);
      if (!written) *gone = true;
    }
    if (header && !events.empty() && !*gone) {
      const bool written = co_await write_events(events);
      if (!written) *gone = true;
      events.clear();
      if (!*gone) continue;
    }
    if (*gone || job.finished()) break;
    const auto before = Clock::now();
    co_await queue->wait(options_->ping_interval);
    if (header && !*gone && Clock::now() - before >= options_->ping_interval) {
      const bool written = co_await write_events(kPing);
      if (!written) *gone = true;
    }
  }
  error_code ignored;
  stream_.socket().cancel(ignored);  // ends the watch
  if (*gone) {
    keep_alive_ = false;
    co_return;
  }
  if (header) {
    const std::string end;
    const bool written = version_ < 11 || co_await write_events(end);
    if (!written) keep_alive_ = false;
    co_return;
  }
  HttpResponse response;
  if (job.error()) {
    response = service_->error_response(*job.error());
  } else {
    response.body = to_text(job.body());
  }
  co_await answer(request, std::move(response));
}

}  // namespace pianola
