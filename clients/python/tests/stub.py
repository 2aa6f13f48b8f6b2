"""Servers that misbehave on purpose: a stub with prepared answers, and a proxy with faults."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import msgpack

Respond = Callable[["Request"], bytes | None]


class Request:
    """A request that the stub has read."""

    def __init__(self, head: bytes, body: bytes) -> None:
        lines = head.decode().split("\r\n")
        self.method, self.target, _ = lines[0].split(" ")
        self.headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        self.raw = head + b"\r\n\r\n" + body
        self.body: dict[str, Any] = msgpack.unpackb(body) if body else {}


def read_request(source: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        received = source.recv(65536)
        if not received:
            return None
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += source.recv(65536)
    return Request(head, body)


def response(
    body: Any,
    status: str = "200 OK",
    content_type: str = "application/vnd.msgpack",
    headers: str = "",
) -> bytes:
    data = body if isinstance(body, bytes) else msgpack.packb(body)
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{headers}"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data


def problem(status_line: str, headers: str = "", **document: Any) -> bytes:
    import json

    body = json.dumps(document).encode()
    return response(body, status_line, "application/problem+json", headers)


class Listener:
    """Accepts connections and serves each on a thread, until it is closed."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.connections += 1
                self._open.append(accepted)
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), accepted:
            self.serve(accepted)

    def serve(self, accepted: socket.socket) -> None:
        raise NotImplementedError

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        # Without the shutdown, a thread in accept() would keep the port open.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for accepted in self._open:
            with contextlib.suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)


class Stub(Listener):
    """Answers with the result of `respond`; closes the connection if that is None."""

    def __init__(self, respond: Respond) -> None:
        self.requests: list[Request] = []
        self._respond = respond
        super().__init__()

    def serve(self, accepted: socket.socket) -> None:
        while (request := read_request(accepted)) is not None:
            self.requests.append(request)
            answer = self._respond(request)
            if answer is None:
                return
            accepted.sendall(answer)


class Proxy(Listener):
    """Passes requests on to a server, with the faults in `plan`, one per request.

    `lose-request`: not passed on. `lose-reply`: applied, its reply dropped. `hang`: the same, with
    the connection left open. `refuse`: answered 503 with Retry-After, not passed on.
    `bad-gateway`: applied, answered 502. `cut`: applied, half of the reply. `dribble`: applied, the
    reply byte by byte. `ok`: no fault.
    """

    def __init__(self, target: str) -> None:
        host, port = target.removeprefix("http://").split(":")
        self._target = (host, int(port))
        self.plan: list[str] = []
        self.faults: list[str] = []
        super().__init__()

    def _forward(self, request: Request) -> bytes:
        with socket.create_connection(self._target) as target:
            target.sendall(request.raw.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            data = b""
            while received := target.recv(65536):
                data += received
            return data.replace(b"connection: close\r\n", b"")

    def serve(self, accepted: socket.socket) -> None:
        while (request := read_request(accepted)) is not None:
            fault = self.plan.pop(0) if self.plan else "ok"
            self.faults.append(fault)
            if fault == "lose-request":
                return
            if fault == "refuse":
                accepted.sendall(
                    problem(
                        "503 Service Unavailable",
                        "retry-after: 0\r\n",
                        code="draining",
                        status=503,
                        retryable=True,
                    )
                )
                continue
            reply = self._forward(request)
            if fault == "lose-reply":
                return
            if fault == "hang":
                accepted.recv(1)
                return
            if fault == "cut":
                accepted.sendall(reply[: len(reply) // 2])
                return
            if fault == "bad-gateway":
                accepted.sendall(response(b"bad gateway", "502 Bad Gateway", "text/html"))
                continue
            if fault == "dribble":
                for i in range(len(reply)):
                    accepted.sendall(reply[i : i + 1])
                continue
            accepted.sendall(reply)
