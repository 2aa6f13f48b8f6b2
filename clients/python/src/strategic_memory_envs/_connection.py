"""A blocking connection to a server."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import sys

from . import _process
from ._http import Endpoint, Reply, ReplyReader
from .errors import ProtocolError

# With the kernel's timeouts Python does not poll before every call, which took a tenth of the
# client's time.
_HAS_KERNEL_TIMEOUTS = sys.platform != "win32" and struct.calcsize("l") == 8


def _set_timeout(connected: socket.socket, timeout_s: float) -> None:
    if isinstance(connected, ssl.SSLSocket) or not _HAS_KERNEL_TIMEOUTS:
        connected.settimeout(timeout_s)
        return
    connected.settimeout(None)
    # At least a microsecond: 0 would mean to wait forever.
    seconds, microseconds = divmod(max(1, round(timeout_s * 1e6)), 1_000_000)
    timeval = struct.pack("ll", seconds, microseconds)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)


class Connection:
    """Sends requests and reads their replies; opens when first used, and again after a fault."""

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
    def url(self) -> str:
        """URL of the server."""
        return str(self._endpoint)

    @property
    def is_open(self) -> bool:
        """Whether the next request uses a connection that has been used before."""
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
            _set_timeout(connected, self._timeout_s)
        except BaseException:
            connected.close()
            raise
        self._reader.clear()
        self._socket = connected
        return connected

    def exchange(self, request: bytes) -> Reply:
        """Sends a request and returns its reply, whose body is valid until the next request.

        Raises:
            OSError: the connection failed, or nothing arrived for `timeout_s` seconds.
            ProtocolError: the reply is not HTTP. In both cases the request may have been applied.
        """
        try:
            connected = self._socket or self._open()
            connected.sendall(request)
            reader = self._reader
            reply = None
            while reply is None:
                count = connected.recv_into(reader.room())
                reply = reader.fed(count) if count else reader.eof()
        except BlockingIOError as error:
            self.drop()
            raise TimeoutError(f"nothing came for {self._timeout_s} s") from error
        except BaseException:
            # Also on Ctrl-C: a reply that arrives later must not be taken for the next one.
            self.drop()
            raise
        if reply.head.closes:
            self.drop()
        return reply

    def exchange_once(self, request: bytes) -> None:
        """Sends a request without making sure that it arrives, and closes the connection.

        Never raises because of the server or the network.
        """
        try:
            self.exchange(request)
        except (OSError, ProtocolError):
            pass
        finally:
            self.drop()

    def set_timeout(self, timeout_s: float) -> None:
        """Sets how long later requests wait for data."""
        self._timeout_s = timeout_s
        if self._socket is not None:
            _set_timeout(self._socket, timeout_s)

    def drop(self) -> None:
        """Closes the connection; the next request opens another one."""
        connected, self._socket = self._socket, None
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.close()
