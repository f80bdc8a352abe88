"""`pianola serve` as a process, and a client that is nothing but a socket."""

import json
import os
import re
import signal
import socket
import subprocess


class Server:
    """A server on a free port; its log is kept. `folder`: where it runs, and where its temporary files go."""

    def __init__(self, tool, model, *options, log=None, folder=None):
        self.log = open(log, "w") if log else subprocess.DEVNULL
        self.process = subprocess.Popen([tool, "serve", str(model), "--port", "0", *map(str, options)],
                                        stdout=subprocess.PIPE, stderr=self.log, text=True, cwd=folder,
                                        env={**os.environ, "TMPDIR": str(folder)} if folder else None)
        for line in self.process.stdout:
            found = re.match(r"listening on http://([\d.]+):(\d+)$", line)
            if found:
                self.address = (found[1], int(found[2]))
                return
        raise RuntimeError(f"the server did not start: exit status {self.process.wait()}")

    def connect(self, timeout=60):
        connection = socket.create_connection(self.address, timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def send(self, data, timeout=60):
        """The bytes of all answers until the server closes the connection."""
        with self.connect(timeout) as connection:
            connection.sendall(data)
            return read_all(connection)

    def request(self, method, path, body=None, fields=(), timeout=60):
        """Status, header fields in lower case, and body of one request."""
        answer = self.send(request_bytes(method, path, body, (*fields, "Connection: close")), timeout)
        return parse_answer(answer)

    def post(self, path, body, fields=(), timeout=60):
        status, _, answer = self.request("POST", path, body, fields, timeout)
        return status, json.loads(answer)

    def metric(self, name):
        text = self.request("GET", "/metrics")[2].decode()
        return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])

    def stop(self, number=signal.SIGTERM, timeout=60):
        self.process.send_signal(number)
        status = self.process.wait(timeout)
        self.process.stdout.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def request_bytes(method, path, body=None, fields=()):
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def read_all(connection):
    data = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece


def unchunk(data):
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        if count == 0:
            break
        out, data = out + data[:count], data[count + 2:]
    return out


def parse_answer(data):
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    if fields.get("transfer-encoding") == "chunked":
        body = unchunk(body)
    return int(lines[0].split()[1]) if lines[0] else 0, fields, body


def events_of(body):
    """The JSON of each event of a stream; the last must be [DONE]."""
    events = [line[6:] for line in body.decode().split("\n\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]", events[-1]
    return [json.loads(event) for event in events[:-1]]
