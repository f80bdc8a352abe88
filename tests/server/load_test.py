"""Many streaming clients at a time, more than slots. Every answer is what the same request gets alone, memory
stays flat, and the times between tokens are printed. Some clients leave while their request waits, some while it
runs, and some read slowly.

usage: load_test.py TOOL SOURCE [--clients N] [--seconds S | --requests N] [SERVE OPTION...]
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import socket
import sys
import time

from server_process import Server, events_of, request_bytes, unchunk

TEXTS = ["Once upon a time", "The little bear", "One day", "There was a boy", "A cat and a dog"]
KINDS = 24
MANNERS = (None, "waiting", "running", "slow")
SLOW_BUFFER = 4096  # bytes that the system keeps for a client that reads slowly


def body_of(kind):
    return {"prompt": TEXTS[kind % len(TEXTS)], "max_tokens": 8 + kind % 5 * 8, "stream": True,
            "temperature": 0 if kind % 3 == 0 else 1.2, "seed": kind, "ignore_eos": True,
            "cache_prompt": kind % 4 != 0}


def text_of(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer[:300])
    events = events_of(unchunk(body))
    assert len({event["id"] for event in events}) == 1
    assert events[-1]["choices"][0]["finish_reason"] == "length"
    return "".join(event["choices"][0]["text"] for event in events)


class Load:
    def __init__(self, server, expected):
        self.server, self.expected = server, expected
        self.gaps, self.done, self.tokens = [], 0, 0
        self.left = {"waiting": 0, "running": 0}

    async def connect(self, manner):
        connection = socket.socket()
        connection.setblocking(False)
        if manner == "slow":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
        await asyncio.get_running_loop().sock_connect(connection, self.server.address)
        return await asyncio.open_connection(sock=connection, limit=SLOW_BUFFER if manner == "slow" else 65536)

    async def request(self, kind, manner):
        """`manner`: None, "slow", or in which state of its request the client leaves."""
        reader, writer = await self.connect(manner)
        try:
            writer.write(request_bytes("POST", "/v1/completions", body_of(kind), ["Connection: close"]))
            answer, latest = b"", None
            while piece := await reader.read(500 if manner == "slow" else 65536):
                now = time.perf_counter()
                if b"data: {" in piece and manner != "slow":
                    if latest is not None:
                        self.gaps.append(now - latest)
                    latest = now
                answer += piece
                # A request is accepted when it waits; its first event comes when it runs.
                if manner == "waiting" or manner == "running" and latest is not None:
                    self.left[manner] += 1
                    return
                if manner == "slow":
                    await asyncio.sleep(0.02)
            if text_of(answer) != self.expected[kind]:
                raise RuntimeError(f"kind {kind}: {text_of(answer)!r}, alone {self.expected[kind]!r}")
            self.done += 1
            self.tokens += body_of(kind)["max_tokens"]
        finally:
            writer.close()

    async def client(self, number, more):
        choose = random.Random(number)
        manner = MANNERS[number] if number < len(MANNERS) else None  # each occurs, however short the load
        while more():
            await self.request(choose.randrange(KINDS), manner)
            manner = choose.choices(MANNERS, (94, 2, 2, 2))[0]


def main():
    long = os.environ.get("PIANOLA_LONG") == "1"
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--clients", type=int, default=200 if long else 60)
    parser.add_argument("--seconds", type=float, default=60 if long else 6)
    parser.add_argument("--requests", type=int, default=0)
    arguments, options = parser.parse_known_args()
    with Server(arguments.tool, arguments.source / "models" / "nursery-llama", "--context", 128,
                "--slots", max(1, arguments.clients // 4), "--queue", 1000, *options) as server:
        expected = [text_of(server.send(request_bytes("POST", "/v1/completions", body_of(kind),
                                                      ["Connection: close"])))
                    for kind in range(KINDS)]
        assert len(set(expected)) > KINDS // 2
        load = Load(server, expected)
        begin = time.perf_counter()
        started = 0

        def more():
            nonlocal started
            started += 1
            if arguments.requests:
                return started <= arguments.requests
            return time.perf_counter() - begin < arguments.seconds

        async def run():
            memory = []

            async def watch():
                loop = asyncio.get_running_loop()
                while True:
                    await asyncio.sleep(max(0.5, arguments.seconds / 20))
                    memory.append(await loop.run_in_executor(
                        None, server.metric, "process_resident_memory_bytes"))

            watcher = asyncio.create_task(watch())
            await asyncio.gather(*(load.client(number, more) for number in range(arguments.clients)))
            watcher.cancel()
            return memory

        memory = asyncio.run(run())
        seconds = time.perf_counter() - begin
        for _ in range(100):
            if server.metric("pianola_requests_running") + server.metric("pianola_requests_waiting") == 0:
                break
            time.sleep(0.1)
        requests = server.metric("pianola_requests_total") - KINDS
        cancelled = server.metric("pianola_requests_cancelled_total")
        gaps = sorted(load.gaps)
        left = sum(load.left.values())
        print(f"{arguments.clients} clients, {seconds:.1f} s: {load.done} answers, {left} clients left, "
              f"{load.tokens / seconds:.0f} tokens/s; between tokens p50 {1e3 * gaps[len(gaps) // 2]:.1f} ms, "
              f"p99 {1e3 * gaps[len(gaps) * 99 // 100]:.1f} ms; resident "
              f"{memory[0] / 2**20:.1f} MiB at first, {memory[-1] / 2**20:.1f} MiB at last")
        assert load.done + left == requests, (load.done, load.left, requests)
        assert min(load.left.values()) > 0, load.left
        assert cancelled <= left, (cancelled, left)
        # The first measurement is in the middle of the load; nothing may grow from there on.
        assert memory[-1] < memory[0] * 1.25 + 8 * 2**20, memory
        assert server.stop() == 0


if __name__ == "__main__":
    sys.exit(main())
