#include "host/server/http_server.h"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <thread>

#include "host/server/connection.h"

namespace pianola {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::milliseconds kLastWrites{2'000};  // for answers to what was cancelled
constexpr std::chrono::milliseconds kEndPause{5};
constexpr std::chrono::milliseconds kAcceptPause{50};  // while the process has no descriptors left

class Server final : public HttpServer {
 public:
  Server(Service& service, const HttpServerOptions& options)
      : service_(&service),
        options_(options),
        acceptor_(context_),
        signals_(context_),
        timer_(context_),
        helpers_(1) {}

  Status open() {
    error_code error;
    const auto fail = [&](const char* what) {
      return Error{ErrorCode::Io, std::string(what) + ": " + error.message(),
                   options_.address + ":" + std::to_string(options_.port)};
    };
    const asio::ip::address address = asio::ip::make_address(options_.address, error);
    if (error) return fail("no IP address to listen on");
    const tcp::endpoint endpoint(address, options_.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(1024, error);
    if (error) return fail("cannot listen");
    // From now on the signals are kept for run().
    signals_.add(SIGINT);
    signals_.add(SIGTERM);
    return Ok{};
  }

  std::uint16_t port() const override { return acceptor_.local_endpoint().port(); }

  void run() override {
    wait_for_signal();
    asio::co_spawn(context_, accept(), asio::detached);
    context_.run();
    helpers_.join();
    // Updates need the context; what was cancelled ends with the launch that is being played.
    while (!service_->engine().is_idle()) std::this_thread::sleep_for(kEndPause);
  }

  void stop() override {
    asio::post(context_, [this] { drain(); });
  }

 private:
  void wait_for_signal() {
    signals_.async_wait([this](const error_code& error, int) {
      if (error) return;
      wait_for_signal();  // until quit()
      if (draining_) {
        service_->engine().cancel_all();
      } else {
        spdlog::info("shutting down");
        drain();
      }
    });
  }

  asio::awaitable<void> accept() {
    while (acceptor_.is_open()) {
      error_code error;
      tcp::socket socket =
          co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (!acceptor_.is_open()) break;
      if (error) {
        asio::steady_timer pause(context_, kAcceptPause);
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      Metrics& metrics = service_->metrics();
      if (metrics.connections >= options_.connections_max) {
        ++metrics.connections_refused;
        continue;  // the socket closes
      }
      asio::co_spawn(context_, serve(std::move(socket)), asio::detached);
    }
  }

  asio::awaitable<void> serve(tcp::socket socket) {
    Metrics& metrics = service_->metrics();
    ++metrics.connections;
    const auto connection =
        connections_.emplace(connections_.end(), boost::beast::tcp_stream(std::move(socket)),
                             *service_, options_, caller_, helpers_);
    try {
      co_await connection->serve();
    } catch (const std::exception& error) {  // out of memory for one client is not for all
      spdlog::error("a connection failed: {}", error.what());
    }
    connections_.erase(connection);
    --metrics.connections;
    if (draining_ && connections_.empty()) quit();
  }

  void drain() {
    if (draining_) return;
    draining_ = true;
    service_->set_draining();
    service_->engine().drain();
    error_code ignored;
    acceptor_.close(ignored);
    for (Connection& connection : connections_) connection.finish();
    if (connections_.empty()) return quit();
    timer_.expires_after(options_.grace);
    timer_.async_wait([this](const error_code& error) {
      if (error) return;
      service_->engine().cancel_all();
      timer_.expires_after(kLastWrites);
      timer_.async_wait([this](const error_code& late) {
        if (!late) context_.stop();
      });
    });
  }

  void quit() {
    error_code ignored;
    timer_.cancel();
    signals_.cancel(ignored);
  }

  Service* service_;
  HttpServerOptions options_;
  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  asio::signal_set signals_;
  asio::steady_timer timer_;
  UpdateCaller caller_{context_};
  asio::thread_pool helpers_;
  std::list<Connection> connections_;
  bool draining_ = false;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::listen(Service& service,
                                                       const HttpServerOptions& options) {
  auto server = std::make_unique<Server>(service, options);
  TRY_STATUS(server->open());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace pianola
