// One client's connection: requests in, answers out, one after the other.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "host/server/http_server.h"
#include "host/server/service.h"
#include "host/server/update_queue.h"

namespace pianola {

class Connection {
 public:
  // All must outlive it. `helpers`: threads for what may have to wait for the engine.
  Connection(boost::beast::tcp_stream stream, Service& service, const HttpServerOptions& options,
             UpdateCaller& caller, boost::asio::thread_pool& helpers);

  // Until the client or the server has had enough.
  boost::asio::awaitable<void> serve();
  // No request after the present one; an idle connection ends at once.
  void finish();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  boost::asio::awaitable<bool> read(Parser& parser);
  boost::asio::awaitable<void> refuse(const boost::system::error_code& error);
  boost::asio::awaitable<void> answer(const HttpRequest& request, HttpResponse response);
  boost::asio::awaitable<void> complete(const HttpRequest& request,
                                        std::unique_ptr<Completion> completion);
  boost::asio::awaitable<bool> write_stream_header(const HttpRequest& request);
  boost::asio::awaitable<bool> write_events(const std::string& events);
  boost::asio::awaitable<void> watch_client(std::shared_ptr<UpdateQueue> queue,
                                            std::shared_ptr<bool> gone);
  Result<std::vector<std::uint64_t>> submit(Completion& completion,
                                            const std::shared_ptr<UpdateQueue>& queue);
  void count(const HttpRequest& request, int status);

  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  Service* service_;
  const HttpServerOptions* options_;
  UpdateCaller* caller_;
  boost::asio::thread_pool* helpers_;
  unsigned version_ = 11;  // of the request
  bool keep_alive_ = true;
  bool head_ = false;
  bool idle_ = true;
};

}  // namespace pianola
