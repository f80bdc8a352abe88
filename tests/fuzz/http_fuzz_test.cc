// Hostile requests over a socket: an answer or a closed connection, and the server goes on.
#include "tests/fuzz/fuzz_cases.h"
#include "tests/server/server_in_process.h"

namespace pianola {
namespace {

const std::vector<std::string> kFragments = {
    "\r\n",
    "\r",
    "\n",
    std::string("\0", 1),
    ":",
    " ",
    "\t",
    "\r\n\r\n",
    "\r\n ",
    "Content-Length: 5\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Expect: 100-continue\r\n",
    "Connection: upgrade\r\nUpgrade: h2c\r\n",
    "Connection: keep-alive\r\n",
    "Authorization: Bearer \xFF\r\n",
    "Origin: http://a.example\r\n",
    "HTTP/1.0",
    "HTTP/2.0",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "ffffffffffffffff\r\n",
    "0\r\n\r\n",
    "5;a=b\r\n",
    "%2e%2e/",
    "../",
    "%00",
    "?",
    "GET ",
    "HEAD ",
    "OPTIONS ",
    "\xFF\xFE",
    "{",
    "\"",
    "[[[[[[[[",
    "-1",
    std::string(300, 'A'),
    std::string(20'000, 'A'),
};

std::string make_request(FuzzRandom& random) {
  static const std::vector<std::string> kSeeds = {
      post_request("/v1/completions", R"({"prompt": "Once", "max_tokens": 3})"),
      post_request("/v1/completions", R"({"prompt": "Once", "max_tokens": 3, "stream": true})"),
      post_request("/v1/chat/completions",
                   R"({"messages": [{"role": "user", "content": "a"}], "max_tokens": 2, "n": 2})"),
      post_request("/v1/quote", R"({"prompt": "Once", "max_tokens": 3})"),
      "POST /tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
      "10\r\n{\"content\": \"ab\"\r\n1\r\n}\r\n0\r\n\r\n",
      "GET /v1/models/model HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer b\r\n\r\n"
      "GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n",
      "OPTIONS /v1/completions HTTP/1.1\r\nOrigin: http://a\r\nConnection: close\r\n\r\n",
      "HEAD / HTTP/1.0\r\n\r\n"};
  return mutate_text(random, random.pick(kSeeds), kFragments);
}

TEST(HttpFuzz, MutatedRequestsAreAnsweredOrEnded) {
  ServerInProcess server;
  const std::string sound = "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n";
  const std::string healthy = ask(server.port(), sound);
  ASSERT_TRUE(healthy.starts_with("HTTP/1.1 200 OK\r\n")) << healthy;
  int answers = 0, taken = 0;
  run_fuzz_cases(fuzz_case_count(), [&](FuzzRandom& random) {
    const std::string request = make_request(random);
    const std::size_t cut = random.below(request.size() + 1);
    ClientSocket client(server.port());
    client.send(std::string_view(request).substr(0, cut));
    client.send(std::string_view(request).substr(cut));
    client.end();  // a server that waits for more learns that none will come
    const std::string answer = client.read_all();
    if (answer.empty()) return;
    ++answers;
    ASSERT_TRUE(answer.starts_with("HTTP/1.")) << answer.substr(0, 100);
    ASSERT_LT(answer[9], '5') << answer.substr(0, 1000);
    taken += answer[9] == '2';
  });
  EXPECT_EQ(ask(server.port(), sound), healthy);
  while (!server.engine().is_idle()) std::this_thread::yield();
  std::printf("%d answers, %d of them good\n", answers, taken);
  EXPECT_GT(answers, fuzz_case_count() / 4);
  EXPECT_GT(taken, fuzz_case_count() / 20);
}

}  // namespace
}  // namespace pianola
