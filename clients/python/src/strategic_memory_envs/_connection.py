"""One connection to a server, blocking."""

from __future__ import annotations

import contextlib
import socket
import ssl

from . import _process
from ._http import Endpoint, Reply, ReplyReader


class Connection:
    """Sends a request, waits for its reply. Opened when first needed, and again after a fault."""

    def __init__(
        self, endpoint: Endpoint, timeout_s: float, ssl_context: ssl.SSLContext | None
    ) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._ssl_context = ssl_context
        self._socket: socket.socket | None = None
        self._reader = ReplyReader()
        _process.drop_in_child(self)

    @property
    def is_open(self) -> bool:
        """Whether the next request goes over a connection that has been used before."""
        return self._socket is not None

    def _open(self) -> socket.socket:
        endpoint = self._endpoint
        address = (endpoint.host, endpoint.port)
        connected = socket.create_connection(address, timeout=self._timeout_s)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if endpoint.is_tls:
                context = self._ssl_context or ssl.create_default_context()
                connected = context.wrap_socket(connected, server_hostname=endpoint.host)
        except BaseException:
            connected.close()
            raise
        self._reader.clear()
        self._socket = connected
        return connected

    def exchange(self, request: bytes) -> Reply:
        """Sends a request and gives its reply, whose body is good until the next one.

        Raises:
            OSError: the connection failed, or nothing came for `timeout_s` seconds.
            ProtocolError: what came is not HTTP. Either way the request may have been applied.
        """
        try:
            connected = self._socket or self._open()
            connected.sendall(request)
            reader = self._reader
            reply = None
            while reply is None:
                count = connected.recv_into(reader.room())
                reply = reader.fed(count) if count else reader.eof()
        except BaseException:
            # Also on Ctrl-C: the reply that is still to come must not be taken for the next one's.
            self.drop()
            raise
        if reply.head.closes:
            self.drop()
        return reply

    def set_timeout(self, timeout_s: float) -> None:
        """From now on, waits this long for something to come."""
        self._timeout_s = timeout_s
        if self._socket is not None:
            self._socket.settimeout(timeout_s)

    def drop(self) -> None:
        """Ends the connection; the next request opens another one."""
        connected, self._socket = self._socket, None
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.close()
