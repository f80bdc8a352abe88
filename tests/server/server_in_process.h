// A server in this process, for tests of what lies between clients and the engine, and a client
// that is nothing but a socket. The machine is a device whose logits are a hash of position and
// token: answers cost next to nothing and are the same every time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "emulator/device.h"
#include "host/server/http_server.h"

namespace pianola {

class HashDevice final : public Device {
 public:
  std::string_view name() const override { return "hash"; }
  Status load(const Roll& roll, uint64_t poison) override;
  Result<LaunchResult> launch(const LaunchRequest& request) override;
  std::span<std::byte> kv_region() override { return {}; }

 private:
  const Roll* roll_ = nullptr;
};

class ServerInProcess {
 public:
  // Listens on a free port, whatever the options say. `slots` and `queue` as of `pianola serve`.
  explicit ServerInProcess(HttpServerOptions options = {}, int slots = 4, int queue = 256);
  ~ServerInProcess() { stop(); }

  std::uint16_t port() const { return server_->port(); }
  EngineThread& engine() { return *engine_; }
  // Returns when the server has ended.
  void stop();

 private:
  Roll roll_;
  Tokenizer tokenizer_;
  HashDevice device_;
  std::unique_ptr<EngineThread> engine_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<HttpServer> server_;
  std::thread runner_;
};

class ClientSocket {
 public:
  // `receive_bytes`: of the receive buffer; 0: the system's choice.
  explicit ClientSocket(std::uint16_t port, int receive_bytes = 0);
  ~ClientSocket();
  ClientSocket(const ClientSocket&) = delete;
  ClientSocket& operator=(const ClientSocket&) = delete;

  void send(std::string_view bytes);  // as far as the server takes them
  void end();                         // nothing more will be sent
  std::string read(std::size_t bytes_max);
  std::string read_all();  // until the server closes

 private:
  int socket_;
};

std::string post_request(std::string_view path, std::string_view body);
// The answer's bytes to one request on a connection of its own.
std::string ask(std::uint16_t port, std::string_view request);

}  // namespace pianola
