"""The server against clients that are not polite, and what it promises in its answers."""

import json
import os
import pathlib
import random
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from server_process import Server, events_of, parse_answer, read_all, request_bytes

TOOL, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
MODEL = SOURCE / "models" / "nursery-llama"
TEXT = {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0}
LONG = {"prompt": "Once", "max_tokens": 120, "ignore_eos": True}


def serve(*options):
    return Server(TOOL, MODEL, "--context", 128, *options)


class Shared(unittest.TestCase):
    """Tests that use one server."""

    @classmethod
    def setUpClass(cls):
        cls.server = serve("--slots", 4)

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def refused(self, status, answer, *words):
        self.assertEqual(answer[0], status, answer)
        body = answer[1] if len(answer) == 2 else json.loads(answer[2])
        self.assertEqual(set(body["error"]), {"message", "type", "param", "code"})
        for word in words:
            self.assertIn(word, body["error"]["message"])

    def until(self, condition):
        for _ in range(200):
            if condition():
                return
            time.sleep(0.05)
        self.fail("it did not become true")


class Hostile(Shared):
    def test_refuses_what_is_no_http(self):
        for data in (b"nonsense\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                     b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                     b"GET / HTTP/1.1\r\nX: a\rSet-Cookie: b\r\n\r\n",
                     b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                     b"GET / HTTP/1.1\r\nA\0b: c\r\n\r\n"):
            with self.subTest(data=data):
                self.assertEqual(parse_answer(self.server.send(data))[0], 400)

    def test_bounds_header_and_body(self):
        flood = b"GET /health HTTP/1.1\r\n" + b"X-A: b\r\n" * 10000 + b"\r\n"
        self.assertEqual(parse_answer(self.server.send(flood))[0], 431)
        long_line = b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n"
        self.assertEqual(parse_answer(self.server.send(long_line))[0], 431)
        large = b"POST /tokenize HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n"
        self.refused(413, parse_answer(self.server.send(large)), "4194304 bytes")
        chunks = (b"POST /tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" +
                  (b"10000\r\n" + b"a" * 65536 + b"\r\n") * 80)
        self.assertIn(parse_answer(self.server.send(chunks))[0], (413, 0))

    def test_bounds_json(self):
        self.refused(400, self.server.post("/v1/completions", b"[" * 100000), "deeper than 64")
        self.refused(400, self.server.post("/v1/completions", b"{" + b'"a":{' * 1000), "deeper")
        self.refused(400, self.server.post("/v1/completions", b'{"a":1,"a":2}'), "twice")
        self.refused(400, self.server.post("/v1/completions", b'{"prompt":"\xff"}'), "JSON")
        self.refused(400, self.server.post("/v1/completions", b""), "JSON")
        self.refused(400, self.server.post("/v1/completions", b"[]"), "object")
        self.refused(400, self.server.post("/v1/completions", b'{"prompt":"a","n":1e99}'), "n:")
        self.refused(400, self.server.post("/v1/completions", {"prompt": [2**40]}), "vocabulary")
        self.refused(400, self.server.post("/v1/completions", {"prompt": "a" * 10000}), "context")

    def test_has_no_files(self):
        for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "//etc/passwd",
                     "/v1/models/../../etc/passwd", "/v1/models/%00", "/index.html/../service.cc"):
            with self.subTest(path=path):
                self.refused(404, self.server.request("GET", path))

    def test_knows_methods(self):
        self.assertEqual(self.server.request("DELETE", "/v1/models")[0], 405)
        status, fields, _ = self.server.request("GET", "/v1/completions")
        self.assertEqual((status, fields["allow"]), (405, "POST"))
        status, fields, body = self.server.request("HEAD", "/v1/models")
        self.assertEqual((status, body), (200, b""))
        self.assertGreater(int(fields["content-length"]), 10)

    def test_goes_on_after_a_client_that_says_nothing(self):
        silent = [self.server.connect() for _ in range(50)]
        half = self.server.connect()
        half.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Le")
        self.assertEqual(self.server.post("/v1/completions", TEXT)[0], 200)
        for connection in (*silent, half):
            connection.close()


