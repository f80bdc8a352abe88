// The service over HTTP/1.1: one thread for all connections, the engine in another.
//
// Clients are hostile: header, body, time and number of connections are bounded, a client that does
// not read is dropped, and one that leaves is cancelled before the engine's next launch.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "host/server/service.h"
#include "isa/result.h"

namespace pianola {

struct HttpServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 8080;  // 0: any that is free
  int connections_max = 1024;
  std::uint32_t header_bytes_max = 16 << 10;
  std::uint64_t body_bytes_max = 4 << 20;
  std::chrono::milliseconds read_timeout{30'000};   // for a whole request
  std::chrono::milliseconds idle_timeout{60'000};   // between two requests
  std::chrono::milliseconds write_timeout{30'000};  // for a client that does not read
  std::chrono::milliseconds ping_interval{5'000};   // of comments in a stream that is silent
  std::chrono::milliseconds grace{10'000};          // for what runs when the server is told to stop
};

class HttpServer {
 public:
  // Listens; the service must outlive it. Error Io: the address or port cannot be had.
  static Result<std::unique_ptr<HttpServer>> listen(Service& service,
                                                    const HttpServerOptions& options);
  virtual ~HttpServer() = default;

  virtual std::uint16_t port() const = 0;
  // Serves until SIGINT, SIGTERM or stop(): then no new requests are taken, those that run have
  // the time of `grace`, and what is left is cancelled.
  virtual void run() = 0;
  virtual void stop() = 0;  // from any thread
};

}  // namespace pianola
