// What the server costs over the bare engine at one client: the same request to a SharedEngine in
// this thread, and as a stream over HTTP, in turns, so that other load on the host meets both.
//
//   serve_overhead ROLL [ROUNDS]
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "emulator/emulator.h"
#include "host/server/http_server.h"
#include "host/server/service.h"

namespace pianola {
namespace {

constexpr int kTokens = 400;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double engine_seconds(SharedEngine& engine, const Tokenizer& tokenizer) {
  GenerationOptions options;
  options.prompt = tokenizer.encode("Once upon a time").value();
  options.tokens_max = kTokens;
  options.ignore_eos = true;
  options.reuse_prefix = false;
  const double begin = now();
  CHECK(engine.submit(std::move(options), [](const GenerationUpdate&) {}).ok());
  while (engine.step()) {
  }
  return now() - begin;
}

double server_seconds(std::uint16_t port) {
  const std::string body =
      R"({"prompt": "Once upon a time", "temperature": 0, "ignore_eos": true, "stream": true,)"
      R"( "cache_prompt": false, "max_tokens": )" +
      std::to_string(kTokens) + "}";
  const std::string request =
      "POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  const double begin = now();
  CHECK(::send(client, request.data(), request.size(), 0) == static_cast<ssize_t>(request.size()));
  char buffer[65536];
  std::size_t bytes = 0;
  for (ssize_t got; (got = ::recv(client, buffer, sizeof buffer, 0)) > 0;) {
    bytes += static_cast<std::size_t>(got);
  }
  const double seconds = now() - begin;
  ::close(client);
  CHECK(bytes > kTokens * 100);
  return seconds;
}

Status run(const char* path, int rounds) {
  TRY(const Roll roll, read_roll(path));
  TRY(const Tokenizer tokenizer, load_tokenizer(roll.tokenizer));
  Emulator bare_device, served_device;
  TRY_STATUS(bare_device.load(roll, 1));
  TRY_STATUS(served_device.load(roll, 1));
  TRY(SharedEngine bare, SharedEngine::create(roll, bare_device, &tokenizer));
  TRY(SharedEngine served, SharedEngine::create(roll, served_device, &tokenizer));
  const GrammarTokens grammar_tokens(tokenizer);
  EngineThread thread(std::move(served), 16);
  ServedModel model;
  model.id = "model";
  model.roll = &roll;
  model.tokenizer = &tokenizer;
  model.token_bytes = tokenizer.token_bytes();
  model.grammar_tokens = &grammar_tokens;
  Service service(std::move(model), thread, {});
  TRY(const std::unique_ptr<HttpServer> server, HttpServer::listen(service, {.port = 0}));
  std::thread runner([&] { server->run(); });
  std::vector<double> ratios, engine_all, server_all;
  for (int round = -1; round < rounds; ++round) {  // the first lifts the entries
    const double engine = engine_seconds(bare, tokenizer), with = server_seconds(server->port());
    if (round < 0) continue;
    engine_all.push_back(engine);
    server_all.push_back(with);
    ratios.push_back(with / engine);
  }
  server->stop();
  runner.join();
  for (auto* values : {&ratios, &engine_all, &server_all})
    std::sort(values->begin(), values->end());
  const auto middle = static_cast<std::size_t>(rounds / 2);
  std::printf(
      "engine %.1f us a token (median; least %.1f), server %.1f (%.1f); ratio %.3f (median)\n",
      1e6 * engine_all[middle] / kTokens, 1e6 * engine_all[0] / kTokens,
      1e6 * server_all[middle] / kTokens, 1e6 * server_all[0] / kTokens, ratios[middle]);
  return Ok{};
}

}  // namespace
}  // namespace pianola

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: serve_overhead ROLL [ROUNDS]\n");
    return 1;
  }
  const pianola::Status status = pianola::run(argv[1], argc > 2 ? std::atoi(argv[2]) : 21);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", pianola::to_string(status.error()).c_str());
  return 1;
}