class Fuzz(Shared):
    """Mutated requests: an answer or a closed connection, and the server goes on."""

    def test_mutated_requests(self):
        seeds = [request_bytes("POST", "/v1/completions", TEXT, ["Connection: close"]),
                 request_bytes("POST", "/v1/completions", {**TEXT, "stream": True}, ["Connection: close"]),
                 request_bytes("GET", "/v1/models", None, ["Connection: close", "Authorization: Bearer a"]),
                 b"POST /tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                 b"10\r\n{\"content\": \"ab\"\r\n1\r\n}\r\n0\r\n\r\n"]
        pieces = [b"\r\n", b"\r", b"\n", b"\0", b":", b" ", b"\t", b"Content-Length: 5\r\n", b"HTTP/1.0",
                  b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\n", b"%2e%2e/", b"\xff\xfe",
                  b"Expect: 100-continue\r\n", b"Connection: upgrade\r\n", b"{", b"\"", b"-1", b"A" * 300]
        cases = 100_000 if os.environ.get("PIANOLA_LONG") == "1" else 1500
        statuses = {}
        for case in range(cases):
            choose = random.Random(case)
            data = bytearray(choose.choice(seeds))
            for _ in range(choose.randrange(1, 4)):
                at = choose.randrange(len(data) + 1)
                kind = choose.randrange(4)
                if kind == 0 and at < len(data):
                    data[at] = choose.randrange(256)
                elif kind == 1:
                    del data[at:at + choose.randrange(12)]
                elif kind == 2:
                    data[at:at] = choose.choice(pieces)
                elif choose.randrange(4) == 0:
                    del data[at:]
            with self.server.connect() as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)  # whoever waits for more learns that none will come
                answer = read_all(connection)
            if answer:
                self.assertTrue(answer.startswith(b"HTTP/1."), (case, answer[:80]))
                status = int(answer.split()[1])
                self.assertTrue(status < 500, (case, answer))
                statuses[status] = statuses.get(status, 0) + 1
        self.assertEqual(self.server.post("/v1/completions", TEXT)[0], 200)
        self.until(lambda: self.server.metric("pianola_connections") == 1)
        self.assertGreater(len(statuses), 3, statuses)


