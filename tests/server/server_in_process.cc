#include "tests/server/server_in_process.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/engine.h"
#include "tests/support/shared_files.h"

namespace pianola {
namespace {

constexpr int kContext = 128, kVocabulary = 1024, kLanes = 16;

Roll make_roll() {
  using Role = RegisterDeclaration::Role;
  Roll roll;
  roll.target.name = "hash";
  roll.target.lanes = kLanes;
  roll.target.clock_mhz = 200;
  roll.target.kv = KvResidence::Port;
  roll.metadata.model.vocabulary = kVocabulary;
  roll.metadata.model.context = kContext;
  Entry entry;
  entry.name = "decode@128";
  entry.tokens = 1;
  entry.context = kContext;
  entry.cycles = 1000;
  entry.host_send_vectors = 4 * kVocabulary / kLanes;
  entry.registers = {{.index = 0, .name = "position", .role = Role::Position, .maximum = kContext},
                     {.index = 1, .name = "token", .role = Role::Token, .maximum = kVocabulary}};
  roll.metadata.entries = {entry};
  return roll;
}

Tokenizer make_tokenizer() {
  const std::string json = read_file(PIANOLA_SOURCE_DIR "/models/nursery-llama/tokenizer.json");
  return tokenizer_from_hf_json(std::as_bytes(std::span(json))).value();
}

}  // namespace

// ---- The machine ----------------------------------------------------------------------------

Status HashDevice::load(const Roll& roll, uint64_t) {
  roll_ = &roll;
  return Ok{};
}

Result<LaunchResult> HashDevice::launch(const LaunchRequest& request) {
  const Entry& entry = roll_->metadata.entries[static_cast<std::size_t>(request.entry)];
  LaunchResult result;
  result.cycles = entry.cycles;
  result.host_output.resize(std::size_t{entry.host_send_vectors} * kLanes);
  // Byte planes of fp32: the upper two give numbers from 8 to 32.
  for (std::size_t id = 0; id < kVocabulary; ++id) {
    std::byte* group = result.host_output.data() + id / kLanes * 4 * kLanes + id % kLanes;
    const std::uint64_t place = request.registers[0] * std::uint64_t{kVocabulary} + id;
    group[2 * kLanes] = poison_byte(1, request.registers[1], place);
    group[3 * kLanes] = std::byte{0x41};
  }
  return result;
}

// ---- The server -----------------------------------------------------------------------------

ServerInProcess::ServerInProcess(HttpServerOptions options, int slots, int queue)
    : roll_(make_roll()), tokenizer_(make_tokenizer()) {
  CHECK(device_.load(roll_, 1).ok());
  engine_ = std::make_unique<EngineThread>(
      SharedEngine::create(roll_, device_, &tokenizer_, {.slots = slots}).value(), queue);
  ServedModel model;
  model.id = "model";
  model.roll = &roll_;
  model.tokenizer = &tokenizer_;
  model.token_bytes = tokenizer_.token_bytes();
  model.chat = ChatPrompt::create("", tokenizer_).value();
  model.executor = device_.name();
  service_ = std::make_unique<Service>(std::move(model), *engine_, ServiceOptions{});
  options.port = 0;
  server_ = HttpServer::listen(*service_, options).value();
  runner_ = std::thread([this] { server_->run(); });
}

void ServerInProcess::stop() {
  if (!runner_.joinable()) return;
  server_->stop();
  runner_.join();
  server_.reset();
}

// ---- Clients --------------------------------------------------------------------------------

ClientSocket::ClientSocket(std::uint16_t port, int receive_bytes)
    : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
  CHECK(socket_ >= 0);
  const int yes = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (receive_bytes > 0) {
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

ClientSocket::~ClientSocket() { ::close(socket_); }

void ClientSocket::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void ClientSocket::end() { ::shutdown(socket_, SHUT_WR); }

std::string ClientSocket::read(std::size_t bytes_max) {
  std::string bytes(bytes_max, '\0');
  const ssize_t got = ::recv(socket_, bytes.data(), bytes.size(), 0);
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return bytes;
}

std::string ClientSocket::read_all() {
  std::string all;
  for (std::string piece = read(65536); !piece.empty(); piece = read(65536)) all += piece;
  return all;
}

std::string post_request(std::string_view path, std::string_view body) {
  std::string request = "POST ";
  request += path;
  request += " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " +
             std::to_string(body.size()) + "\r\n\r\n";
  request += body;
  return request;
}

std::string ask(std::uint16_t port, std::string_view request) {
  ClientSocket client(port);
  client.send(request);
  return client.read_all();
}

}  // namespace pianola
