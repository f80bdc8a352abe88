// The server against clients that read slowly, not at all, or are there when it ends.
#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <vector>

#include "tests/server/server_in_process.h"

namespace pianola {
namespace {

constexpr int kSmallBuffer = 4096;

// A stream of some ten megabytes, more than the system keeps for a client that does not read.
std::string large_stream() {
  return post_request("/v1/chat/completions",
                      R"({"messages": [{"role": "user", "content": "Once"}], "stream": true,)"
                      R"( "n": 60, "max_tokens": 100, "ignore_eos": true, "logprobs": true,)"
                      R"( "top_logprobs": 20})");
}

std::string small_request() {
  return post_request("/v1/completions", R"({"prompt": "Once", "max_tokens": 20})");
}

// What stands between `before` and the next quote that ends a JSON string; `at` moves behind it.
std::optional<std::string> string_after(const std::string& text, std::string_view before,
                                        std::size_t& at) {
  at = text.find(before, at);
  if (at == std::string::npos) return std::nullopt;
  const std::size_t begin = at += before.size();
  while (text.at(at) != '"') at += text[at] == '\\' ? 2 : 1;
  return text.substr(begin, at - begin);
}

std::string text_of(const std::string& answer) {
  std::size_t at = 0;
  return string_after(answer, "\"text\":\"", at).value_or("no text: " + answer);
}

std::uint64_t metric(std::uint16_t port, const std::string& name) {
  const std::string text = ask(port, "GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::size_t at = text.find("\n" + name + " ");
  CHECK(at != std::string::npos);
  return std::stoull(text.substr(at + name.size() + 2));
}

void wait_until_idle(ServerInProcess& server) {
  while (!server.engine().is_idle()) std::this_thread::yield();
}

// The events of each choice, joined: chunks of a stream may be cut elsewhere, and choices take
// turns.
std::vector<std::string> texts_by_choice(const std::string& answer) {
  constexpr std::string_view kBefore = ",\"delta\":{\"content\":\"";
  std::vector<std::string> texts(60);
  std::size_t at = 0;
  while (const auto piece = string_after(answer, kBefore, at)) {
    const std::size_t index = answer.rfind("\"index\":", at - piece->size() - kBefore.size());
    texts.at(std::stoul(answer.substr(index + 8, 2))) += *piece;
  }
  return texts;
}

TEST(HttpServer, GivesASlowReaderEverything) {
  ServerInProcess server;
  const std::vector<std::string> expected = texts_by_choice(ask(server.port(), large_stream()));
  const std::string small = text_of(ask(server.port(), small_request()));
  ClientSocket slow(server.port(), kSmallBuffer);
  slow.send(large_stream());
  std::string answer = slow.read(100);
  wait_until_idle(server);  // all is computed, and waits for the reader
  EXPECT_EQ(text_of(ask(server.port(), small_request())), small);
  for (std::string piece = slow.read(3000); !piece.empty(); piece = slow.read(3000)) {
    answer += piece;
  }
  EXPECT_NE(answer.find("data: [DONE]\n\n\r\n0\r\n\r\n"), std::string::npos);
  EXPECT_EQ(texts_by_choice(answer), expected);
  for (const std::string& text : expected) EXPECT_GT(text.size(), 100u);
}

TEST(HttpServer, DropsAClientThatDoesNotRead) {
  ServerInProcess server({.write_timeout = std::chrono::milliseconds(300)});
  const std::string small = text_of(ask(server.port(), small_request()));
  ClientSocket idle(server.port(), kSmallBuffer);
  idle.send(large_stream());
  while (metric(server.port(), "pianola_clients_gone_total") == 0) {
    ASSERT_EQ(text_of(ask(server.port(), small_request())), small);
  }
  wait_until_idle(server);
  while (metric(server.port(), "pianola_connections") != 1) {  // that which asks
  }
}

// A stream that waits for the only slot says nothing for long, but that it is there.
TEST(HttpServer, PingsWhoWaits) {
  using std::chrono::milliseconds;
  ServerInProcess server({.ping_interval = milliseconds(1), .grace = milliseconds(0)}, 1);
  ClientSocket before(server.port());
  before.send(large_stream());
  while (server.engine().load().totals.requests == 0) std::this_thread::yield();
  const std::string answer = ask(
      server.port(),
      post_request("/v1/completions", R"({"prompt": "Once", "max_tokens": 5, "stream": true})"));
  const std::size_t ping = answer.find(": ping\n\n");
  ASSERT_NE(ping, std::string::npos) << answer;
  EXPECT_LT(answer.find("\r\n\r\n"), ping);
  EXPECT_LT(ping, answer.find("data: {"));
  EXPECT_LT(ping, answer.find("data: [DONE]"));
  EXPECT_NE(answer.find("data: [DONE]"), std::string::npos);
}

// Updates may be on their way from the engine when there is nobody left to take them.
TEST(HttpServer, EndsWhileAnswersAreOnTheirWay) {
  for (int round = 0; round < 20; ++round) {
    ServerInProcess server({.grace = std::chrono::milliseconds(round % 2)});
    std::vector<std::unique_ptr<ClientSocket>> sockets;
    for (int i = 0; i < 4; ++i) sockets.push_back(std::make_unique<ClientSocket>(server.port()));
    std::vector<std::thread> clients;
    for (const auto& socket : sockets) {
      clients.emplace_back([&socket] {
        socket->send(large_stream());
        const std::string answer = socket->read_all();
        EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 ")) << answer.substr(0, 100);
      });
    }
    while (server.engine().load().totals.requests == 0) std::this_thread::yield();
    server.stop();
    EXPECT_TRUE(server.engine().is_idle());
    for (std::thread& client : clients) client.join();
  }
}

}  // namespace
}  // namespace pianola