class Protocol(Shared):
    def test_keeps_connections_and_takes_requests_one_after_the_other(self):
        with self.server.connect() as connection:
            first = request_bytes("POST", "/v1/completions", TEXT)
            last = request_bytes("POST", "/v1/completions", TEXT, ["Connection: close"])
            connection.sendall(first + first + last)
            answers = read_all(connection).split(b"HTTP/1.1 200 OK")[1:]
        texts = [json.loads(answer.partition(b"\r\n\r\n")[2])["choices"][0]["text"] for answer in answers]
        self.assertEqual(len(texts), 3)
        self.assertEqual(len(set(texts)), 1)

    def test_streams_to_clients_without_chunks(self):
        body = json.dumps({**TEXT, "stream": True}).encode()
        data = b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        status, fields, answer = parse_answer(self.server.send(data))
        self.assertEqual(status, 200)
        self.assertNotIn("transfer-encoding", fields)
        self.assertEqual(events_of(answer)[-1]["choices"][0]["finish_reason"], "length")

    def test_answers_expect_continue(self):
        body = json.dumps(TEXT).encode()
        with self.server.connect() as connection:
            connection.sendall(request_bytes("POST", "/v1/completions", None, [
                "Expect: 100-continue", f"Content-Length: {len(body)}", "Connection: close"]))
            self.assertEqual(connection.recv(4096), b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.sendall(body)
            self.assertEqual(parse_answer(read_all(connection))[0], 200)

    def test_cycles_add_up(self):
        _, answer = self.server.post("/v1/completions", {**TEXT, "cache_prompt": False})
        _, quote = self.server.post("/v1/quote", {**TEXT, "cache_prompt": False})
        report = answer["pianola"]
        self.assertEqual(report["cycles"], quote["cycles"])
        self.assertEqual(report["launches"], quote["choices"][0]["launches"])
        self.assertEqual(report["frozen_cycles"], 0)
        self.assertAlmostEqual(report["seconds"], quote["cycles"] / (quote["clock_mhz"] * 1e6))
        self.assertEqual(report["finished_at"] - report["started_at"], quote["cycles"])

    def test_reuses_prefixes_and_says_so(self):
        prompt = {"prompt": "The little bear went to the river and looked at the", "max_tokens": 1}
        first = self.server.post("/v1/completions", prompt)[1]
        quote = self.server.post("/v1/quote", prompt)[1]["choices"][0]
        again = self.server.post("/v1/completions", prompt)[1]
        self.assertEqual(first["choices"][0]["text"], again["choices"][0]["text"])
        count = first["usage"]["prompt_tokens"]
        self.assertEqual(again["usage"]["prompt_tokens_details"]["cached_tokens"], count - 1)
        self.assertEqual(again["pianola"]["cycles"], quote["cycles_with_cache"])
        self.assertLess(again["pianola"]["cycles"], first["pianola"]["cycles"])

    def test_tokens_there_and_back(self):
        text = "Once upon a time, caf\u00e9 \U0001f600<|end_of_text|>"
        tokens = self.server.post("/tokenize", {"content": text, "add_special": True})[1]["tokens"]
        self.assertEqual(tokens[0], 1022)
        content = self.server.post("/detokenize", {"tokens": tokens[1:]})[1]["content"]
        self.assertEqual(content, text)
        self.refused(400, self.server.post("/detokenize", {"tokens": [4096]}), "below 1024")
        self.refused(400, self.server.post("/tokenize", {}), "content")
        self.refused(400, self.server.post("/tokenize", {"content": "", "more": 1}), "more")
        messages = [{"role": "user", "content": "a"}, {"role": "user", "content":
                                                        [{"type": "text", "text": "b"}]}]
        self.assertEqual(self.server.post("/apply-template", {"messages": messages})[1],
                         {"prompt": "a\nb"})

    def test_shows_the_machine(self):
        machine = json.loads(self.server.request("GET", "/pianola/machine")[2])
        self.assertEqual((machine["target"], machine["executor"]), ("sim16", "emulator"))
        status, _, body = self.server.request("GET", "/pianola/timeline?entry=decode%40128&bins=16")
        self.assertEqual((status, json.loads(body)["entry"]), (200, "decode@128"))
        self.refused(404, self.server.request("GET", "/pianola/timeline?entry=none"), "/pianola/machine")
        self.refused(400, self.server.request("GET", "/pianola/timeline?what=1"))

    def test_says_what_it_lacks(self):
        chat = {"messages": [{"role": "user", "content": "a"}]}
        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        self.refused(400, self.server.post("/v1/chat/completions", {**chat, "tools": tools}), "template")
        required = {**chat, "tools": tools, "tool_choice": "required"}
        self.refused(400, self.server.post("/v1/chat/completions", required), "template")

    def test_says_how_it_is(self):
        self.assertEqual(json.loads(self.server.request("GET", "/health")[2]), {"status": "ok"})
        before = self.server.metric("pianola_generated_tokens_total")
        self.server.post("/v1/completions", {**TEXT, "ignore_eos": True})
        self.assertEqual(self.server.metric("pianola_generated_tokens_total"), before + 12)
        self.assertGreater(self.server.metric("process_resident_memory_bytes"), 1e6)
        self.assertGreater(self.server.metric(
            'pianola_http_responses_total{route="/v1/completions",status="200"}'), 0)


class Leaving(Shared):
    def begin(self, **more):
        connection = self.server.connect()
        connection.sendall(request_bytes("POST", "/v1/completions", {**LONG, **more}))
        return connection

    def until_idle(self):
        # A request waits before it runs, so in this order none is overlooked.
        self.until(lambda: self.server.metric("pianola_requests_waiting") == 0)
        self.until(lambda: self.server.metric("pianola_requests_running") == 0)

    def test_cancels_who_leaves_and_nobody_else(self):
        body = {**LONG, "temperature": 1, "seed": 5}
        alone = self.server.post("/v1/completions", body)[1]["choices"][0]["text"]
        for stream in (False, True):
            cancelled = self.server.metric("pianola_requests_cancelled_total")
            leaving = [self.begin(stream=stream, n=8) for _ in range(4)]  # some of it waits
            if stream:
                for connection in leaving:
                    connection.recv(100)
            results = []
            other = threading.Thread(
                target=lambda: results.append(self.server.post("/v1/completions", body)[1]))
            other.start()
            for connection in leaving:
                connection.close()
            other.join()
            self.assertEqual(results[0]["choices"][0]["text"], alone)
            self.until_idle()
            self.assertGreater(self.server.metric("pianola_requests_cancelled_total"), cancelled)

    def test_cancels_within_one_launch(self):
        # The machine's clock tells: after the client has left, the engine plays no more than the
        # launches that it plays until it hears of it.
        connection = self.begin(stream=True, max_tokens=100)
        connection.recv(1000)
        connection.close()
        self.until_idle()
        launches = self.server.metric("pianola_launches_total")
        time.sleep(0.2)
        self.assertEqual(self.server.metric("pianola_launches_total"), launches)


class Settings(unittest.TestCase):
    def test_templates_and_tools(self):
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as file:
            file.write("{% for m in messages %}{{ m.content }}{% endfor %}{{ tools | tojson }}")
            file.flush()
            with serve("--chat-template", file.name) as server:
                tool = {"type": "function", "function": {"name": "f", "parameters": {"z": 1, "a": 2}}}
                chat = {"messages": [{"role": "user", "content": "Once"}], "tools": [tool]}
                self.assertEqual(server.post("/apply-template", chat)[1],
                                 {"prompt": 'Once[{"type": "function", "function": {"name": "f", '
                                            '"parameters": {"z": 1, "a": 2}}}]'})
                status, answer = server.post("/v1/chat/completions", {**chat, "max_tokens": 2})
                self.assertEqual((status, answer["choices"][0]["finish_reason"]), (200, "length"))

    def test_machine_that_chooses(self):
        with serve() as server:
            expected = server.post("/v1/completions", TEXT)[1]["choices"][0]["text"]
        with serve("--send", "tokens") as server:
            greedy = {"prompt": TEXT["prompt"], "max_tokens": TEXT["max_tokens"]}
            self.assertEqual(server.post("/v1/completions", greedy)[1]["choices"][0]["text"], expected)
            for name, value in (("temperature", 0.5), ("logprobs", 2), ("frequency_penalty", 1),
                                ("logit_bias", {"5": 1})):
                status, answer = server.post("/v1/completions", {**greedy, name: value})
                self.assertEqual((status, answer["error"]["param"]), (400, name))
                self.assertIn("--send logits", answer["error"]["message"])

    def test_drafts_change_no_text(self):
        draft = SOURCE.parent / "shared" / "models" / "nursery-draft"
        if not draft.is_dir():
            if os.environ.get("PIANOLA_REQUIRE_SHARED") == "1":
                self.fail("../shared is required in CI")
            self.skipTest("../shared is absent")
        texts, reports = [], []
        for options in ((), ("--draft", draft)):
            with serve(*options) as server:
                answer = server.post("/v1/completions", {**TEXT, "max_tokens": 80})[1]
                texts.append(answer["choices"][0]["text"])
                reports.append(answer["pianola"])
        self.assertEqual(texts[0], texts[1])
        self.assertNotIn("draft", reports[0])
        self.assertGreater(reports[1]["draft"]["accepted_tokens"], 20)
        self.assertLess(reports[1]["cycles"], reports[0]["cycles"])

    def test_keys(self):
        with serve("--api-key", "one", "--api-key", "two") as server:
            for path in ("/health", "/v1/models", "/v1/models/nursery-llama"):
                self.assertEqual(server.request("GET", path)[0], 200)
            status, fields, page = server.request("GET", "/")
            self.assertEqual((status, fields["content-type"].split(";")[0]), (200, "text/html"))
            self.assertIn("default-src 'none'", fields["content-security-policy"])
            for path in ("/metrics", "/pianola/machine"):
                self.assertEqual(server.request("GET", path)[0], 401)
            for field in ((), ("Authorization: Bearer three",), ("Authorization: Bearer ",),
                          ("Authorization: Basic one",), ("Authorization: Bearer onetwo",)):
                status, answer = server.post("/v1/completions", TEXT, field)
                self.assertEqual((status, answer["error"]["code"]), (401, "invalid_api_key"))
            for key in ("Bearer one", "bearer two"):
                self.assertEqual(server.post("/v1/completions", TEXT, (f"Authorization: {key}",))[0], 200)

    def test_origins(self):
        with serve("--cors-origin", "https://a.example") as server:
            status, fields, _ = server.request("OPTIONS", "/v1/completions", None, ("Origin: https://a.example",))
            self.assertEqual((status, fields["access-control-allow-origin"]), (204, "https://a.example"))
            self.assertIn("Authorization", fields["access-control-allow-headers"])
            for field in ("Origin: https://b.example", "Origin: null"):
                status, answer = server.post("/v1/completions", TEXT, (field,))
                self.assertEqual((status, answer["error"]["code"]), (403, "origin_not_allowed"))
            own = ("Origin: http://localhost",)
            self.assertEqual(server.post("/v1/completions", TEXT, own)[0], 200)

    def test_too_many_connections_are_closed(self):
        with serve("--connections", 4) as server:
            held = [server.connect() for _ in range(4)]
            time.sleep(0.2)
            self.assertEqual(server.send(b"GET /health HTTP/1.1\r\n\r\n"), b"")
            for connection in held:
                connection.close()
            time.sleep(0.2)
            self.assertEqual(server.request("GET", "/health")[0], 200)

    def test_drains_when_it_is_told_to_stop(self):
        with serve("--slots", 2) as server:
            idle = server.connect()
            connection = server.connect()
            connection.sendall(request_bytes("POST", "/v1/completions", {**LONG, "stream": True}))
            connection.recv(100)
            server.process.send_signal(signal.SIGTERM)
            answer = read_all(connection)
            self.assertIn(b"[DONE]", answer)  # it had its time
            self.assertEqual(server.process.wait(30), 0)
            idle.close()

    def test_ends_when_it_is_told_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT) * 3:
            with serve() as server:
                self.assertEqual(server.stop(number), 0)

    def test_cancels_what_has_no_end(self):
        with serve("--slots", 1, "--grace-seconds", 0) as server:
            connection = server.connect()
            connection.sendall(request_bytes("POST", "/v1/completions", {**LONG, "n": 60}))
            time.sleep(0.1)
            server.process.send_signal(signal.SIGINT)
            status, _, body = parse_answer(read_all(connection))
            self.assertEqual((status, json.loads(body)["error"]["code"]), (503, "shutting_down"))
            self.assertEqual(server.process.wait(30), 0)

    def test_nothing_is_corrupt_after_a_kill(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            roll = folder / "model.roll"
            subprocess.run([TOOL, "compile", MODEL, "--context", "128", "-o", roll], check=True,
                           capture_output=True)
            before = roll.read_bytes()
            texts = []
            for source in (roll, roll, MODEL):
                with Server(TOOL, source, "--context", 128, "--slots", 2, folder=folder) as server:
                    texts.append(server.post("/v1/completions", TEXT)[1]["choices"][0]["text"])
                    body = {**LONG, "stream": True, "n": 8}  # some of it runs, some waits
                    connection = server.connect()
                    connection.sendall(request_bytes("POST", "/v1/completions", body))
                    connection.recv(100)
                    server.process.kill()
                    server.process.wait()
                    connection.close()
                self.assertEqual(list(folder.iterdir()), [roll])
                self.assertEqual(roll.read_bytes(), before)
            self.assertEqual(len(set(texts)), 1)

    def test_says_what_is_wrong_with_its_options(self):
        for words, options in ((("address",), ("--host", "nowhere")), (("executor",), ("--executor", "x")),
                               (("cannot read",), ("--api-key-file", "/nonexistent")),
                               (("no-such-model",), ("--draft", SOURCE / "no-such-model"))):
            done = subprocess.run([TOOL, "serve", MODEL, "--context", "128", "--port", "0",
                                   *map(str, options)], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1, done.stderr)
            for word in words:
                self.assertIn(word, done.stderr)


class Readme(unittest.TestCase):
    """The commands that README.md and docs/serving.md show, on a free port."""

    def test_commands(self):
        section = (SOURCE / "README.md").read_text().partition("## Serve\n")[2].partition("\n## ")[0]
        serve_line, *clients = section.split("```")[1].strip().split("\n")
        program, *options = shlex.split(serve_line)
        self.assertEqual((program, options[0], options[2:]), ("build/pianola", "serve", ["--port", "8080"]))
        blocks = (SOURCE / "docs" / "serving.md").read_text().split("```")[1::2]
        more = [block[block.index("curl "):].strip() for block in blocks if "curl " in block]
        self.assertEqual((len(clients), len(more)), (3, 2))
        url = "http://127.0.0.1:8080/"
        self.assertIn(url, section.split("```")[2])
        with Server(TOOL, SOURCE / options[1]) as server:
            here = "http://%s:%d/" % server.address
            for command in clients + more:
                self.assertEqual(command.count(url), 1)
                done = subprocess.run(shlex.split(command.replace(url, here)) + ["--fail", "--silent"],
                                      capture_output=True, timeout=60)
                self.assertEqual(done.returncode, 0, command)
                self.assertIn(json.loads(done.stdout)["object"], ("text_completion", "chat.completion", "quote"))
            self.assertIn(b"<title>Pianola</title>", server.request("GET", "/")[2])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
