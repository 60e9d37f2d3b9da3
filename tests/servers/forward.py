"""A proxy on loopback, as a script of :class:`~tests.servers.raw.Raw`."""

from __future__ import annotations

import contextlib
import socket
import threading

from tests.servers.raw import Peer, Script

HOST = "127.0.0.1"


def forwarding(port: int, *, delay: float = 0.0) -> Script:
    """A proxy that finds every name at ``port`` of loopback."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def script(peer: Peer) -> None:
        head = peer.request()
        with socket.create_connection((HOST, port)) as there:
            if head.startswith(b"CONNECT "):
                peer.wait(delay)
                peer.send(b"HTTP/1.1 103 Soon\r\n\r\nHTTP/1.1 200 Open\r\nX: y\r\n\r\n")
            else:
                method, whole, rest = head.split(b" ", 2)
                there.sendall(b" ".join((method, b"/" + whole.split(b"/", 3)[3], rest)))
            back = threading.Thread(target=pump, args=(there, peer.sock))
            back.start()
            pump(peer.sock, there)
            back.join()

    return script
