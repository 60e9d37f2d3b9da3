"""Servers on loopback that do to each connection exactly what a script says, in threads of their own: no loop of ours helps them.

with Raw(lambda peer: (peer.request(), peer.send(b"HTTP/1.1 200 OK\\r\\n\\r\\n"))) as server:
    ... f"http://127.0.0.1:{server.port}/"
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import trustme


class Gone(Exception):
    """The other side left, or the server is to stop."""


class Peer:
    """One accepted connection, as a script sees it."""

    def __init__(self, server: Raw, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.seen = b""

    def request(self, body: int = 0) -> bytes:
        """Read up to the end of the headers, and ``body`` bytes more."""
        while (end := self.seen.find(b"\r\n\r\n")) < 0 or len(self.seen) < end + 4 + body:
            self.seen += self.read()
        self.server.requests.append(self.seen)
        return self.seen

    def read(self) -> bytes:
        """Some bytes."""
        try:
            data = self.sock.recv(65536)
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        return data

    def send(self, *pieces: bytes) -> None:
        try:
            for piece in pieces:
                self.sock.sendall(piece)
        except OSError:
            raise Gone from None

    def wait(self, seconds: float) -> None:
        """Do nothing for a while."""
        if self.server.stopping.wait(seconds):
            raise Gone

    def hold(self) -> None:
        """Do nothing until the other side leaves."""
        while True:
            self.read()

    def drip(self, data: bytes, gap: float = 0.02) -> None:
        """One byte at a time."""
        for index in range(len(data)):
            self.send(data[index : index + 1])
            self.wait(gap)

    def for_ever(self, piece: bytes, gap: float = 0.0) -> None:
        """The same again and again."""
        while True:
            self.send(piece)
            if gap:
                self.wait(gap)

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Peer], Any]


class Raw:
    """Listens on an ephemeral port; ``context`` makes it speak TLS first. ``requests`` holds what was asked."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.script = script
        self.context = context
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=2048)
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        accepting = threading.Thread(target=self._accept, daemon=True)
        self._threads.append(accepting)
        accepting.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._open.add(sock)
            self.script(Peer(self, sock))
        except (Gone, OSError):
            pass
        finally:
            with self._lock:
                self._open.discard(sock)
            with contextlib.suppress(OSError):
                sock.close()


def answer(*pieces: bytes) -> Script:
    """A script: read the request, send these pieces, close."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(*pieces)

    return script


def response(body: bytes = b"ok", status: str = "200 OK", **headers: str) -> bytes:
    """A whole, honest response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def server_context(
    authority: trustme.CA,
    *names: str,
    clients: trustme.CA | None = None,
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ciphers: str | None = None,
    **issue: Any,
) -> ssl.SSLContext:
    """A TLS server's context with a certificate of ``authority`` for ``names``; ``clients`` demands theirs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **issue).configure_cert(context)
    context.minimum_version, context.maximum_version = oldest, newest
    if ciphers:
        context.set_ciphers(ciphers)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
